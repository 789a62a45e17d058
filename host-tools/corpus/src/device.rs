//! Requests to a device, and the calls that they mean.
//!
//! | call | arguments |
//! | --- | --- |
//! | `read(sensor)`, `read(sensor, place)` | one of the [`SENSORS`]; a place |
//! | `set(thing, value)`, `set(thing, place, value)` | lamp, fan, heater, pump, buzzer, alarm, humidifier, valve, blind, servo, door, gate, window; a place; `on`, `off`, `open`, `closed`, `locked`, `unlocked` or a whole number |
//! | `set(led, color, value)` | red, green, blue, white, yellow; `on`, `off`, `blink` |
//! | `set(relay, number, value)` | 1 to 8; `on`, `off` |
//! | `timer(count, unit)` | a whole number; `second`, `minute`, `hour` |
//! | `set(display, word)` | a word |
//!
//! A name or an argument is of lower-case letters and digits, with single spaces between words. Behind a comma stands a
//! space, so that a word that the model never saw is the same tokens in the call as in the request, where a space stands
//! before it too: then it can be copied token by token. The device answers with a number, `ok` or `error`.

mod sensors;

use sensors::SENSORS;

use crate::chat::{Chat, Check, Role};
use crate::courtesy::framed;
use crate::draw::holds_reserved;
use crate::words::{capitalized, from, invent, room};
use crate::{Draw, Split};

/// The answer when a device reports an error.
pub const FAILED: &str = "Sorry, that did not work.";

const COLORS: [&str; 5] = ["red", "green", "blue", "white", "yellow"];
const SHOWN: &str = "hello welcome hi warning open closed danger ready busy goodbye yes no stop go wait on off error ok \
    left right up down hot cold love happy sunday monday dinner lunch party help exit push pull sale free full empty \
    home school garden water fire apple book star sun moon";

/// A request: what is asked, the call, the answer, and what the device returns.
struct Request {
    text: String,
    call: String,
    say: String,
    result: Option<String>,
}

/// A request of any kind.
pub fn chat(draw: &mut Draw) -> Chat {
    loop {
        draw.begin();
        let at = match draw.split() {
            // Most of the numbers must be copied into a call, the others into what is said of a reading.
            Split::Numbers => draw.weighted(&[(50, 50), (80, 30), (0, 20)]),
            _ => draw.below(100),
        };
        let (kind, request) = match at {
            0..30 => ("read", read(draw)),
            30..50 => ("switch", switch(draw)),
            50..66 => ("level", level(draw)),
            66..76 => ("led", led(draw)),
            76..80 => ("relay", relay(draw)),
            80..88 => ("timer", timer(draw)),
            88..94 => ("lock", movable(draw)),
            94..97 => ("implied", implied(draw)),
            _ => ("show", show(draw)),
        };
        let chat = written(draw, kind, request);
        let text = chat.question().to_owned() + &chat.answer();
        let fits = match draw.split() {
            Split::Numbers => holds_reserved(&chat.expect) || (kind == "read" && holds_reserved(&text)),
            Split::Frames => draw.has_held_out_wording() && !holds_reserved(&text),
            Split::Entities => {
                !holds_reserved(&text)
                    && crate::words::HELD_OUT_ROOMS
                        .split_whitespace()
                        .any(|room| chat.expect.contains(&room.replace('_', " ")))
            }
            Split::Train => !holds_reserved(&text),
        };
        if fits {
            return chat;
        }
    }
}

fn written(draw: &mut Draw, kind: &'static str, request: Request) -> Chat {
    let text = framed(draw, &request.text);
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if !text.ends_with(['.', '?']) && draw.chance(40) {
        text.push('.');
    } else if draw.chance(12) {
        text = text.trim_end_matches(['.', '?']).to_owned();
    }
    if draw.chance(60) {
        text = capitalized(&text);
    } else if draw.chance(30) {
        text = text.to_lowercase();
    }
    let failed = draw.chance(7);
    let result = if failed { "error".into() } else { request.result.unwrap_or_else(|| "ok".into()) };
    let say = if failed { FAILED.into() } else { request.say };
    let mut chat = Chat::asked("device", kind, text, Check::Call, request.call.clone());
    chat.push(Role::Assistant, format!("[work]{}[/work]", request.call));
    chat.push(Role::Tool, format!("=> {result}\n"));
    chat.push(Role::Assistant, say);
    chat
}

