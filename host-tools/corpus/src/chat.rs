//! One chat, as a line of JSON.
//!
//! The form is the one that training tools read: messages with roles. What a tool answers is a message of its own, so
//! that a trainer can leave it out of the loss and cut the tokens where the runtime will cut them.

use serde::Serialize;

/// Who writes a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The person who asks.
    User,
    /// The model; only this is learned.
    Assistant,
    /// What the machine inserts: the result of a calculation or of a call.
    Tool,
}

/// A piece of a chat by one writer. A tool's message continues the assistant's text without a turn in between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Who writes it.
    pub role: Role,
    /// Its text.
    pub content: String,
}

/// How an answer is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// The number after `####` is the expected one.
    Number,
    /// The first call, without its brackets, is the expected text.
    Call,
    /// The whole answer is the expected text.
    Exact,
    /// The whole answer is the refusal.
    Refusal,
    /// Each of the expected texts, separated by `|`, is in the answer, as one of its words.
    Contains,
}

/// A chat with a question, what the assistant should write, and how to judge what it does write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chat {
    /// The question and the pieces of the answer.
    pub messages: Vec<Message>,
    /// The skill it trains: `arith`, `device`, `fact`, `refuse`, `copy` or `story`.
    pub skill: &'static str,
    /// The kind of question within the skill.
    pub kind: &'static str,
    /// How an answer is judged; only in held-out files.
    #[serde(skip)]
    pub check: Check,
    /// What the judge looks for.
    #[serde(skip)]
    pub expect: String,
}

impl Chat {
    /// A chat of one question and an answer without tools.
    pub fn plain(skill: &'static str, kind: &'static str, question: String, answer: String) -> Self {
        let expect = answer.clone();
        let mut chat = Self { messages: Vec::new(), skill, kind, check: Check::Exact, expect };
        chat.push(Role::User, question);
        chat.push(Role::Assistant, answer);
        chat
    }

    /// A chat of one question, to which pieces are to be added.
    pub fn asked(
        skill: &'static str,
        kind: &'static str,
        question: String,
        check: Check,
        expect: String,
    ) -> Self {
        Self { messages: vec![Message { role: Role::User, content: question }], skill, kind, check, expect }
    }

    /// Adds a piece.
    pub fn push(&mut self, role: Role, content: String) {
        self.messages.push(Message { role, content });
    }

    /// Bytes of all messages.
    pub fn length(&self) -> usize {
        self.messages.iter().map(|message| message.content.len()).sum()
    }

    /// What the person asks.
    pub fn question(&self) -> &str {
        self.messages.first().map_or("", |message| &message.content)
    }

    /// What follows the question, with what tools insert.
    pub fn answer(&self) -> String {
        self.messages.iter().skip(1).map(|message| message.content.as_str()).collect()
    }
}

/// A chat of a held-out set, with what an evaluator needs.
#[derive(Debug, Clone, Serialize)]
pub struct Tested<'a> {
    /// The chat; `messages` hold the wanted answer.
    #[serde(flatten)]
    pub chat: &'a Chat,
    /// The set that it belongs to.
    pub set: &'a str,
    /// How an answer is judged.
    pub check: Check,
    /// What the judge looks for.
    pub expect: &'a str,
    /// What the device answers to the expected call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<&'a str>,
}

impl<'a> Tested<'a> {
    /// `chat` as a question of `set`.
    pub fn new(chat: &'a Chat, set: &'a str) -> Self {
        let tool = chat.messages.iter().find(|message| message.role == Role::Tool);
        let result = tool.filter(|_| chat.check == Check::Call);
        let result = result.map(|message| message.content.trim_start_matches("=> ").trim_end());
        Self { chat, set, check: chat.check, expect: &chat.expect, result }
    }
}
