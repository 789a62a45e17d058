//! Little-endian fields at fixed offsets of a byte string whose length was checked.
//!
//! Every record of the file has a fixed size, so a record is first cut out as an array and its fields can
//! then be read without a failure path.

/// The two bytes at `AT` of a record.
pub(crate) const fn u16_at<const AT: usize, const N: usize>(record: &[u8; N]) -> u16 {
    const { assert!(AT + 2 <= N) };
    u16::from_le_bytes([record[AT], record[AT + 1]])
}

/// The four bytes at `AT` of a record.
pub(crate) const fn u32_at<const AT: usize, const N: usize>(record: &[u8; N]) -> u32 {
    const { assert!(AT + 4 <= N) };
    u32::from_le_bytes([record[AT], record[AT + 1], record[AT + 2], record[AT + 3]])
}

/// The eight bytes at `AT` of a record.
pub(crate) const fn u64_at<const AT: usize, const N: usize>(record: &[u8; N]) -> u64 {
    const { assert!(AT + 8 <= N) };
    let low = u32::from_le_bytes([record[AT], record[AT + 1], record[AT + 2], record[AT + 3]]);
    let high = u32::from_le_bytes([record[AT + 4], record[AT + 5], record[AT + 6], record[AT + 7]]);
    low as u64 | (high as u64) << 32
}

/// `bytes` rounded up to a multiple of `alignment`, or `None` beyond `u64`.
pub(crate) const fn align_up(bytes: u64, alignment: u64) -> Option<u64> {
    bytes.checked_next_multiple_of(alignment)
}
