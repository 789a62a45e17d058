//! Short stories by a grammar, about what was asked for.

use crate::chat::{Chat, Check};
use crate::verbs::with_article;
use crate::words::{capitalized, from, invent, sentences};
use crate::{Draw, Split};

const HEROES: &str = "fox bear cat dog mouse bird frog rabbit duck lion owl turtle pig horse cow wolf bee ant snail hen girl boy \
    robot dragon king queen knight farmer goat sheep tiger monkey squirrel whale fish crow hedgehog giant pirate wizard";
const THINGS: &str = "lamp key ball hat book cake star boat drum kite box stone flower bell cup plate coin apple leaf shell map ring \
    ladder clock sword crown pearl mirror letter balloon bike egg seed candle button tree";
const ADJECTIVES: &str =
    "red old tiny shiny magic big blue golden lost strange soft warm silver round heavy green secret";
const CHARACTERS: &str =
    "little happy lonely brave shy clever kind curious sleepy proud gentle busy small old young";
const WHERE: [&str; 10] = [
    "in the forest",
    "near the river",
    "under a tree",
    "on a hill",
    "by the sea",
    "in the garden",
    "behind the house",
    "in an old castle",
    "at the edge of the village",
    "in the mountains",
];

/// A story about two animals or people and a thing.
pub fn chat(draw: &mut Draw) -> Chat {
    loop {
        draw.begin();
        let (hero, friend, thing) = (from(draw, HEROES), from(draw, HEROES), from(draw, THINGS));
        let invented = draw.chance(6).then(|| invent(draw));
        let hero = invented.as_deref().unwrap_or(hero);
        let tested = draw.split() == Split::Entities;
        if hero == friend
            || is_kept(hero, thing) != tested
            || (tested && (is_hidden(hero) || is_hidden(thing)))
        {
            continue;
        }
        if let Some(chat) = told(draw, hero, friend, thing) {
            return chat;
        }
    }
}

/// Whether a hero and a thing are one of the pairs, about one in nine, of which training tells no story.
pub fn is_kept(hero: &str, thing: &str) -> bool {
    (hero.len() * 7 + usize::from(hero.as_bytes()[0]) + usize::from(thing.as_bytes()[1]) * 3)
        .is_multiple_of(9)
}

/// Whether a name stands within common words of stories ("wanted", "then", "that"), so that a search for its letters
/// would find it in a story that is not about it. No question of the held-out set asks for one.
fn is_hidden(name: &str) -> bool {
    ["ant", "hen", "hat", "ring", "key", "bee", "ball", "star"].contains(&name)
}

fn told(draw: &mut Draw, hero: &str, friend: &str, thing: &str) -> Option<Chat> {
    let (a, t, b) = (with_article(hero), with_article(thing), with_article(friend));
    let ask = draw.phrase("story_ask", &|slot| match slot {
        "a" => a.clone(),
        "t" => t.clone(),
        _ => b.clone(),
    });
    if draw.split() == Split::Frames && !draw.has_held_out_wording() {
        return None;
    }
    let (he, him, his) = draw.weighted(&[(("he", "him", "his"), 1), (("she", "her", "her"), 1)]);
    let character = with_article(&format!("{} {hero}", from(draw, CHARACTERS)));
    let kind = with_article(&format!("{} {thing}", from(draw, ADJECTIVES)));
    let at = draw.below(WHERE.len());
    let (place, other) = (WHERE[at], WHERE[(at + 1 + draw.below(WHERE.len() - 1)) % WHERE.len()]);
    let mut met = false;
    let mut text = String::new();
    for group in ["story_one", "story_two", "story_problem", "story_help", "story_end", "story_last"] {
        // The friend is new only once.
        let new = if met { format!("the {friend}") } else { b.clone() };
        let sentence = draw.phrase(group, &|slot| match slot {
            "a" => hero.into(),
            "aa" => character.clone(),
            "b" => friend.into(),
            "bb" => new.clone(),
            "t" => thing.into(),
            "tt" => kind.clone(),
            "w" | "w0" => place.into(),
            "w2" => other.into(),
            "he" | "He" => he.into(),
            "him" => him.into(),
            "him2" => format!("the {friend}"),
            _ => his.into(),
        });
        met |= sentence.split(|letter: char| !letter.is_ascii_alphabetic()).any(|word| word == friend);
        text += &capitalized(&sentence);
        text.push(' ');
    }
    let text = sentences(&quoted(&text));
    let mut chat = Chat::plain("story", "story", sentences(&ask), text);
    chat.check = Check::Contains;
    chat.expect = format!("{hero}|{thing}");
    Some(chat)
}

/// What is said begins with a capital.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    let mut opens = true;
    let mut pending = false;
    for character in text.chars() {
        if character == '"' {
            pending = opens;
            opens = !opens;
            out.push(character);
        } else if pending {
            out.extend(character.to_uppercase());
            pending = false;
        } else {
            out.push(character);
        }
    }
    out
}
