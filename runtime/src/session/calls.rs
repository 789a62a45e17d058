//! Spotting calls in what a model writes.
//!
//! There are two forms: `<<48/2=`, behind which the result and `>>` are inserted, and `[work]name(arguments)[/work]`,
//! behind which `=> RESULT` and a line break are. A marker that is a token of the model opens a call by its id, and text
//! that only looks like it does not; a marker that the model has no token for is sought in the text.

use crate::tokenizer::Tokenizer;

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
    text: &'b mut [u8],
    length: usize,
}

impl<'b> Calls<'b> {
    /// Looks for the enabled forms; calls may be as long as `text`.
    pub(super) fn new(tokenizer: &Tokenizer<'_>, enabled: [bool; 2], text: &'b mut [u8]) -> Self {
        let ids = Form::ALL.map(|form| tokenizer.id_of(form.opening()));
        Self { ids, enabled, seen: [0; 2], inside: None, text, length: 0 }
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

    /// Gives up the call that is being written: what follows is text.
    pub(super) fn leave(&mut self) {
        (self.inside, self.seen) = (None, [0; 2]);
    }

    /// Takes the bytes of a token, up to where something is to be done: what that is, and the bytes taken.
    pub(super) fn push(&mut self, token: u32, bytes: &[u8]) -> (Spotted, usize) {
        for (place, &byte) in bytes.iter().enumerate() {
            let spotted = match self.inside {
                Some(form) => self.push_inside(form, byte),
                None => {
                    self.look_for_opening(byte);
                    Spotted::Nothing
                }
            };
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
        match self.text().strip_suffix(form.closing().as_bytes()) {
            Some(call) => {
                self.length = call.len();
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
