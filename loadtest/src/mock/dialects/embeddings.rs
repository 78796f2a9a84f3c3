//! Vectors for any dialect: the same text has the same vector, and longer vectors begin as shorter ones do.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Numbers from -1 to 1, in steps that `f32` holds exactly, drawn from the text.
pub fn vector(text: &str, dimensions: usize) -> Vec<f64> {
    let mut random = fastrand::Rng::with_seed(u64::from(crc32fast::hash(text.as_bytes())));
    (0..dimensions).map(|_| f64::from(random.i32(-128..128)) / 128.0).collect()
}

/// A vector as base64 of little-endian `f32`.
pub fn base64(vector: &[f64]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| (*number as f32).to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

/// Tokens of a text, as everywhere in the mock.
pub fn tokens(text: &str) -> u64 {
    text.len() as u64 / 4 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_depend_on_the_text() {
        assert_eq!(vector("a", 8), vector("a", 8));
        assert_ne!(vector("a", 8), vector("b", 8));
        assert_eq!(vector("a", 8)[..4], vector("a", 4));
        assert_eq!(base64(&[1.0]), "AACAPw==");
    }
}
