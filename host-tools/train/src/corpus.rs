//! Encoded chats, the order in which they are shown, and the parts of a batch.
//!
//! A batch is as many chats as fill a number of tokens. It is cut into micro-batches of about equal size, each of which
//! one thread works on. What a micro-batch holds depends on the batch alone, so that the sums of a training do not
//! depend on the number of threads.

use std::ops::Range;
use std::sync::Arc;

use anyhow::{Result, bail};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::chats::Chat;
use crate::tokenizer::{Encoded, Tokenizer};

/// Chats in tokens.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    tokens: Vec<u16>,
    learned: Vec<bool>,
    /// Where each chat ends.
    ends: Vec<usize>,
    /// Chats that are longer than the context.
    pub left_out: usize,
}

impl Corpus {
    /// Encodes chats; those longer than `context` are left out.
    ///
    /// # Errors
    /// All are.
    pub fn encode(chats: &[Chat], tokenizer: &Tokenizer, context: usize) -> Result<Self> {
        let mut corpus = Self::default();
        let mut longest = 0;
        for part in chats.chunks(4096) {
            let encoded: Vec<_> =
                part.par_iter().map(|chat| tokenizer.encode(chat)).collect::<Result<_>>()?;
            for chat in encoded {
                longest = longest.max(chat.tokens.len());
                if !corpus.push(&chat, context) {
                    corpus.left_out += 1;
                }
            }
        }
        if corpus.ends.is_empty() {
            bail!(
                "no chat fits the context of {context} tokens (the longest has {longest}); give shorter chats or a larger \
                 context"
            );
        }
        Ok(corpus)
    }

    /// Adds a chat of which at most `context` tokens have to be read, and says whether it did.
    ///
    /// What follows its last learned token teaches nothing and is left away.
    pub fn push(&mut self, chat: &Encoded, context: usize) -> bool {
        let length = chat.learned.iter().rposition(|&learned| learned).map_or(0, |last| last + 1);
        // The last token is written and never read.
        let fits = length >= 2 && length - 1 <= context && length <= chat.tokens.len();
        if fits {
            self.tokens.extend(&chat.tokens[..length]);
            self.learned.extend(&chat.learned[..length]);
            self.ends.push(self.tokens.len());
        }
        fits
    }

    /// Chats.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no chat.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn range(&self, chat: usize) -> Range<usize> {
        let start = if chat == 0 { 0 } else { self.ends[chat - 1] };
        start..self.ends[chat]
    }

    /// Tokens of a chat that the model reads.
    pub fn positions(&self, chat: usize) -> usize {
        self.range(chat).len() - 1
    }

    /// Tokens that are read in all chats.
    pub fn all_positions(&self) -> usize {
        self.tokens.len() - self.len()
    }

    /// A checksum of all tokens, by which a training knows its corpus again.
    pub fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        for (token, learned) in self.tokens.iter().zip(&self.learned) {
            hasher.update(&[token.to_le_bytes()[0], token.to_le_bytes()[1], u8::from(*learned)]);
        }
        self.ends.iter().for_each(|end| hasher.update(&end.to_le_bytes()));
        hasher.finalize()
    }

    /// Packs chats back to back.
    pub fn pack(&self, chats: &[usize]) -> Packed {
        let (mut inputs, mut bounds) = (Vec::new(), vec![0]);
        let (mut learned, mut targets) = (Vec::new(), Vec::new());
        for &chat in chats {
            let range = self.range(chat);
            for at in range.start..range.end - 1 {
                if self.learned[at + 1] {
                    learned.push(inputs.len() as u32);
                    targets.push(u32::from(self.tokens[at + 1]));
                }
                inputs.push(u32::from(self.tokens[at]));
            }
            bounds.push(inputs.len());
        }
        Packed {
            inputs: inputs.into(),
            bounds: bounds.into(),
            learned: learned.into(),
            targets: targets.into(),
        }
    }

    /// Cuts chats into micro-batches of about `tokens` each, as equal as can be and a multiple of 4 in number where
    /// there is enough, so that 2 and 4 threads end together.
    pub fn split(&self, chats: &[usize], tokens: usize) -> Vec<Packed> {
        let total: usize = chats.iter().map(|&chat| self.positions(chat)).sum();
        let count = total.div_ceil(tokens.max(1)).next_multiple_of(4).min(chats.len());
        let mut by_length = chats.to_vec();
        by_length.sort_by_key(|&chat| std::cmp::Reverse(self.positions(chat)));
        let mut parts = vec![(0, Vec::new()); count];
        for chat in by_length {
            if let Some((size, part)) = parts.iter_mut().min_by_key(|(size, _)| *size) {
                *size += self.positions(chat);
                part.push(chat);
            }
        }
        parts.iter().map(|(_, part)| self.pack(part)).collect()
    }
}

