//! Which tokens may be chosen while a grammar holds.
//!
//! A token may come if its bytes lead on in the grammar and what it begins can still be completed within the limits, one
//! token a byte at worst. So a call or an answer that was begun is always ended in time.

use super::calls::Form;
use crate::grammar::{ByteSet, Grammar, Matcher, longer, shortest_rest, whole};
use crate::image::Image;
use crate::tokenizer::Tokenizer;
use crate::tools::Tools;

/// A place in something that is written by a grammar.
pub(super) trait Place: Copy {
    /// Whether a token that ends a text may follow once it is complete.
    const ENDS_TEXT: bool;

    /// The place behind one byte more; `None` if it is not allowed.
    fn advance(&self, byte: u8) -> Option<Self>;

    /// The bytes that may follow, and maybe some that [`advance`](Self::advance) refuses.
    fn next_bytes(&self) -> ByteSet;

    /// The fewest bytes that complete it.
    fn shortest_completion(&self) -> usize;

    /// Whether a special token may come because of its bytes.
    fn is_marker(&self, _bytes: &[u8]) -> bool {
        false
    }
}

/// What there is left to complete it with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    pub(super) tokens: usize,
    pub(super) bytes: usize,
}

impl Budget {
    /// Whether it suffices for so many bytes, each of which may take a token.
    pub(super) fn suffices(&self, bytes: usize) -> bool {
        bytes <= self.tokens && bytes <= self.bytes
    }
}

/// Takes the tokens from `first` on that may not come out of the game; how many may.
pub(super) fn restrict<P: Place>(
    place: P,
    budget: Budget,
    image: &Image<'_>,
    tokenizer: &Tokenizer<'_>,
    first: usize,
    logits: &mut [f32],
) -> usize {
    let next = place.next_bytes();
    let may_end = place.shortest_completion() == 0;
    let mut allowed = 0;
    for (logit, token) in logits.iter_mut().zip(first as u32..) {
        let bytes = tokenizer.token_bytes(token);
        let may_come = match bytes.first() {
            _ if image.is_end(token) => P::ENDS_TEXT && may_end,
            Some(&byte) if next.has(byte) => {
                (!tokenizer.is_special(token) || place.is_marker(bytes)) && leads_on(place, bytes, budget)
            }
            _ => false,
        };
        // What was out of the game before stays there.
        if may_come && *logit > f32::NEG_INFINITY {
            allowed += 1;
        } else {
            *logit = f32::NEG_INFINITY;
        }
    }
    allowed
}

fn leads_on(place: impl Place, bytes: &[u8], budget: Budget) -> bool {
    let end = bytes.iter().try_fold(place, |place, &byte| place.advance(byte));
    let (tokens, left) = (budget.tokens.checked_sub(1), budget.bytes.checked_sub(bytes.len()));
    end.zip(tokens.zip(left))
        .is_some_and(|(end, (tokens, bytes))| Budget { tokens, bytes }.suffices(end.shortest_completion()))
}

/// A place in an answer by a grammar.
#[derive(Clone, Copy)]
pub(super) struct InAnswer<'g> {
    pub(super) grammar: &'g Grammar<'g>,
    pub(super) matcher: Matcher,
}

impl Place for InAnswer<'_> {
    const ENDS_TEXT: bool = true;

    fn advance(&self, byte: u8) -> Option<Self> {
        Some(Self { matcher: self.matcher.advance(self.grammar, byte)?, ..*self })
    }

    fn next_bytes(&self) -> ByteSet {
        self.matcher.next_bytes(self.grammar)
    }

    fn shortest_completion(&self) -> usize {
        self.matcher.shortest_completion(self.grammar)
    }
}

/// How far a call has got.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallMatcher {
    form: Form,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// In the name of a tool: so many bytes of that of tool `tool`, or of another that begins so.
    Name { tool: usize, length: usize },
    /// In what the tool is called with.
    Arguments { tool: usize, matcher: Matcher },
    /// In what closes the call.
    Closing { length: usize },
}

impl CallMatcher {
    /// Behind what opens a call.
    pub(super) const fn new(form: Form) -> Self {
        let stage = match form {
            Form::Calculation => Stage::Arguments { tool: 0, matcher: Matcher::START },
            Form::Work => Stage::Name { tool: 0, length: 0 },
        };
        Self { form, stage }
    }

