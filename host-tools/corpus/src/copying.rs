//! Words to copy out of the question: by themselves, or as the answer to who, what and where.

use crate::chat::Chat;
use crate::courtesy::articles;
use crate::words::{capitalized, invent, name, object, place, sentences};
use crate::{Draw, Split};

/// A question whose answer stands in it.
pub fn chat(draw: &mut Draw) -> Chat {
    loop {
        draw.begin();
        let group = draw.weighted(&[
            ("say", 34),
            ("say_two", 12),
            ("name_is", 16),
            ("where_is", 16),
            ("who_has", 14),
            ("first_of", 8),
        ]);
        let (w, v) = (word(draw, group), word(draw, group));
        let (first, second) = (name(draw), name(draw));
        let (x, y) = (object(draw), place(draw));
        let (mut w, mut v) = (w, v);
        if group == "where_is" {
            (w, v) = (object(draw), place(draw));
        } else if group == "name_is" {
            w.clone_from(&first);
        } else if group == "who_has" {
            (w, v) = (object(draw), object(draw));
        }
        if w == v || first == second || x == w || y == v {
            continue;
        }
        let text = draw.phrase(group, &|slot| match slot {
            "w" => w.clone(),
            "v" => v.clone(),
            "W" => first.clone(),
            "V" => second.clone(),
            "x" => x.clone(),
            _ => y.clone(),
        });
        let answer = match group {
            "say_two" => format!("{w} {v}"),
            "name_is" => answer_to_name(&text, &first),
            "where_is" => format!("The {w} is in the {v}."),
            "who_has" => format!("{first} has the {w}."),
            _ => w.clone(),
        };
        if draw.split() == Split::Frames && !draw.has_held_out_wording() {
            continue;
        }
        // A sentence would begin with a capital, and what is to be repeated has none.
        let question = if group == "say" || group == "say_two" || group == "first_of" {
            capitalized(&text)
        } else {
            sentences(&articles(&text))
        };
        return Chat::plain("copy", group, question, answer);
    }
}

fn answer_to_name(text: &str, name: &str) -> String {
    if text.contains("who am I") { format!("You are {name}.") } else { format!("Your name is {name}.") }
}

fn word(draw: &mut Draw, group: &str) -> String {
    match draw.below(100) {
        0..75 => invent(draw),
        75..88 => object(draw),
        88..94 if group != "first_of" => draw.number(2, 999).to_string(),
        _ => name(draw),
    }
}
