//! Names, objects and places, with those that are held out, and invented words.
//!
//! A model that has only seen a hundred objects learns the hundred; one that sees a new invented object in every third
//! problem learns to copy.

use crate::verbs::with_s;
use crate::{Draw, Split, device};

const NAMES: &str = "Tom Anna Ben Mia Sam Lily Jack Emma Leo Sara Max Zoe Dan Eva Tim Nina Paul Rosa Adam Lucy Mark Kate \
    Omar Ivy Carl Ella Hugo Maya Finn Ruth Noah Jane Luis Amy Ravi Tina Eric Nora Alex Gina Peter Julia David Clara \
    Oscar Helen Victor Alice Simon Laura Felix Diana Kenji Olga Bob Sue Ali Mary John Lena Ming Fatima Jonas Petra \
    Amir Sofie Chen Aisha Bjorn Carla Diego Elif Frank Grace Henry Irene Kofi Linda Mario Nadia Otto Paula Rita Theo";
/// Names that training never has.
pub const HELD_OUT_NAMES: &str =
    "Bruno Greta Igor Wendy Pablo Priya Stefan Molly Derek Yuki Gerald Susan Kwame Ingrid Marcel";

const OBJECTS: &str = "apple pen book coin marble card egg sticker shell cookie ball stone flower pencil orange stamp bead \
    nut candle button toy key cup plate screw nail bolt seed lemon pear carrot potato tomato cake muffin brick tile photo \
    letter ticket bottle can hat sock shirt lamp wire plum grape kite map magnet brush duck peach onion banana chair \
    table blanket pillow towel rose leaf fork knot doll puppet drum flag ring mirror clock basin bucket bike boat car \
    truck robot block stick branch penny dish glass bus cherry berry sandwich pizza pie donut bean pumpkin";
/// Objects that training never has.
pub const HELD_OUT_OBJECTS: &str = "melon spoon badge rope puzzle feather crayon hammer acorn ribbon walnut sponge lantern whistle scarf turnip";

const CONTAINERS: &str =
    "box bag basket pack jar tray crate row shelf bin bowl case tin stack group bundle packet pot";
/// Containers that training never has.
pub const HELD_OUT_CONTAINERS: &str = "carton pouch drawer trunk";

const PLACES: &str = "shop box garden school park room bag kitchen store farm house market cellar office library field \
    village yard tent barrel cave classroom station bakery factory";
/// Places of word problems that training never has.
pub const HELD_OUT_PLACES: &str = "barn museum harbor temple stadium chapel";

const ROOMS: &str = "kitchen bedroom garage cellar office garden attic bathroom hall greenhouse living_room basement \
    kids_room guest_room lab workshop entrance shed laundry_room terrace balcony yard tool_room library classroom \
    bath stairs corridor store_room tent boat car bus train truck ship camper tower castle hotel shop cabin tunnel cave \
    stable lift kennel cage trailer windmill bakery box";
/// Rooms that training never has.
pub const HELD_OUT_ROOMS: &str = "pantry studio nursery dining_room veranda closet loft sauna porch gym chapel archive craft_room barn lounge";

const ADJECTIVES: &str = "red blue green yellow white black small big new old round long short heavy light broken ripe \
    cheap clean wet dry";

/// Every word that the held-out lists keep out of training, in lower case.
pub fn held_out() -> impl Iterator<Item = String> {
    let lists = [HELD_OUT_NAMES, HELD_OUT_OBJECTS, HELD_OUT_CONTAINERS, HELD_OUT_PLACES, HELD_OUT_ROOMS];
    let things = crate::refusals::HELD_OUT_THINGS.split(',').flat_map(str::split_whitespace);
    // Of names in two words, the second is a common word.
    let common = ["room", "machine"];
    let words =
        lists.into_iter().flat_map(str::split_whitespace).flat_map(|word| word.split('_')).chain(things);
    words.filter(move |word| !common.contains(word)).map(str::to_lowercase)
}

