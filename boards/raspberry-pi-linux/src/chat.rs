//! A conversation with an assistant.

use sprat::chat::Role;

use crate::assistant::Assistant;
use crate::error::AskError;
use crate::question::{Answer, Message, Question};

/// A conversation, whose oldest turns are forgotten when the context is full.
#[derive(Clone, Debug)]
pub struct Chat {
    assistant: Assistant,
    /// Its messages so far, and how they are answered.
    question: Question,
    /// Messages at its beginning that are never forgotten.
    pinned: usize,
}

impl Chat {
    /// A conversation that has not begun, with an assistant that others may ask too.
    pub fn new(assistant: &Assistant) -> Self {
        Self { assistant: assistant.clone(), question: Question::new(Vec::new()), pinned: 0 }
    }

    /// Answers by other settings than [`Question::new`] has. The question's messages, examples for instance, are the
    /// beginning of the conversation and are never forgotten.
    pub fn with(self, question: Question) -> Self {
        Self { pinned: question.messages.len(), question, ..self }
    }

    /// Says something, and waits for the answer.
    ///
    /// # Errors
    /// As [`Assistant::ask`]. The conversation is as it was then.
    pub fn say(&mut self, text: &str) -> Result<Answer, AskError> {
        let mut question = self.question.clone();
        question.messages.push(Message::new(Role::User, text));
        loop {
            let answered = self.assistant.ask(question.clone());
            match answered {
                // A turn is two messages; the last message is none yet.
                Err(AskError::TooLong { .. }) if question.messages.len() >= self.pinned + 3 => {
                    question.messages.drain(self.pinned..self.pinned + 2);
                }
                Err(error) => return Err(error),
                Ok(answer) => {
                    question.messages.push(Message::new(Role::Assistant, &*answer.text));
                    self.question = question;
                    return Ok(answer);
                }
            }
        }
    }

    /// What was said and is remembered, the oldest message first.
    pub fn messages(&self) -> &[Message] {
        &self.question.messages
    }
}
