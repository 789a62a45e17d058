//! Spotting calls in what a model writes.
//!
//! There are two forms: `<<48/2=`, behind which the result and `>>` are inserted, and `[work]name(arguments)[/work]`,
//! behind which `=> RESULT` and a line break are. A marker that is a token of the model opens a call by its id, and text
//! that only looks like it does not; a marker that the model has no token for is sought in the text.

use super::constraint::{Budget, CallMatcher, InCall, Place};
use crate::tokenizer::Tokenizer;
use crate::tools::Tools;

/// The two forms of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `<<48/2=` and, inserted, `24>>`.
    Calculation,
    /// `[work]read(temp)[/work]` and, inserted, `=> 23.4` and a line break.
    Work,
}

impl Form {
    const ALL: [Self; 2] = [Self::Calculation, Self::Work];

    /// What a call begins with.
    pub(super) const fn opening(self) -> &'static str {
        ["<<", "[work]"][self as usize]
    }

    /// What the model ends its part with.
    pub(super) const fn closing(self) -> &'static str {
        ["=", "[/work]"][self as usize]
    }

    /// What stands before and behind an inserted result.
    pub(super) const fn around_result(self) -> (&'static str, &'static str) {
        [("", ">>"), ("=> ", "\n")][self as usize]
    }
}

/// What the bytes of a token did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spotted {
    /// Nothing to act on.
    Nothing,
    /// A call is complete: its text lies in the buffer.
    Call(Form),
    /// A call is longer than its buffer; what follows is text again.
    TooLong,
}

/// Looks for calls in a stream of tokens.
#[derive(Debug)]
pub(super) struct Calls<'b> {
    ids: [Option<u32>; 2],
    enabled: [bool; 2],
    /// Bytes of each opening marker that the text ends with.
    seen: [usize; 2],
    inside: Option<Form>,
    /// Whether calls are written by their grammar, and then how far one has got.
    constrains: bool,
    matcher: Option<CallMatcher>,
    text: &'b mut [u8],
    length: usize,
}

impl<'b> Calls<'b> {
    /// Looks for calls of `tools`, which may be as long as `text`.
    pub(super) fn new(
        tokenizer: &Tokenizer<'_>,
        tools: &Tools<'_, '_>,
        constrains: bool,
        text: &'b mut [u8],
    ) -> Self {
        let ids = Form::ALL.map(|form| tokenizer.id_of(form.opening()));
        let enabled = [tools.calculator.is_some(), !tools.named.is_empty()];
        Self { ids, enabled, seen: [0; 2], inside: None, constrains, matcher: None, text, length: 0 }
    }

    /// Gives the lent memory back.
    pub(super) fn into_buffer(self) -> &'b mut [u8] {
        self.text
    }

    /// The call that is being written.
    pub(super) fn inside(&self) -> Option<Form> {
        self.inside
    }

    /// The text of the call so far, or of the last one.
    pub(super) fn text(&self) -> &[u8] {
        &self.text[..self.length]
    }

    /// The place in the call that is being written, if it is written by its grammar.
    pub(super) fn place<'a, 'r, 't>(&self, tools: &'a Tools<'r, 't>) -> Option<InCall<'a, 'r, 't>> {
        self.matcher.map(|matcher| InCall { tools, matcher })
    }

    /// Bytes that the call may still have.
    pub(super) fn bytes_left(&self) -> usize {
        self.text.len() - self.length
    }

    /// The tokens that open a call which could not be completed with so many tokens behind it.
    pub(super) fn forbidden(&self, tools: &Tools<'_, '_>, tokens: usize) -> [Option<u32>; 2] {
        let budget = Budget { tokens, bytes: self.text.len() };
        Form::ALL.map(|form| {
            let place = InCall { tools, matcher: CallMatcher::new(form) };
            let is_wanted = self.constrains && self.enabled[form as usize];
            self.ids[form as usize].filter(|_| is_wanted && !budget.suffices(place.shortest_completion()))
        })
    }

    /// Gives up the call that is being written: what follows is text.
    pub(super) fn leave(&mut self) {
        (self.inside, self.matcher, self.seen) = (None, None, [0; 2]);
    }

    /// Takes the bytes of a token, up to where something is to be done or the grammar has it otherwise: what is to be
    /// done, and the bytes taken.
    pub(super) fn push(&mut self, token: u32, bytes: &[u8], tools: &Tools<'_, '_>) -> (Spotted, usize) {
        for (place, &byte) in bytes.iter().enumerate() {
            let Some(form) = self.inside else {
                self.look_for_opening(byte);
                continue;
            };
            if let Some(in_call) = self.place(tools) {
                // Only behind an opening within this token.
                let Some(further) = in_call.advance(byte) else { return (Spotted::Nothing, place) };
                self.matcher = Some(further.matcher);
            }
            let spotted = self.push_inside(form, byte);
            if spotted != Spotted::Nothing {
                self.leave();
                return (spotted, place + 1);
            }
        }
        if self.inside.is_none() {
            let opened = Form::ALL.into_iter().find(|form| self.ids[*form as usize] == Some(token));
            opened.into_iter().for_each(|form| self.open(form));
        }
        (Spotted::Nothing, bytes.len())
    }

    fn open(&mut self, form: Form) {
        if self.enabled[form as usize] {
            (self.inside, self.length) = (Some(form), 0);
            self.matcher = self.constrains.then_some(CallMatcher::new(form));
        }
    }

    /// For markers that are no tokens. None of them begins again within itself.
    fn look_for_opening(&mut self, byte: u8) {
        for form in Form::ALL {
            if self.ids[form as usize].is_some() {
                continue;
            }
            let (opening, seen) = (form.opening().as_bytes(), &mut self.seen[form as usize]);
            if opening.get(*seen) != Some(&byte) {
                *seen = 0;
            }
            *seen += usize::from(opening.get(*seen) == Some(&byte));
            if *seen == opening.len() {
                self.seen = [0; 2];
                return self.open(form);
            }
        }
    }

    fn push_inside(&mut self, form: Form, byte: u8) -> Spotted {
        let Some(place) = self.text.get_mut(self.length) else { return Spotted::TooLong };
        *place = byte;
        self.length += 1;
        let closed = self.text().strip_suffix(form.closing().as_bytes()).map(<[u8]>::len);
        // In quotes, the text of a closing marker closes nothing.
        let is_complete = self.matcher.is_none_or(|matcher| matcher.is_complete());
        match closed.filter(|_| is_complete) {
            Some(length) => {
                self.length = length;
                Spotted::Call(form)
            }
            None => Spotted::Nothing,
        }
    }
}

/// The name and the arguments of a call by name; `None` if it is none.
pub(super) fn name_and_arguments(call: &str) -> Option<(&str, &str)> {
    call.trim().strip_suffix(')')?.split_once('(')
}
