//! Vectors: arrays of decimals, or f32 in base64, as OpenAI has them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::llm::{Node, write_array};

/// Reads a vector in either encoding. None if it is neither.
pub(super) fn read(value: Node<'_>) -> Option<Vec<f64>> {
    match value.text() {
        Some(text) => read_base64(text),
        None if value.is_array() => value.items().map(Node::f64).collect(),
        None => None,
    }
}

/// Reads an array of vectors.
pub(super) fn read_all(value: Node<'_>) -> Option<Vec<Vec<f64>>> {
    if value.is_array() { value.items().map(read).collect() } else { None }
}

fn read_base64(text: &str) -> Option<Vec<f64>> {
    let bytes = STANDARD.decode(text).ok()?;
    let (numbers, rest) = bytes.as_chunks::<4>();
    let number = |bytes: &[u8; 4]| f64::from(f32::from_le_bytes(*bytes));
    rest.is_empty().then(|| numbers.iter().map(number).collect())
}

/// Appends a vector as an array.
pub(super) fn write(out: &mut Vec<u8>, vector: &[f64]) {
    write_array(out, |array| {
        for number in vector {
            // Writing to memory does not fail. NaN, which no provider can send, becomes null.
            let _ = serde_json::to_writer(array.item(), number);
        }
    });
}

/// A vector as f32, little-endian, in base64.
#[expect(clippy::cast_possible_truncation, reason = "the format has f32")]
pub(super) fn base64(vector: &[f64]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| (*number as f32).to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::llm::{Scanner, write_object};

    fn through(text: &str) -> Option<Vec<f64>> {
        let body = format!(r#"{{"v":{text}}}"#);
        Scanner::default().read(body.as_bytes(), |root| read(root.get("v")?)).expect("JSON")
    }

    #[test]
    fn floats_and_base64_are_read() {
        assert_eq!(base64(&[1.0, -2.5]), "AACAPwAAIMA=");
        for (text, expected) in [
            ("[1,-2.5,1e-7]", Some(vec![1.0, -2.5, 1e-7])),
            ("[]", Some(vec![])),
            (r#""AACAPwAAIMA=""#, Some(vec![1.0, -2.5])),
            (r#""""#, Some(vec![])),
            (r#""AACA""#, None),
            (r#""%%%%""#, None),
            ("[\"1\"]", None),
            ("[null]", None),
            ("1", None),
            ("{}", None),
        ] {
            assert_eq!(through(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn decimals_are_exact(
            wide in proptest::collection::vec(-1.0_f64..1.0, 0..8),
            narrow in proptest::collection::vec(-1.0_f32..1.0, 0..8),
        ) {
            // As providers print f32 and f64.
            let texts = narrow.iter().map(ToString::to_string).chain(wide.iter().map(ToString::to_string));
            let text = format!("[{}]", texts.collect::<Vec<_>>().join(","));
            let read = through(&text).expect("a vector");
            let mut out = Vec::new();
            write_object(&mut out, |object| write(object.key("v"), &read));
            let written = String::from_utf8(out).expect("UTF-8");
            prop_assert_eq!(through(written.trim_start_matches("{\"v\":").trim_end_matches('}')), Some(read.clone()));
            let (first, second) = read.split_at(narrow.len());
            prop_assert!(first.iter().zip(&narrow).all(|(read, sent)| *read as f32 == *sent));
            prop_assert_eq!(second, wide);
            // And f32 are exact in base64.
            let exact: Vec<f64> = narrow.iter().copied().map(f64::from).collect();
            prop_assert_eq!(through(&format!("\"{}\"", base64(&exact))), Some(exact));
        }
    }
}