    /// What closes the call, from behind the arguments on.
    const fn closing(&self) -> &'static [u8] {
        match self.form {
            Form::Calculation => b"=",
            Form::Work => b")[/work]",
        }
    }

    /// Whether the call is complete.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.stage, Stage::Closing { length } if length == self.closing().len())
    }
}

/// A place in a call, among the tools that can be called.
#[derive(Clone, Copy)]
pub(super) struct InCall<'a, 'r, 't> {
    pub(super) tools: &'a Tools<'r, 't>,
    pub(super) matcher: CallMatcher,
}

impl InCall<'_, '_, '_> {
    fn arguments(&self, tool: usize) -> Option<Grammar<'_>> {
        match self.matcher.form {
            Form::Calculation => self.tools.calculator.as_ref().map(|tool| tool.arguments()),
            Form::Work => self.tools.named.get(tool).map(|tool| tool.arguments()),
        }
    }

    fn at(self, stage: Stage) -> Self {
        Self { matcher: CallMatcher { stage, ..self.matcher }, ..self }
    }
}

impl Place for InCall<'_, '_, '_> {
    const ENDS_TEXT: bool = false;

    fn advance(&self, byte: u8) -> Option<Self> {
        let closing = self.matcher.closing();
        let stage = match self.matcher.stage {
            Stage::Name { tool, length } => {
                let names = |tool: usize| self.tools.named.get(tool).map(|tool| tool.name());
                match longer(&names, tool, length, byte) {
                    Some(tool) => Stage::Name { tool, length: length + 1 },
                    None if byte == b'(' => {
                        let tool = whole(&names, tool, length)?;
                        Stage::Arguments { tool, matcher: Matcher::START }
                    }
                    None => return None,
                }
            }
            Stage::Arguments { tool, matcher } => {
                let grammar = self.arguments(tool)?;
                match matcher.advance(&grammar, byte) {
                    Some(matcher) => Stage::Arguments { tool, matcher },
                    None if closing.first() == Some(&byte) && matcher.is_at_end(&grammar) => {
                        Stage::Closing { length: 1 }
                    }
                    None => return None,
                }
            }
            Stage::Closing { length } if closing.get(length) == Some(&byte) => {
                Stage::Closing { length: length + 1 }
            }
            Stage::Closing { .. } => return None,
        };
        Some(self.at(stage))
    }

    fn next_bytes(&self) -> ByteSet {
        let closing = self.matcher.closing();
        match self.matcher.stage {
            Stage::Name { tool, length } => {
                let begun = self.tools.named.get(tool).and_then(|tool| tool.name().as_bytes().get(..length));
                let names = self.tools.named.iter().map(|tool| tool.name().as_bytes());
                let following = names.filter_map(|name| name.strip_prefix(begun.unwrap_or_default()));
                let bytes = following.map(|rest| rest.first().copied().unwrap_or(b'('));
                bytes.fold(ByteSet::NONE, ByteSet::with)
            }
            Stage::Arguments { tool, matcher } => {
                let Some(grammar) = self.arguments(tool) else { return ByteSet::NONE };
                let bytes = matcher.next_bytes(&grammar);
                match closing.first().filter(|_| matcher.is_at_end(&grammar)) {
                    Some(&byte) => bytes.with(byte),
                    None => bytes,
                }
            }
            Stage::Closing { length } => match closing.get(length) {
                Some(&byte) => ByteSet::NONE.with(byte),
                None => ByteSet::NONE,
            },
        }
    }

    fn shortest_completion(&self) -> usize {
        let closing = self.matcher.closing().len();
        match self.matcher.stage {
            Stage::Name { tool, length } => {
                let names = |tool: usize| self.tools.named.get(tool).map(|tool| tool.name());
                // The parenthesis, and the shortest arguments.
                let behind = |tool: usize| {
                    let arguments = self.arguments(tool);
                    1 + arguments.map_or(0, |grammar| Matcher::START.shortest_completion(&grammar))
                };
                closing + shortest_rest(&names, tool, length, &behind).unwrap_or_default()
            }
            Stage::Arguments { tool, matcher } => {
                closing + self.arguments(tool).map_or(0, |grammar| matcher.shortest_completion(&grammar))
            }
            Stage::Closing { length } => closing - length,
        }
    }

    fn is_marker(&self, bytes: &[u8]) -> bool {
        bytes == Form::Work.closing().as_bytes()
    }
}
