//! Names of entries: a keyed hash over everything that must be the same.

use crate::inference::MODEL_NAME;

/// The name of an entry: two requests share an answer only if theirs are equal. 128 bits of BLAKE3
/// under a secret of the process, so that nobody can prepare two requests that collide.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize,
)]
pub struct Key([u8; 16]);

impl Key {
    /// Half of its bits: a hash of their own.
    #[must_use]
    pub fn bits(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

/// Takes in the fields of a [`Key`], in a fixed order.
///
/// Each part is written with its length, so that no two lists of parts give the same bytes. A clone
/// goes on from where the original is.
#[derive(Clone)]
pub struct KeyBuilder {
    hasher: blake3::Hasher,
}

impl KeyBuilder {
    pub(super) fn new(secret: &[u8; 32]) -> Self {
        Self { hasher: blake3::Hasher::new_keyed(secret) }
    }

    /// Takes in a part.
    pub fn part(&mut self, bytes: &[u8]) -> &mut Self {
        self.hasher.update(&(bytes.len() as u64).to_le_bytes());
        self.hasher.update(bytes);
        self
    }

    /// Takes in a part that may be absent, which differs from an empty one.
    pub fn optional(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        match bytes {
            None => {
                self.hasher.update(&u64::MAX.to_le_bytes());
            }
            Some(bytes) => {
                self.part(bytes);
            }
        }
        self
    }

    /// The partition of all parts: questions that may be compared by meaning. Vectors of two models
    /// and profiles of two lexicons are not to be compared.
    #[must_use]
    pub fn partition(&self) -> Key {
        let lexicon = super::profile::version().to_le_bytes();
        self.clone().part(MODEL_NAME.as_bytes()).part(&lexicon).finish()
    }

    /// The key of all parts.
    #[must_use]
    pub fn finish(&self) -> Key {
        let hash = self.hasher.finalize();
        let mut key = [0; 16];
        key.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
        Key(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_parts_are_delimited() {
        let key = |secret: u8, parts: &[Option<&str>]| {
            let mut builder = KeyBuilder::new(&[secret; 32]);
            for part in parts {
                builder.optional(part.map(str::as_bytes));
            }
            builder.finish()
        };
        let lists: &[&[Option<&str>]] = &[
            &[],
            &[None],
            &[Some("")],
            &[Some("ab")],
            &[Some("a"), Some("b")],
            &[Some("b"), Some("a")],
            &[Some(""), Some("ab")],
            &[None, Some("ab")],
            &[Some("ab"), None],
        ];
        for (index, list) in lists.iter().enumerate() {
            assert_eq!(key(1, list), key(1, list));
            assert_ne!(key(1, list), key(2, list), "the secret counts");
            for other in &lists[index + 1..] {
                assert_ne!(key(1, list), key(1, other), "{list:?} and {other:?}");
            }
        }
    }
}
