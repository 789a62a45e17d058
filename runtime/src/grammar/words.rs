//! Matching one word of a list, byte by byte, in the memory of two numbers.
//!
//! What was matched is the beginning of some word: its number and a length say which. The words need no order.

/// Where a word may be found by its number.
pub(crate) type WordAt<'w, 'g> = &'w dyn Fn(usize) -> Option<&'g str>;

/// The number of a word that begins with the first `length` bytes of word `word` and then has `byte`.
pub(crate) fn longer(words: WordAt<'_, '_>, word: usize, length: usize, byte: u8) -> Option<usize> {
    let begun = words(word)?.as_bytes().get(..length)?;
    with_beginning(words, begun).find(|(_, other)| other.as_bytes().get(length) == Some(&byte)).map(first)
}

/// The number of the word that is the first `length` bytes of word `word`.
pub(crate) fn whole(words: WordAt<'_, '_>, word: usize, length: usize) -> Option<usize> {
    let begun = words(word)?.as_bytes().get(..length)?;
    with_beginning(words, begun).find(|(_, other)| other.len() == length).map(first)
}

/// The fewest bytes behind the first `length` bytes of word `word` that make some word, each with what `behind` says of
/// the word.
pub(crate) fn shortest_rest(
    words: WordAt<'_, '_>,
    word: usize,
    length: usize,
    behind: &dyn Fn(usize) -> usize,
) -> Option<usize> {
    let begun = words(word)?.as_bytes().get(..length)?;
    with_beginning(words, begun).map(|(number, other)| other.len() - length + behind(number)).min()
}

/// The words with some beginning, and their numbers.
pub(crate) fn with_beginning<'w, 'g>(
    words: WordAt<'w, 'g>,
    begun: &'w [u8],
) -> impl Iterator<Item = (usize, &'g str)> + use<'w, 'g> {
    let all = (0..).map_while(move |number| Some((number, words(number)?)));
    all.filter(move |(_, word)| word.as_bytes().starts_with(begun))
}

fn first<A, B>((first, _): (A, B)) -> A {
    first
}
