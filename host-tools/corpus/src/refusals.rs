//! Requests that nothing here can serve, and the one answer to them.
//!
//! What the device has is a short list, so that an unknown thing, colour or sensor is a reason to refuse, while an
//! unknown place is not.

use crate::chat::{Chat, Check};
use crate::words::{capitalized, from, invent, name, room};
use crate::{Draw, Split, facts};

/// The answer.
pub const REFUSAL: &str = "Sorry, I can not do that.";

const THINGS: &str = "oven,radio,tv,vacuum,toaster,shower,washing machine,car,robot,drone,curtains,coffee machine,boat,kettle,\
    fridge,laptop,phone,bell,fire,clock,projector,speaker,mixer,saw,drill,stove,computer,server,safe,camera,tractor,\
    bike,engine,train,elevator,piano,guitar,television,router,grill,freezer,iron,hair dryer,sewing machine,sprinkler,\
    fountain,music,dog,garage door opener,chair,table,bed,game,rocket,plane,ship,truck,bus,generator";
/// Things that training never has.
pub const HELD_OUT_THINGS: &str = "dishwasher,microwave,printer,lawnmower,blender,doorbell,jukebox,treadmill,telescope,\
    scanner,furnace,hoover,trumpet,helicopter,escalator,popcorn machine";
const COLORS: &str = "purple orange pink brown black gray violet golden silver";
const SENSORS: &str =
    "wind rain smoke speed weight height gold sugar traffic radiation oil fuel heart stress money energy";

/// A request to refuse.
pub fn chat(draw: &mut Draw) -> Chat {
    loop {
        draw.begin();
        let group = match draw.split() {
            Split::Entities => "refuse_action",
            _ => draw.weighted(&[
                ("refuse_action", 40),
                ("refuse_request", 40),
                ("refuse_color", 8),
                ("refuse_sensor", 12),
            ]),
        };
        let thing = match draw.split() {
            Split::Entities => of_list(draw, HELD_OUT_THINGS).to_owned(),
            _ if draw.chance(35) => invent(draw),
            _ => match group {
                "refuse_color" => from(draw, COLORS).to_owned(),
                "refuse_sensor" if draw.chance(60) => from(draw, SENSORS).to_owned(),
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
        let text = draw.phrase(group, &|slot| match slot {
            "x" => thing.clone(),
            "n" => number.clone(),
            "p" => place.clone(),
            "y" => person.clone(),
            "z" => other.clone(),
            "city" => city.into(),
            _ => language.into(),
        });
        let asks = ["what", "who", "how", "will", "where", "is it", "the ", "I "]
            .iter()
            .any(|word| text.starts_with(word));
        let text = if asks { text } else { draw.phrase("polite", &|_| text.clone()) };
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
