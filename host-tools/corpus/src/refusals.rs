//! Requests that nothing here can serve, and the one answer to them.
//!
//! What the device has is a short list, so that an unknown thing, colour or sensor is a reason to refuse, while an
//! unknown place is not.

use crate::chat::{Chat, Check};
use crate::courtesy::{articles, framed};
use crate::words::{capitalized, compound, from, invent, name, room};
use crate::{Draw, Split, device, facts};

/// The answer.
pub const REFUSAL: &str = "Sorry, I can not do that.";

const THINGS: &str = "oven,radio,tv,vacuum,toaster,shower,washing machine,car,robot,drone,curtains,coffee machine,boat,kettle,\
    fridge,laptop,phone,bell,fire,clock,projector,speaker,mixer,saw,drill,stove,computer,server,safe,camera,tractor,\
    bike,engine,train,elevator,piano,guitar,television,router,grill,freezer,iron,hair dryer,sewing machine,sprinkler,\
    fountain,music,dog,garage door opener,chair,table,bed,game,rocket,plane,ship,truck,bus,generator,\
    heat gun,hot plate,juicer,mower,cooker,tap,sink,bathtub,mirror,ladder,crane,ferry,tablet,keyboard,mouse,monitor,\
    headset,modem,amplifier,record player,organ,drum,siren,hammock,umbrella,suitcase,wardrobe,box,cupboard,\
    scooter,bicycle,motorbike,ice maker,rice cooker,water gun,conveyor,compressor,chainsaw,excavator,\
    telephone,satellite,turbine,wheel,carousel,swing,trap,scale,shredder";
/// Things that training never has.
pub const HELD_OUT_THINGS: &str = "dishwasher,microwave,printer,lawnmower,blender,doorbell,jukebox,treadmill,telescope,\
    scanner,furnace,hoover,trumpet,helicopter,escalator,popcorn machine";
const COLORS: &str = "purple orange pink brown black gray violet golden silver turquoise magenta cyan lime teal beige maroon \
    crimson indigo lilac olive amber navy coral scarlet";
const SENSORS: &str = "wind rain smoke speed weight height gold sugar traffic radiation oil fuel heart stress money energy \
    snow dust gas pollen salt acid sleep pulse sun mood music milk petrol taste smell color distance";

/// The wordings of good requests with a thing that the device does not have, so that the thing decides.
const NEAR: &str = "near_thing";
/// The wordings of good requests to the LED with a colour that it does not have.
const NEAR_COLOR: &str = "near_color";

/// A request to refuse.
pub fn chat(draw: &mut Draw) -> Chat {
    loop {
        draw.begin();
        let group = match draw.split() {
            Split::Entities => draw.weighted(&[("refuse_action", 40), (NEAR, 60)]),
            _ => draw.weighted(&[
                ("refuse_action", 22),
                ("refuse_request", 32),
                ("refuse_color", 5),
                ("refuse_sensor", 12),
                (NEAR, 22),
                (NEAR_COLOR, 7),
            ]),
        };
        let thing = match draw.split() {
            Split::Entities => of_list(draw, HELD_OUT_THINGS).to_owned(),
            Split::Train if group != NEAR_COLOR && draw.chance(10) => compound(draw),
            _ if group != NEAR_COLOR && draw.chance(35) => invent(draw),
            _ => match group {
                "refuse_color" | NEAR_COLOR => from(draw, COLORS).to_owned(),
                "refuse_sensor" if draw.chance(85) => from(draw, SENSORS).to_owned(),
                _ => of_list(draw, THINGS).to_owned(),
            },
        };
        let number = draw.number(1, 100).to_string();
        let place = room(draw).replace('_', " ");
        let person = match draw.below(3) {
            0 => draw
                .choose(&["my mother", "my brother", "my boss", "the doctor", "the police", "my friend"])
                .to_owned(),
            _ => name(draw),
        };
        let capital = facts::all().iter().filter(|fact| fact.relation == "capital");
        let capitals: Vec<&str> = capital.map(|fact| fact.object.as_str()).collect();
        let city = capitals[draw.below(capitals.len())];
        let language = draw.choose(&["French", "German", "Spanish", "Italian", "English", "Chinese"]);
        let other = if draw.chance(40) { invent(draw) } else { of_list(draw, THINGS).to_owned() };
        let filled = |slot: &str| match slot {
            "x" => thing.clone(),
            "n" => number.clone(),
            "p" => place.clone(),
            "y" => person.clone(),
            "z" => other.clone(),
            "city" => city.into(),
            _ => language.into(),
        };
        // "The blorg light" may be that of a place, so that an invented colour is only that of the LED.
        let known = device::knows(&thing) || device::knows(&other);
        let text = match group {
            NEAR => device::with_unknown(draw, &thing, None),
            NEAR_COLOR => device::with_unknown(draw, "", Some(&thing)),
            _ => Some(draw.phrase(group, &filled)),
        };
        let Some(text) = text.filter(|text| !known && (group != "refuse_color" || !text.contains("light")))
        else {
            continue;
        };
        // "Room 5" has no article.
        let numbered = place.starts_with("room ") && place.ends_with(|last: char| last.is_ascii_digit());
        let text = if numbered { text.replace("the room ", "room ") } else { text };
        let text = framed(draw, &articles(&text));
        let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.ends_with(['.', '?']) && draw.chance(40) {
            text.push('.');
        }
        if draw.chance(60) {
            text = capitalized(&text);
        }
        let fits = draw.split() != Split::Frames || draw.has_held_out_wording();
        if fits && !crate::draw::holds_reserved(&text) {
            let mut chat = Chat::plain("refuse", group, text, REFUSAL.into());
            chat.check = Check::Refusal;
            return chat;
        }
    }
}

fn of_list(draw: &mut Draw, list: &'static str) -> &'static str {
    let things: Vec<&str> = list.split(',').map(str::trim).collect();
    things[draw.below(things.len())]
}
