//! The encoder of llama2.c, written down as it is described: all pairs, the best, again; O(n^2) and obvious.

use std::collections::HashMap;

/// Tokens as strings with scores, as in `tokenizer.bin`.
pub struct Llama2c {
    vocab: Vec<(f32, Vec<u8>)>,
    ids: HashMap<Vec<u8>, usize>,
}

impl Llama2c {
    pub fn read(file: &[u8], vocab_size: usize) -> Self {
        let word = |at: usize| <[u8; 4]>::try_from(&file[at..at + 4]).unwrap();
        let (mut vocab, mut at) = (Vec::new(), 4);
        for _ in 0..vocab_size {
            let (score, length) = (f32::from_le_bytes(word(at)), u32::from_le_bytes(word(at + 4)) as usize);
            vocab.push((score, file[at + 8..at + 8 + length].to_vec()));
            at += 8 + length;
        }
        assert_eq!(at, file.len());
        let ids: HashMap<_, _> =
            vocab.iter().enumerate().map(|(id, (_, token))| (token.clone(), id)).collect();
        assert_eq!(ids.len(), vocab_size, "two tokens with one text: llama2.c finds either");
        Self { vocab, ids }
    }

    fn lookup(&self, text: &[u8]) -> Option<usize> {
        self.ids.get(text).copied()
    }

    /// Ids without BOS.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut tokens: Vec<usize> = Vec::new();
        if !text.is_empty() {
            tokens.extend(self.lookup(b" "));
        }
        for character in text.chars() {
            let mut utf8 = [0; 4];
            let bytes = character.encode_utf8(&mut utf8).as_bytes();
            match self.lookup(bytes) {
                Some(id) => tokens.push(id),
                None => tokens.extend(bytes.iter().map(|&byte| usize::from(byte) + 3)),
            }
        }
        loop {
            let mut best: Option<(f32, usize, usize)> = None;
            for (at, pair) in tokens.windows(2).enumerate() {
                let both = [&self.vocab[pair[0]].1[..], &self.vocab[pair[1]].1[..]].concat();
                if let Some(id) = self.lookup(&both)
                    && self.vocab[id].0 > best.map_or(-1e10, |(score, ..)| score)
                {
                    best = Some((self.vocab[id].0, at, id));
                }
            }
            let Some((_, at, id)) = best else { break };
            tokens.splice(at..at + 2, [id]);
        }
        tokens.into_iter().map(|id| id as u32).collect()
    }
}
