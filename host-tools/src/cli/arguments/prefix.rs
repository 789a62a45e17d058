//! Arguments about a text that the model reads when it is packed.

use clap::Args;

use crate::prefix::PrefixText;

#[derive(Debug, Args)]
pub(in crate::cli) struct PrefixArguments {
    /// A system message that the model reads now, so that the device need not: what it keeps of it goes into the file
    #[arg(long, value_name = "TEXT", conflicts_with = "prefix_text")]
    system_prompt: Option<String>,
    /// The same with a text as it stands, in which special tokens are special tokens: examples, for instance
    #[arg(long, value_name = "TEXT")]
    prefix_text: Option<String>,
}

impl PrefixArguments {
    pub fn text(&self) -> Option<PrefixText> {
        let system = self.system_prompt.clone().map(PrefixText::System);
        system.or_else(|| self.prefix_text.clone().map(PrefixText::Raw))
    }
}
