//! What a file is, by its content: formats that are not read get a name and a way out.
//!
//! A model that was downloaded or converted badly is a file like any other, and its name says what it should have been.
//! So the first bytes are asked.

/// What a file was found to be that is no checkpoint for this program, and what to do about it; `None` for anything
/// else. It completes the sentence "it is ...".
pub(super) fn foreign(bytes: &[u8]) -> Option<&'static str> {
    let begins = |magic: &[u8]| bytes.starts_with(magic);
    if begins(&sprat_format::MAGIC) {
        return Some(
            "a packed file already, and a checkpoint is expected here: give the one that it was packed from",
        );
    }
    if begins(b"version https://git-lfs") {
        return Some(
            "a Git LFS pointer instead of the file itself: fetch the file (git lfs pull, or download it from the hub)",
        );
    }
    if is_html(bytes) {
        return Some(
            "an HTML page: the download saved an error or login page instead of the file, download it again",
        );
    }
    if begins(b"PK\x03\x04") {
        return Some(match first_name(bytes) {
            Some(name) if name.ends_with(b".npy") => {
                "a NumPy archive (npz), which is not supported: save the weights as safetensors, with a config.json"
            }
            Some(name)
                if name.ends_with(b".pkl") || name.ends_with(b"/version") || name.ends_with(b".data") =>
            {
                "a PyTorch archive (pickle in zip), which is not supported as it can hold programs: save the model as \
                 safetensors (save_pretrained with safe_serialization=True)"
            }
            _ => "a zip archive, which is not supported: unpack it, and give the directory or a file in it",
        });
    }
    if let [0x80, 2..=5, ..] = bytes {
        return Some(
            "a Python pickle (an old PyTorch .bin or .pt), which is not supported as it can hold programs: save the model \
             as safetensors (save_pretrained with safe_serialization=True)",
        );
    }
    if begins(b"\x93NUMPY") {
        return Some(
            "a NumPy array (npy), which is not supported: save all weights as safetensors, with a config.json",
        );
    }
    // The magic numbers ggml, ggmf, ggjt and ggla, little endian.
    if [b"lmgg", b"fmgg", b"tjgg", b"algg"].iter().any(|magic| begins(&magic[..])) {
        return Some(
            "a GGML file from before GGUF, which is not supported: convert the original model with llama.cpp's \
             convert_hf_to_gguf.py, or take its safetensors",
        );
    }
    if begins(b"\x89HDF\r\n\x1a\n") {
        return Some("an HDF5 file (Keras), which is not supported: save the model as safetensors");
    }
    if bytes.get(4..8) == Some(b"TFL3") {
        return Some(
            "a TensorFlow Lite model, which is not supported: take the safetensors that it was made from",
        );
    }
    if is_onnx(bytes) {
        return Some("an ONNX model, which is not supported: take the safetensors that it was exported from");
    }
    if begins(b"\x1f\x8b") || bytes.get(257..262) == Some(b"ustar") {
        return Some("an archive, which is not supported: unpack it, and give the directory or a file in it");
    }
    None
}

fn is_html(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii_start();
    let begins = |tag: &[u8]| text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag));
    begins(b"<!doctype html") || begins(b"<html")
}

/// Name of the first file in a zip archive.
fn first_name(bytes: &[u8]) -> Option<&[u8]> {
    let length = u16::from_le_bytes(*bytes.get(26..28)?.first_chunk()?);
    bytes.get(30..30 + usize::from(length))
}

/// A protocol buffer that begins with a small version of its format and the name of a producer.
fn is_onnx(bytes: &[u8]) -> bool {
    let [0x08, 1..=0x1f, 0x12, length @ 1..=64, rest @ ..] = bytes else { return false };
    let producer = rest.get(..usize::from(*length));
    producer.is_some_and(|name| name.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_apart_by_their_first_bytes() {
        let zip = |name: &[u8]| [b"PK\x03\x04", &[0; 22][..], &[name.len() as u8, 0, 0, 0], name].concat();
        let cases: [(&[u8], &str); 15] = [
            (b"\x89SPRAT\r\n", "packed file"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:", "Git LFS pointer"),
            (b"\n <!DOCTYPE html><html>", "HTML page"),
            (b"<HTML>", "HTML page"),
            (&zip(b"archive/data.pkl"), "PyTorch archive"),
            (&zip(b"arr_0.npy"), "NumPy archive"),
            (&zip(b"model/README"), "zip archive"),
            (b"\x80\x02}q\x00", "Python pickle"),
            (b"\x93NUMPY\x01\x00", "NumPy array"),
            (b"lmgg", "GGML file"),
            (b"tjgg\x03\x00\x00\x00", "GGML file"),
            (b"\x89HDF\r\n\x1a\n", "HDF5"),
            (b"\x1c\x00\x00\x00TFL3", "TensorFlow Lite"),
            (b"\x08\x07\x12\x07pytorch\x1a\x05", "ONNX"),
            (b"\x1f\x8b\x08", "archive"),
        ];
        for (bytes, expected) in cases {
            let found = foreign(bytes).unwrap_or_default();
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }

    #[test]
    fn short_and_other_files_are_nothing_known() {
        for bytes in
            [&b""[..], b"P", b"PK\x03", b"GGUF", b"\x80", b"\x80\x06", b"\x08\x07\x12\x07py", b"{}", b"24ka"]
        {
            assert_eq!(foreign(bytes), None, "{bytes:?}");
        }
        assert!(foreign(b"PK\x03\x04").is_some());
    }
}