/// A place of the device, or none.
struct Place {
    /// As an argument.
    argument: Option<String>,
    /// In a request, with the space before it.
    asked: String,
    /// In an answer.
    answered: String,
    /// The name alone.
    spoken: String,
}

impl Place {
    /// Whether it is called something that takes an article, as "room 5" does not.
    fn is_named(&self) -> bool {
        self.argument.as_ref().is_some_and(|place| !place.starts_with("room_"))
    }
}

fn place(draw: &mut Draw, percent: usize) -> Place {
    if draw.split() != Split::Entities && !draw.chance(percent) {
        return Place {
            argument: None,
            asked: String::new(),
            answered: String::new(),
            spoken: String::new(),
        };
    }
    let argument = room(draw);
    let spoken = argument.replace('_', " ");
    let asked = draw.phrase("place", &|_| spoken.clone());
    // "Room 5" has no article.
    let numbered = argument.starts_with("room_");
    let asked = if numbered { format!(" in {spoken}") } else { asked };
    let answered = if numbered { format!(" in {spoken}") } else { format!(" in the {spoken}") };
    Place { argument: Some(argument), asked, answered, spoken }
}

fn call(name: &str, arguments: &[&str]) -> String {
    format!("{name}({})", arguments.join(", ").replace('_', " "))
}

fn set(thing: &str, place: &Place, value: &str) -> String {
    match &place.argument {
        Some(place) => call("set", &[thing, place, value]),
        None => call("set", &[thing, value]),
    }
}

fn read(draw: &mut Draw) -> Request {
    let sensor = &SENSORS[draw.below(SENSORS.len())];
    let place = if sensor.name == "battery" { None } else { Some(place(draw, 62)) };
    let asked = place.as_ref().map_or("", |place| &place.asked);
    let text = draw.phrase(sensor.group, &|_| asked.to_owned());
    const MEASURED: [&str; 14] = [
        "temperature",
        "thermometer",
        "humidity",
        "sensor",
        "level",
        "brightness",
        "soil",
        "ground",
        "earth",
        "moisture",
        "plants",
        "pressure",
        "air",
        "tank",
    ];
    let text = match &place {
        Some(place) => settled(text, &MEASURED, place),
        None => text,
    };
    let call = match place.as_ref().and_then(|place| place.argument.as_ref()) {
        Some(place) => self::call("read", &[sensor.name, place]),
        None => self::call("read", &[sensor.name]),
    };
    let value = draw.number(sensor.tenths.0 / 10, sensor.tenths.1 / 10);
    let value = if sensor.decimals { format!("{value}.{}", draw.below(10)) } else { value.to_string() };
    let answered = place.as_ref().map_or("", |place| &place.answered);
    let say = sensor.say.replace("{v}", &value).replace("{pl}", answered);
    Request { text, call, say, result: Some(value) }
}

const SWITCHED: &[(&str, &str)] = &[
    ("lamp", "lamp"),
    ("light", "lamp"),
    ("lights", "lamp"),
    ("fan", "fan"),
    ("ventilator", "fan"),
    ("heater", "heater"),
    ("heating", "heater"),
    ("pump", "pump"),
    ("water pump", "pump"),
    ("buzzer", "buzzer"),
    ("alarm", "alarm"),
    ("humidifier", "humidifier"),
    ("lamp", "lamp"),
    ("fan", "fan"),
];

fn switch(draw: &mut Draw) -> Request {
    let (spoken, thing) = draw.weighted(&SWITCHED.iter().map(|pair| (*pair, 1)).collect::<Vec<_>>());
    let place = place(draw, 55);
    let state = draw.choose(&["on", "off"]);
    let group = match draw.below(100) {
        0..25 if place.is_named() => "switch_placed",
        0..60 => "switch",
        60..82 => {
            if state == "on" {
                "switch_on"
            } else {
                "switch_off"
            }
        }
        _ => "statement",
    };
    let text = draw.phrase(group, &|slot| filled(slot, spoken, &place, state));
    let text = settled(text, &[spoken], &place);
    // An alarm that goes off is one that rings.
    let text = if matches!(thing, "alarm" | "buzzer") {
        text.replace("go off", "be off").replace("goes off", "is off")
    } else {
        text
    };
    let (text, verb) = if spoken == "lights" { (of_several(&text), "are") } else { (text, "is") };
    let say = format!("The {spoken}{} {verb} {state}.", place.answered);
    Request { text, call: set(thing, &place, state), say, result: None }
}

fn filled(slot: &str, thing: &str, place: &Place, state: &str) -> String {
    match slot {
        "t" => thing.into(),
        "pl" => place.asked.clone(),
        "p" => place.spoken.clone(),
        _ => state.into(),
    }
}

