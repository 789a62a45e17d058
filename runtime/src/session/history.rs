//! The turns of a conversation, kept as text in a lent buffer, so that they can be read again.
//!
//! A key-value cache cannot lose its beginning: what follows was computed from it. To drop the oldest turn, the others
//! are read again, and for that somebody must still have them.

use crate::chat::Role;

/// A message's place in the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Said by the caller.
    Said(Role),
    /// Written by the model, with what was inserted.
    Written,
}

/// Bytes before each message: its kind and its length.
const HEADER_BYTES: usize = 5;

/// Messages, oldest first.
#[derive(Debug)]
pub(super) struct History<'b> {
    buffer: &'b mut [u8],
    used: usize,
    /// Where the last message begins.
    last: usize,
    /// Whether a message is missing, so that the conversation cannot be read again.
    is_broken: bool,
}

impl<'b> History<'b> {
    pub(super) fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, used: 0, last: 0, is_broken: false }
    }

    /// How much there is, to come back to with [`undo`](Self::undo).
    pub(super) fn mark(&self) -> (usize, usize, bool) {
        (self.used, self.last, self.is_broken)
    }

    /// Takes off what was added since a mark; nothing may have been dropped since.
    pub(super) fn undo(&mut self, (used, last, is_broken): (usize, usize, bool)) {
        (self.used, self.last, self.is_broken) = (used, last, is_broken);
    }

    /// Bytes of all messages and their headers.
    pub(super) fn bytes(&self) -> usize {
        self.used
    }

    pub(super) fn clear(&mut self) {
        (self.used, self.last, self.is_broken) = (0, 0, false);
    }

    /// Adds a message. If there is no room for it, the conversation can no longer be read again.
    pub(super) fn push(&mut self, kind: Kind, text: &str) {
        let tag = match kind {
            Kind::Said(role) => role as u8,
            Kind::Written => Role::ALL.len() as u8,
        };
        let end = self.used + HEADER_BYTES;
        if self.is_broken || end > self.buffer.len() {
            self.is_broken = true;
            return;
        }
        self.last = self.used;
        self.buffer[self.used..end].copy_from_slice(&[tag, 0, 0, 0, 0]);
        self.used = end;
        self.extend_last(text);
    }

    /// Adds to the last message.
    pub(super) fn extend_last(&mut self, text: &str) {
        if self.is_broken {
            return;
        }
        let end = self.used + text.len();
        let Some(place) = self.buffer.get_mut(self.used..end) else {
            self.is_broken = true;
            return;
        };
        place.copy_from_slice(text.as_bytes());
        self.used = end;
        let length = (end - self.last - HEADER_BYTES) as u32;
        self.buffer[self.last + 1..self.last + HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
    }

    /// The message that begins at a byte, and where the next one does.
    pub(super) fn get(&self, at: usize) -> Option<(Kind, &str, usize)> {
        let (header, rest) = self.buffer.get(at..self.used)?.split_first_chunk::<HEADER_BYTES>()?;
        let [tag, length @ ..] = *header;
        let text = rest.get(..u32::from_le_bytes(length) as usize)?;
        let kind = Role::ALL.get(usize::from(tag)).map_or(Kind::Written, |role| Kind::Said(*role));
        // Only whole texts were copied.
        Some((kind, core::str::from_utf8(text).unwrap_or_default(), at + HEADER_BYTES + text.len()))
    }

    /// Turns that begin with a message of a person.
    pub(super) fn turns(&self) -> usize {
        let (mut at, mut turns) = (0, 0);
        while let Some((kind, _, next)) = self.get(at) {
            turns += usize::from(kind == Kind::Said(Role::User));
            at = next;
        }
        turns
    }

    /// Drops the oldest turn: the first message of a person and what follows, up to the next one. What stands before
    /// it, as a system message does, stays, and so does the last turn. The bytes dropped, 0 if there was nothing to drop.
    pub(super) fn drop_oldest_turn(&mut self) -> usize {
        if self.is_broken {
            return 0;
        }
        let (mut at, mut first) = (0, None);
        while let Some((kind, _, next)) = self.get(at) {
            match first {
                None if kind == Kind::Said(Role::User) => first = Some(at),
                Some(first) if kind == Kind::Said(Role::User) => {
                    self.buffer.copy_within(at..self.used, first);
                    self.used -= at - first;
                    self.last -= at - first;
                    return at - first;
                }
                _ => {}
            }
            at = next;
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_turn_goes_and_the_frame_and_the_last_turn_stay() {
        let (user, assistant) = (Kind::Said(Role::User), Kind::Said(Role::Assistant));
        let mut buffer = [0; 64];
        let mut history = History::new(&mut buffer);
        history.push(Kind::Said(Role::System), "be kind");
        history.push(user, "one");
        history.push(assistant, "1");
        history.push(user, "two");
        history.push(Kind::Written, "");
        history.extend_last("tw");
        history.extend_last("é");
        assert_eq!(history.drop_oldest_turn(), HEADER_BYTES * 2 + 4);
        let mut at = 0;
        for expected in [(Kind::Said(Role::System), "be kind"), (user, "two"), (Kind::Written, "twé")] {
            let (kind, text, next) = history.get(at).unwrap();
            assert_eq!((kind, text), expected);
            at = next;
        }
        assert_eq!((history.get(at), at), (None, history.bytes()));
        assert_eq!(history.drop_oldest_turn(), 0, "the last turn stays");
        history.extend_last("!");
        assert_eq!(history.get(HEADER_BYTES * 2 + 10).unwrap().1, "twé!");
    }

    #[test]
    fn without_room_nothing_can_be_dropped() {
        let mut buffer = [0; 24];
        let mut history = History::new(&mut buffer);
        for text in ["one", "two", "three"] {
            history.push(Kind::Said(Role::User), text);
        }
        assert_eq!(history.drop_oldest_turn(), 0);
        history.clear();
        history.push(Kind::Said(Role::User), "four");
        assert_eq!(history.get(0).unwrap().1, "four");
    }
}
