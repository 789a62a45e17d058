//! Arguments about conversations: which template a model is packed with, and a turn in it.

use clap::Args;

use crate::chat::{ChatOptions, ChatSource};
use crate::run::ChatTurn;

/// Which chat template a model is packed with.
#[derive(Debug, Args)]
pub(super) struct TemplateArguments {
    /// The chat template, instead of the checkpoint's: a file of Jinja, or chatml, llama2, llama3, gemma, phi3, zephyr,
    /// mistral, alpaca, vicuna or sprat
    #[arg(long, value_name = "FILE|NAME", conflicts_with = "no_chat_template")]
    chat_template: Option<String>,
    /// Pack without a chat template
    #[arg(long)]
    no_chat_template: bool,
    /// The date that a chat template with a date shows [default: the template's own, or 2024-07-26]
    #[arg(long, value_name = "YYYY-MM-DD")]
    chat_date: Option<String>,
}

impl TemplateArguments {
    pub fn options(&self) -> ChatOptions {
        let source = match &self.chat_template {
            Some(given) => ChatSource::Given(given.clone()),
            None if self.no_chat_template => ChatSource::Without,
            None => ChatSource::Checkpoint,
        };
        ChatOptions { source, date: self.chat_date.clone() }
    }
}

/// One turn of a conversation.
#[derive(Debug, Args)]
pub(in crate::cli) struct TurnArguments {
    /// A message to answer, in the model's chat template
    #[arg(long, value_name = "MESSAGE", conflicts_with_all = ["prompt", "special"])]
    chat: Option<String>,
    /// A system message before it
    #[arg(long, value_name = "TEXT", requires = "chat")]
    system: Option<String>,
}

impl TurnArguments {
    pub fn turn(&self) -> Option<ChatTurn> {
        let message = self.chat.clone()?;
        Some(ChatTurn { system: self.system.clone(), message })
    }
}
