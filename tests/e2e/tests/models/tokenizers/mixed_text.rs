//! Text of every kind that tokenizers stumble over, from a seed.

pub const MEGABYTE: usize = 1 << 20;

/// Words, spaces and symbols; each line of the result is a random row of them.
const FRAGMENTS: [&str; 72] = [
    "the",
    "Once",
    "upon",
    "a",
    "time",
    "there",
    "was",
    "internationalization",
    "x",
    "Zoë",
    "naïve",
    "straße",
    "It's",
    "we'll",
    "I'VE",
    "they'Re",
    "he'd",
    "'s",
    "'S",
    "'ſ",
    "'t",
    "'LL",
    "''ll",
    "don't",
    "O'Neill",
    "’s",
    "🦀",
    "👩\u{200D}👩\u{200D}👧\u{200D}👦",
    "👍🏽",
    "🇩🇪",
    "❤\u{FE0F}",
    "🏳\u{FE0F}\u{200D}🌈",
    "😀😀😀",
    "我想在苹果工作",
    "こんにちは",
    "カタカナ",
    "안녕하세요",
    "ភាសាខ្មែរ",
    "हिन्दी",
    "עברית",
    "العربية",
    "Ελληνικά",
    "Привет",
    "𠀀𠮷",
    "e\u{301}",
    "a\u{308}\u{323}",
    "\u{301}",
    "Z\u{351}\u{36B}a\u{343}l\u{30F}go",
    "\u{FEFF}",
    "\u{200B}",
    "\u{AD}",
    "\u{202E}",
    "1",
    "42",
    "1234567",
    "3.14",
    "1e-9",
    "٣٤٥",
    "१२३",
    "１２３",
    "²³",
    "Ⅷ",
    "½",
    "〇",
    "0x7F",
    "!",
    "...",
    "--",
    "!?!",
    "(x)",
    "\"quoted\"",
    "#=>{}[]",
];
const SPACES: [&str; 14] = [
    " ",
    " ",
    " ",
    " ",
    "  ",
    "     ",
    "\t",
    "\t\t ",
    "\u{A0}",
    "\u{3000}",
    "\u{2003} ",
    "\r\n",
    "\n",
    "\n\n \n",
];
const CONTROLS: [char; 8] = ['\0', '\u{1}', '\u{7}', '\u{B}', '\u{C}', '\u{1B}', '\u{7F}', '\u{85}'];

/// Vigna's SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

/// At least `bytes` bytes of mixed text, with some of the names in it.
pub fn mixed_text(seed: u64, bytes: usize, names: &[&str]) -> String {
    let mut random = Random(seed);
    let mut text = String::new();
    while text.len() < bytes {
        match random.below(40) {
            0 => text.push(random.pick(&CONTROLS)),
            1 | 2 => text.push_str(random.pick(names)),
            // Any character of the blocks that all Unicode versions of the last ten years agree about.
            3 => text.extend(char::from_u32(random.below(0x500) as u32)),
            4 => text.extend(char::from_u32(0x4E00 + random.below(0x5000) as u32)),
            5 => text.extend(char::from_u32(0x1F300 + random.below(0x300) as u32)),
            6 => (0..random.below(70)).for_each(|_| text.push(' ')),
            7 => {
                let spaces = random.pick(&SPACES);
                (0..random.below(6)).for_each(|_| text.push_str(spaces));
            }
            8 => (0..random.below(12)).for_each(|place| text.push(char::from(b'0' + place as u8 % 10))),
            9..=22 => text.push_str(random.pick(&SPACES)),
            _ => text.push_str(random.pick(&FRAGMENTS)),
        }
    }
    text
}