/// The text with "in the kitchen" for "of the kitchen" where that does not follow what is in the kitchen.
fn settled(text: String, after: &[&str], place: &Place) -> String {
    let free = [" of ", " from ", " that you "].iter().any(|start| place.asked.starts_with(start));
    if !free || after.iter().any(|noun| text.contains(&format!("{noun}{}", place.asked))) {
        return text;
    }
    text.replace(&place.asked, &place.answered)
}

/// A sentence about one thing, said of several.
fn of_several(text: &str) -> String {
    const VERBS: [(&str, &str); 9] = [
        (" is ", " are "),
        (" has ", " have "),
        (" was ", " were "),
        (" needs ", " need "),
        (" goes ", " go "),
        (" runs ", " run "),
        ("turn it ", "turn them "),
        ("switch it ", "switch them "),
        ("but it ", "but they "),
    ];
    let several = VERBS.iter().fold(format!("{text} "), |text, (one, other)| text.replace(one, other));
    several.trim_end().replace("why is ", "why are ")
}

/// The text of a request whose wording is that of a good one, but whose thing is `thing`, or whose
/// colour is `color`; none where the wording does not name it.
pub fn with_unknown(draw: &mut Draw, thing: &str, color: Option<&str>) -> Option<String> {
    let place = place(draw, 50);
    let state = draw.choose(&["on", "off"]);
    let number = draw.number(1, 100).to_string();
    let unit = draw.choose(&["%", "%", " percent", "", " degrees"]);
    let group = if color.is_some() {
        draw.weighted(&[("led", 8), ("led_on", 5), ("led_off", 3), ("led_blink", 4), ("led_statement", 3)])
    } else {
        let placed = usize::from(place.is_named());
        draw.weighted(&[
            ("switch", 24),
            ("switch_placed", 9 * placed),
            ("switch_on", 8),
            ("switch_off", 8),
            ("statement", 9),
            ("level", 16),
            ("level_placed", 4 * placed),
            ("level_statement", 6),
            ("lock", 2),
            ("unlock", 2),
            ("open", 5),
            ("close", 5),
        ])
    };
    let text = draw.phrase(group, &|slot| match slot {
        "c" => color.unwrap_or_default().into(),
        "n" => number.clone(),
        "pc" => unit.into(),
        _ => filled(slot, thing, &place, state),
    });
    let text = settled(text, &[thing, "level"], &place);
    let text = if thing.ends_with("ains") { of_several(&text) } else { text };
    text.contains(color.unwrap_or(thing)).then_some(text)
}

/// Whether a word is the name of something that a request may mean.
pub fn knows(word: &str) -> bool {
    let others =
        ["led", "relay", "timer", "servo", "motor", "blind", "valve", "door", "gate", "window", "display"];
    let sensors = SENSORS.iter().map(|sensor| sensor.name).chain(["moisture", "temperature"]);
    SWITCHED
        .iter()
        .map(|(spoken, _)| *spoken)
        .chain(COLORS)
        .chain(others)
        .chain(sensors)
        .any(|known| known == word)
}

fn level(draw: &mut Draw) -> Request {
    let (spoken, thing, own) = draw.weighted(&[
        (("lamp", "lamp", "level_lamp"), 3),
        (("light", "lamp", "level_lamp"), 2),
        (("fan", "fan", "level_fan"), 3),
        (("ventilator", "fan", "level_fan"), 1),
        (("pump", "pump", "level"), 2),
        (("blind", "blind", "level"), 2),
        (("valve", "valve", "level"), 2),
        (("servo", "servo", "level_servo"), 3),
        (("motor", "servo", "level_servo"), 1),
        (("heater", "heater", "level_heater"), 3),
    ]);
    let place = place(draw, 50);
    let degrees = matches!(thing, "servo" | "heater");
    let (low, high) = match thing {
        "servo" => (1, 180),
        "heater" => (10, 30),
        _ => (1, 100),
    };
    let number = draw.number(low, high);
    let group = match draw.below(100) {
        0..28 => own,
        _ if thing == "heater" => own,
        28..45 if place.is_named() => "level_placed",
        28..80 => "level",
        _ => "level_statement",
    };
    let unit = draw.choose(if degrees { &["", " degrees"] } else { &["%", "%", " percent", ""] });
    // "Heat the kitchen" needs a place.
    let bare = if place.spoken.is_empty() { "room".into() } else { place.spoken.clone() };
    let text = draw.phrase(group, &|slot| match slot {
        "n" => number.to_string(),
        "pc" => unit.into(),
        "p0" => bare.clone(),
        _ => filled(slot, spoken, &place, ""),
    });
    let text = settled(text, &[spoken, "level", "speed", "brightness", "temperature"], &place);
    // "Room 5" has no article.
    let text = if place.is_named() {
        text
    } else {
        text.replace("the room ", "room ").replace("room to", "the room to")
    };
    let said = if degrees { "degrees" } else { "percent" };
    let say = format!("The {spoken}{} is at {number} {said}.", place.answered);
    Request { text, call: set(thing, &place, &number.to_string()), say, result: None }
}

