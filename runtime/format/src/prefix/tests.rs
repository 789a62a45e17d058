use proptest::prelude::*;
use std::string::ToString;
use std::vec;
use std::vec::Vec;

use super::*;

fn config() -> Config {
    Config { layers: 2, kv_heads: 3, head_dim: 6, hidden_size: 5, max_positions: 9, ..Config::PLAIN }
}

fn shape(kv: KvType) -> PrefixShape {
    let stride = if kv == KvType::Q8 { 8 } else { 6 };
    PrefixShape { tokens: 7, kv, stride, after: Some(Role::System) }
}

fn section(shape: &PrefixShape) -> Vec<u8> {
    let mut bytes = vec![0; shape.bytes(&config()).unwrap()];
    bytes[..PREFIX_HEADER_BYTES].copy_from_slice(&shape.header(&config()).unwrap());
    for (number, part) in shape.parts(&config()).unwrap().into_iter().enumerate() {
        bytes[part].fill(number as u8 + 1);
    }
    bytes
}

#[test]
fn what_is_written_is_read() {
    for (kv, rows, scales) in [(KvType::Q8, 8, 2), (KvType::F16, 12, 0), (KvType::F32, 24, 0)] {
        for after in [None, Some(Role::System), Some(Role::Tool)] {
            let shape = PrefixShape { after, ..shape(kv) };
            let bytes = section(&shape);
            let prefix = Prefix::parse(&bytes, &config()).unwrap();
            assert_eq!(prefix.shape, shape);
            let heads = 2 * 3 * 7;
            let [keys, key_scales, values, value_scales] = prefix.heads;
            let parts = [
                (prefix.tokens, 28),
                (prefix.last, 20),
                (keys, heads * rows),
                (key_scales, heads * scales),
                (values, heads * rows),
                (value_scales, heads * scales),
            ];
            for (number, (part, length)) in parts.into_iter().enumerate() {
                assert_eq!(part, vec![number as u8 + 1; length], "{kv:?} {number}");
                assert_eq!((part.as_ptr() as usize - bytes.as_ptr() as usize) % PART_ALIGNMENT, 0);
            }
            // Bytes behind it, such as a section's padding, are not looked at.
            assert!(Prefix::parse(&[&bytes[..], &[1]].concat(), &config()).is_ok());
        }
    }
}

#[test]
fn every_field_is_checked_and_named() {
    let bytes = section(&shape(KvType::Q8));
    let message = |at: usize, byte: u8| {
        let mut changed = bytes.clone();
        changed[at] = byte;
        Prefix::parse(&changed, &config()).unwrap_err().to_string()
    };
    assert_eq!(message(0, 0), "tokens is 0, expected 1 to 9");
    assert_eq!(message(0, 10), "tokens is 10, expected 1 to 9");
    assert_eq!(message(0, 6), "bytes behind the header is 928, expected 800 to 800");
    assert_eq!(message(8, 3), "kind of keys and values is 3, expected 0 to 2");
    assert!(message(8, 1).starts_with("bytes behind the header is 928"));
    assert_eq!(message(9, 5), "role is 5, expected 0 to 4");
    assert_eq!(message(10, 5), "components of a head is 5, expected 6 to 65535");
    assert_eq!(message(13, 1), "reserved is 256, expected 0 to 0");
    for length in 0..bytes.len() {
        let error = Prefix::parse(&bytes[..length], &config()).unwrap_err();
        assert_eq!((error.field, error.found), ("length", length as u64));
    }
    let many = Config { layers: 4096, kv_heads: 4096, max_positions: u32::MAX, ..config() };
    let huge = PrefixShape { tokens: u32::MAX, stride: u16::MAX, ..shape(KvType::F32) };
    assert_eq!(huge.bytes(&many), None);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), tokens in 0u8..12) {
        let mut bytes = bytes;
        if let Some(header) = bytes.first_chunk_mut::<16>() {
            header[..4].copy_from_slice(&[tokens, 0, 0, 0]);
            header[12..].fill(0);
        }
        let _ = Prefix::parse(&bytes, &config());
    }
}
