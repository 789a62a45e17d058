//! The generated corpus of the default assistant, and the held-out questions that measure it.
//!
//! A model of a million parameters learns little text by heart but many rules, so its corpus is made by rules: word
//! problems with their steps, requests to a device with the call they mean, facts asked in many wordings, requests that
//! nothing serves, words to copy, stories. Everything comes from tables in this package and one seed; no text of others
//! is in it.
//!
//! From the outside in: [`write()`] writes the files of a [`Recipe`]; [`Skill`]s make one [`Chat`] at a time, each
//! from a [`Draw`], which is the source of chance and knows which [`Split`] it serves; the sentences come from
//! [`wording`]s, whose notation is described there.
//!
//! # What is held out
//! | set | never in training |
//! | --- | --- |
//! | numbers | a number that [`is_reserved`]: about one in eight from 13 on. None is in any training chat, neither in a question nor as an intermediate result, an answer, a reading or an atomic number. Each question of the arithmetic set states at least one. Of the device set, four in five want a call with one, such as `timer(17,minute)`; the others, a sentence about a reading. |
//! | entities | the names, objects, containers, places and things in the `HELD_OUT_…` lists, none of which is a word of any training chat. In the set, all of them come from these lists. |
//! | frames | the lines of the wording files that begin with `~`, at least one in seven of nearly every group: statements, events, questions, connectives and noun phrases. Each question of the set holds at least one. Their words do occur in training; their sentence patterns do not. |
//! | story pairs | a pair of hero and thing that a hash keeps back, about one in nine. The words are known one by one; the set asks for a story about both, and an answer that leaves one of them out fails. |
//!
//! A refusal is known by the thing and not by the wording: three refusals in ten, and most of `refuse_things`, have the
//! very wordings of good requests, around a thing or a colour that the device does not have.
//!
//! The tests hold the generator to this on a large sample of training and on all sets.

mod arithmetic;
mod chat;
mod copying;
mod courtesy;
mod device;
mod draw;
mod facts;
mod recipe;
mod refusals;
mod scene;
mod stories;
mod verbs;
pub mod wording;
mod words;

#[cfg(test)]
mod tests;

pub use chat::{Chat, Check, Message, Role, Tested};
pub use draw::{Draw, Split, is_reserved};
use scene::Scene;

pub use recipe::{Recipe, Skill, sets, write};