fn led(draw: &mut Draw) -> Request {
    let color = draw.choose(&COLORS);
    let state = draw.choose(&["on", "off", "blink", "on", "off"]);
    let group = match (state, draw.below(100)) {
        ("blink", 0..90) => "led_blink",
        ("on", 0..30) => "led_on",
        ("off", 0..30) => "led_off",
        (_, 80..100) => "led_statement",
        _ => "led",
    };
    let said = if state == "blink" { "blinking" } else { state };
    let spoken = if group == "led_statement" { said } else { state };
    let text = draw.phrase(group, &|slot| if slot == "c" { color.into() } else { spoken.into() });
    let say = format!("The {color} LED is {said}.");
    Request { text, call: call("set", &["led", color, state]), say, result: None }
}

fn relay(draw: &mut Draw) -> Request {
    let number = 1 + draw.below(8);
    let state = draw.choose(&["on", "off"]);
    let text = draw.phrase("relay", &|slot| if slot == "k" { number.to_string() } else { state.into() });
    let say = format!("Relay {number} is {state}.");
    Request { text, call: call("set", &["relay", &number.to_string(), state]), say, result: None }
}

fn timer(draw: &mut Draw) -> Request {
    let number = draw.number(2, 90);
    let unit = draw.choose(&["second", "minute", "minute", "hour"]);
    let group = if draw.chance(75) { "timer" } else { "timer_statement" };
    let text = draw.phrase(group, &|slot| if slot == "n" { number.to_string() } else { unit.into() });
    let say = format!("The timer is set for {number} {unit}s.");
    Request { text, call: call("timer", &[&number.to_string(), unit]), say, result: None }
}

fn movable(draw: &mut Draw) -> Request {
    let (thing, group, state) = draw.weighted(&[
        (("door", "lock", "locked"), 3),
        (("door", "unlock", "unlocked"), 3),
        (("door", "open", "open"), 2),
        (("door", "close", "closed"), 2),
        (("gate", "lock", "locked"), 1),
        (("gate", "unlock", "unlocked"), 1),
        (("gate", "open", "open"), 2),
        (("gate", "close", "closed"), 2),
        (("window", "open", "open"), 2),
        (("window", "close", "closed"), 2),
        (("blind", "open", "open"), 2),
        (("blind", "close", "closed"), 2),
        (("valve", "open", "open"), 2),
        (("valve", "close", "closed"), 2),
    ]);
    let place = place(draw, 50);
    let text = settled(draw.phrase(group, &|slot| filled(slot, thing, &place, state)), &[thing], &place);
    // "Let me in" is about a door.
    let thing = if text.starts_with("let me in") { "door" } else { thing };
    let say = format!("The {thing}{} is {state}.", place.answered);
    Request { text, call: set(thing, &place, state), say, result: None }
}

/// What is wanted is said by what is wrong.
fn implied(draw: &mut Draw) -> Request {
    let (group, thing, state) = draw.weighted(&[
        (("too_dark", "lamp", "on"), 1),
        (("too_bright", "lamp", "off"), 1),
        (("too_cold", "heater", "on"), 1),
        (("too_hot", "fan", "on"), 1),
    ]);
    let place = place(draw, 50);
    let text = settled(draw.phrase(group, &|slot| filled(slot, thing, &place, state)), &[], &place);
    let say = format!("The {thing}{} is {state}.", place.answered);
    Request { text, call: set(thing, &place, state), say, result: None }
}

fn show(draw: &mut Draw) -> Request {
    let word = if draw.chance(45) { invent(draw) } else { from(draw, SHOWN).into() };
    let group = if draw.chance(75) { "show" } else { "show_statement" };
    let text = draw.phrase(group, &|_| word.clone());
    let say = format!("The display shows {word}.");
    Request { text, call: call("set", &["display", &word]), say, result: None }
}