/// One word of a list.
pub fn from(draw: &mut Draw, list: &'static str) -> &'static str {
    // The count is known from the list's own text, which is short.
    let words: Vec<&str> = list.split_whitespace().collect();
    words[draw.below(words.len())]
}

/// One word of a list or of what is held out of it; an invented one in `invented` of a hundred.
fn entity(draw: &mut Draw, training: &'static str, held_out: &'static str, invented: usize) -> String {
    match draw.split() {
        Split::Entities => from(draw, held_out).into(),
        _ if draw.chance(invented) => invent(draw),
        _ => from(draw, training).into(),
    }
}

/// A person's name.
pub fn name(draw: &mut Draw) -> String {
    capitalized(&entity(draw, NAMES, HELD_OUT_NAMES, 30))
}

/// A thing to count, in the singular.
pub fn object(draw: &mut Draw) -> String {
    entity(draw, OBJECTS, HELD_OUT_OBJECTS, 35)
}

/// Something that holds things, in the singular.
pub fn container(draw: &mut Draw) -> String {
    entity(draw, CONTAINERS, HELD_OUT_CONTAINERS, 20)
}

/// A place of a word problem.
pub fn place(draw: &mut Draw) -> String {
    entity(draw, PLACES, HELD_OUT_PLACES, 25)
}

/// A room of a device, with an underscore between words.
pub fn room(draw: &mut Draw) -> String {
    if draw.split() == Split::Entities {
        return from(draw, HELD_OUT_ROOMS).into();
    }
    match draw.below(100) {
        0..30 => invent(draw),
        30..36 => format!("{}_room", invent(draw)),
        36..39 => format!("{}_{}", invent(draw), from(draw, ROOMS).replace('_', "")),
        39..46 => format!("room_{}", draw.number(1, 99)),
        _ => from(draw, ROOMS).into(),
    }
}

/// A word that says how something is.
pub fn adjective(draw: &mut Draw) -> String {
    if draw.chance(15) { invent(draw) } else { from(draw, ADJECTIVES).into() }
}

/// The plural.
pub fn plural(word: &str) -> String {
    with_s(word)
}

const ONSETS: &str = "b br bl c ch cl cr d dr f fl fr g gl gr h j k kl l m n p pl pr qu r s sc sh sk sl sm sn sp st str t th \
    tr tw v w wh y z";
const VOWELS: &str = "a e i o u a e i o u ai ee oo ia ou ea oa au";
const CODAS: &str = "n r l s t k m nd x ck p d ll ng rt st mp nt sh ch b g ft rk lt";
const ENDINGS: &str = "er le et on ing en y ow el in or um ia o a ish ly";

/// Beginnings of words that requests and answers are full of. A model whose new words all begin with new syllables ends
/// "clo" as "closed", whatever was asked for.
const STEMS: &str = "clo clos op ope lam lamp lig light hea heat fan ven pum pump buz ala alarm hum val bli ser mot door gat gate \
    win wind red gre blu whi yel rel tim dis temp pre noi soi bat bri kit bed gar cel off att hal liv bas gue lab ent she \
    lau ter bal yar tool lib cla sta cor sto ten set lock unl swi tur mor les dou hal tri";

/// A word that no language has, or so one hopes.
pub fn invent(draw: &mut Draw) -> String {
    loop {
        let mut word = String::new();
        let mut syllables = draw.weighted(&[(1, 25), (2, 50), (3, 25)]);
        if draw.split() == Split::Train && draw.chance(15) {
            word += from(draw, STEMS);
            syllables = 1;
        }
        for _ in 0..syllables {
            // One syllable in five begins with its vowel.
            if !draw.chance(20) {
                word += from(draw, ONSETS);
            }
            word += from(draw, VOWELS);
            if draw.chance(60) {
                word += from(draw, CODAS);
            }
        }
        if draw.chance(30) {
            word += from(draw, ENDINGS);
        }
        let known = || held_out().any(|other| word == other || word == with_s(&other));
        let free = word != "and" && !device::knows(&word) && !known();
        if (3..=11).contains(&word.len()) && free && !word.ends_with('s') {
            return word;
        }
    }
}

/// A thing that no device has, although its name begins as that of one that devices have: "doorcake".
pub fn compound(draw: &mut Draw) -> String {
    loop {
        let known =
            from(draw, "lamp light fan heater pump buzzer alarm valve blind servo motor door gate window");
        let word = format!("{known}{}", from(draw, OBJECTS));
        if !held_out().any(|other| word.starts_with(&other)) {
            return word;
        }
    }
}

/// The text with its first letter in upper case.
pub fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// The text with a capital at the beginning of each sentence and one space between words.
pub fn sentences(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut begins = true;
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        if begins {
            out.push_str(&capitalized(word))
        } else {
            out.push_str(word)
        }
        begins = word.ends_with(['.', '?', '!']);
    }
    out
}
