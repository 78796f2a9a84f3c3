//! One parsed body: simd-json's tape beside the original bytes, while the scanner holds both.
//!
//! Where a key lies in the body is learnt from its address: simd-json unescapes strings in place, in
//! the scratch copy, so that the address of a key minus the start of the scratch is the offset of its
//! first byte in the original, whatever escapes it holds (`parse_str` of simd-json 0.19, all targets).
//! Only addresses are compared; no pointer is followed.

use simd_json::tape::{Object, Value};

use super::error::{JsonError, KEYS_MAX};
use super::members::Members;
use super::node::Node;

/// Up to here comparing every key with every other is cheaper than sorting them.
const KEYS_FEW: usize = 32;

/// A body whose root is an object.
pub(super) struct Document<'tape, 'scratch, 'body> {
    /// The top-level members, unescaped.
    pub root: Object<'tape, 'scratch>,
    /// The same as a value.
    pub value: Value<'tape, 'scratch>,
    /// Address of the first byte of the scratch copy.
    pub scratch_start: usize,
    /// The bytes as they came.
    pub body: &'body [u8],
}

impl Document<'_, '_, '_> {
    /// The root for the dialects.
    pub(super) fn node(&self) -> Node<'_> {
        Node::new(self.value)
    }

    /// Where the top-level members lie; refuses too many keys and any key that comes twice.
    pub(super) fn members(&self) -> Result<Members, JsonError> {
        let count = self.root.len();
        if count > KEYS_MAX {
            return Err(JsonError::TooManyKeys);
        }
        if count <= KEYS_FEW {
            self.refuse_duplicates_of_few()?;
        } else {
            self.refuse_duplicates_of_many()?;
        }
        let keys: Option<Vec<u32>> = self.root.keys().map(|key| self.offset(key)).collect();
        Ok(keys.map_or_else(|| Members::scan(self.body), Members::new))
    }

    /// Offset in the body of the first byte of `key`, if `key` lies in the scratch copy.
    fn offset(&self, key: &str) -> Option<u32> {
        let offset = key.as_ptr().addr().wrapping_sub(self.scratch_start);
        let quote = self.body.get(offset.checked_sub(1)?)?;
        if *quote == b'"' { u32::try_from(offset).ok() } else { None }
    }

    fn refuse_duplicates_of_few(&self) -> Result<(), JsonError> {
        let mut seen = [""; KEYS_FEW];
        for (index, key) in self.root.keys().enumerate() {
            let (before, rest) = seen.split_at_mut_checked(index).unwrap_or_default();
            if before.contains(&key) {
                return Err(JsonError::duplicate_key(key));
            }
            if let Some(place) = rest.first_mut() {
                *place = key;
            }
        }
        Ok(())
    }

    fn refuse_duplicates_of_many(&self) -> Result<(), JsonError> {
        let mut keys: Vec<&str> = self.root.keys().collect();
        keys.sort_unstable();
        let twice = keys.iter().zip(keys.iter().skip(1)).find(|(left, right)| left == right);
        twice.map_or(Ok(()), |(key, _)| Err(JsonError::duplicate_key(key)))
    }
}