/// Sequences back to back.
#[derive(Clone, Debug)]
pub struct Packed {
    /// Tokens that are read.
    pub inputs: Arc<[u32]>,
    /// Where each sequence begins, and where the last one ends.
    pub bounds: Arc<[usize]>,
    /// Positions whose next token is learned.
    pub learned: Arc<[u32]>,
    /// Those next tokens.
    pub targets: Arc<[u32]>,
}

/// The order in which chats are shown: shuffled anew for each epoch.
#[derive(Clone, Debug)]
pub struct Order {
    seed: u64,
    epoch: u64,
    position: usize,
    shuffled: Vec<usize>,
}

impl Order {
    /// Of `chats` chats, from `position` of an epoch on.
    pub fn new(chats: usize, seed: u64, epoch: u64, position: usize) -> Self {
        let mut order = Self { seed, epoch, position, shuffled: (0..chats).collect() };
        order.shuffle();
        order
    }

    fn shuffle(&mut self) {
        self.shuffled.sort_unstable();
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        // Stream 0 is that of the first weights.
        random.set_stream(self.epoch + 1);
        self.shuffled.shuffle(&mut random);
    }

    /// The epoch, and how many of its chats have been shown.
    pub fn place(&self) -> (u64, usize) {
        (self.epoch, self.position)
    }

    /// The next chats, until they have `tokens` tokens.
    pub fn batch(&mut self, corpus: &Corpus, tokens: usize) -> Vec<usize> {
        let (mut chats, mut size) = (Vec::new(), 0);
        while size < tokens {
            if self.position == self.shuffled.len() {
                self.epoch += 1;
                self.position = 0;
                self.shuffle();
            }
            let chat = self.shuffled[self.position];
            size += corpus.positions(chat);
            chats.push(chat);
            self.position += 1;
        }
        chats
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Chats of random tokens.
    pub fn random_corpus(chats: usize, vocabulary: u16, longest: usize) -> Corpus {
        use rand::Rng;
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut corpus = Corpus::default();
        for _ in 0..chats {
            let length = random.random_range(2..=longest);
            let tokens = (0..length).map(|_| random.random_range(0..vocabulary)).collect();
            let learned = (0..length).map(|at| at + 1 == length || random.random()).collect();
            assert!(corpus.push(&Encoded { tokens, learned }, longest));
        }
        corpus
    }

    #[test]
    fn packed_chats_are_whole() {
        let corpus = random_corpus(5, 100, 9);
        let packed = corpus.pack(&[3, 0]);
        assert_eq!(*packed.bounds, [0, corpus.positions(3), corpus.positions(3) + corpus.positions(0)]);
        for (sequence, chat) in packed.bounds.windows(2).zip([3, 0]) {
            let range = corpus.range(chat);
            let tokens: Vec<_> = corpus.tokens[range.clone()].iter().map(|&token| u32::from(token)).collect();
            assert_eq!(packed.inputs[sequence[0]..sequence[1]], tokens[..tokens.len() - 1]);
            for at in sequence[0]..sequence[1] {
                let found = packed.learned.iter().position(|&learned| learned as usize == at);
                let target = found.map(|found| packed.targets[found]);
                let next = at - sequence[0] + 1;
                assert_eq!(target, corpus.learned[range.start + next].then_some(tokens[next]));
            }
        }
    }

    #[test]
    fn micro_batches_are_equal_and_lose_nothing() {
        let corpus = random_corpus(200, 100, 60);
        let parts = corpus.split(&(0..200).collect::<Vec<_>>(), 500);
        let sizes: Vec<_> = parts.iter().map(|part| part.inputs.len()).collect();
        assert_eq!(sizes.iter().sum::<usize>(), corpus.all_positions());
        assert!(parts.len().is_multiple_of(4), "{sizes:?}");
        assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 2, "{sizes:?}");
        assert_eq!(corpus.split(&[1, 2], 1).len(), 2);
    }

    #[test]
    fn an_epoch_shows_every_chat_once_and_can_be_taken_up() {
        let corpus = random_corpus(100, 100, 20);
        let mut order = Order::new(100, 1, 0, 0);
        let mut shown = Vec::new();
        while shown.len() < 250 {
            let (epoch, position) = order.place();
            let batch = order.batch(&corpus, 50);
            assert_eq!(Order::new(100, 1, epoch, position).batch(&corpus, 50), batch);
            shown.extend(batch);
        }
        let epoch = |from: usize| {
            let mut chats = shown[from..from + 100].to_vec();
            chats.sort_unstable();
            chats
        };
        assert_eq!(epoch(0), (0..100).collect::<Vec<_>>());
        assert_eq!(epoch(100), epoch(0));
        assert_ne!(shown[..100], shown[100..200]);
        assert_ne!(Order::new(100, 2, 0, 0).batch(&corpus, 50), shown[..5]);
    }
}
