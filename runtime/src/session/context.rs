//! Making room in a full context.

use super::history::Kind;
use super::{Session, SessionError, WhenFull};
use crate::chat::stop::first;
use crate::chat::{Chat, Piece};
use crate::engine::EngineError;

impl Session<'_, '_, '_, '_, '_> {
    /// Drops turns and reads the others again, until there is room for a token. False if that is not wanted or not
    /// possible; if turns were dropped nevertheless, the conversation begins anew behind what is pinned.
    ///
    /// `lacking` tokens at least have to go.
    pub(super) fn drop_turns(&mut self, lacking: usize) -> Result<bool, SessionError> {
        if self.options.when_full != WhenFull::DropOldestTurn {
            return Ok(false);
        }
        let tokens = self.engine().position() - self.pinned.position + lacking;
        let bytes = self.history.bytes().max(1);
        let (mut dropped_bytes, mut has_dropped) = (0, false);
        loop {
            let dropped = self.history.drop_oldest_turn();
            if dropped == 0 {
                if has_dropped {
                    self.forget();
                }
                return Ok(false);
            }
            has_dropped = true;
            dropped_bytes += dropped;
            self.statistics.dropped_turns += 1;
            // A re-reading that would most likely not do is left out.
            let is_likely_enough = dropped_bytes * tokens / bytes > lacking;
            let is_last = self.history.turns() == 1;
            if (is_likely_enough || is_last) && self.read_again()? {
                return Ok(true);
            }
        }
    }

    /// Forgets all behind what is pinned: an answer that is open, and what was said and not read, too.
    pub(super) fn forget(&mut self) {
        self.generator.discard_pending();
        self.generator.engine_mut().truncate(self.pinned.position);
        self.chat = self.pinned.chat;
        self.transcript.clear();
        self.history.clear();
    }

    /// Reads all that is in the history, behind what is pinned; false if there is no room for it and one more token.
    fn read_again(&mut self) -> Result<bool, SessionError> {
        let (Some(mut chat), Some(at_end)) = (self.pinned.chat, self.chat) else { return Ok(false) };
        self.generator.discard_pending();
        self.generator.engine_mut().truncate(self.pinned.position);
        self.transcript.clear();
        match self.read_messages(&mut chat, at_end.is_opened()) {
            Ok(()) if self.engine().room() > 0 => {
                self.chat = Some(chat);
                Ok(true)
            }
            Ok(()) | Err(SessionError::Engine(EngineError::ContextFull { .. })) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn read_messages(&mut self, chat: &mut Chat<'_>, opened_at_end: bool) -> Result<(), SessionError> {
        // The conversation was in this order before, so the template has a place for every message.
        let mut at = 0;
        while let Some((kind, text, next)) = self.history.get(at) {
            let is_last = next == self.history.bytes();
            match kind {
                Kind::Said(role) => {
                    let after = *chat;
                    if self.transcript.extend(chat.say(role, text)?).is_err() {
                        self.read_gathered()?;
                        *chat = after;
                        let Some((_, text, _)) = self.history.get(at) else { break };
                        self.transcript.extend(chat.say(role, text)?)?;
                    }
                }
                Kind::Written => {
                    // As it was read before: what opens the answer with the messages, the answer by itself.
                    let opening = chat.open_answer()?;
                    self.push_or_read(opening)?;
                    self.read_gathered()?;
                    self.read_answer(at)?;
                    if !(is_last && opened_at_end) {
                        chat.answered();
                    }
                }
            }
            at = next;
        }
        if opened_at_end && !chat.is_opened() {
            let opening = chat.open_answer()?;
            self.push_or_read(opening)?;
        }
        self.read_gathered()
    }

    fn push_or_read(&mut self, piece: Piece<'_>) -> Result<(), SessionError> {
        if self.transcript.extend([piece]).is_err() {
            self.read_gathered()?;
            self.transcript.extend([piece])?;
        }
        Ok(())
    }

    /// Reads an answer of the history, in parts if it is longer than a message may be.
    fn read_answer(&mut self, at: usize) -> Result<(), SessionError> {
        let most = self.transcript.capacity().min(self.engine().limits().prompt_bytes as usize);
        let mut from = 0;
        while let Some((_, text, _)) = self.history.get(at) {
            let rest = text.get(from..).unwrap_or_default();
            let part = first(rest, rest.floor_char_boundary(most));
            if part.is_empty() {
                break;
            }
            from += part.len();
            self.transcript.extend([Piece::Content(part)])?;
            self.read_gathered()?;
        }
        Ok(())
    }

    fn read_gathered(&mut self) -> Result<(), SessionError> {
        if !self.transcript.is_empty() {
            let count = self.generator.engine_mut().prompt_pieces(&self.transcript)?;
            self.statistics.reread_tokens += count as u32;
            self.transcript.clear();
        }
        Ok(())
    }
}
