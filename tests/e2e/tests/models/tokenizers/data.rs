//! A tokenizer that owns its section.

use sprat::tokenizer::{Special, Tokenizer, scratch_words};
use sprat_format::tokenizer::TokenizerTables;
use sprat_tools::import::tokenizer::TokenizerImport;

pub struct Loaded {
    tokenizer: Tokenizer<'static>,
}

impl Loaded {
    /// Parses the section once; it is kept until the test ends.
    pub fn new(import: TokenizerImport) -> Self {
        let section: &'static [u8] = import.section.leak();
        Self { tokenizer: Tokenizer::new(TokenizerTables::parse(section).unwrap()) }
    }

    pub fn encode(&self, text: &str, special: Special) -> Vec<u32> {
        let mut scratch = vec![0; scratch_words(text.len())];
        let mut out = vec![0; text.len() + 1];
        let count = self.tokenizer.encode(text, special, &mut scratch, &mut out).unwrap();
        out.truncate(count);
        out
    }

    /// The text of tokens that stand directly after BOS, as a stream.
    pub fn decode(&self, ids: &[u32]) -> String {
        let tokenizer = &self.tokenizer;
        let mut decoder = tokenizer.stream_decoder(true);
        let mut text = String::new();
        for &id in ids {
            decoder.push(tokenizer.token_bytes(id), |part| text.push_str(part));
        }
        decoder.finish(|part| text.push_str(part));
        text
    }

    pub fn is_special(&self, id: u32) -> bool {
        self.tokenizer.is_special(id)
    }

    pub fn summary(&self) -> String {
        let tables = self.tokenizer.tables();
        format!("{} merges, {} bytes of stages and classes", tables.merge_count(), tables.stage_bytes())
    }
}
