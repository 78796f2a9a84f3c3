//! A question as the semantic tier keeps it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Key;
use super::index::{StoredVector, stored};
use super::profile::Profile;
use crate::inference::DIMENSIONS;

/// What is known of a stored question besides its answer. About 600 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Question {
    /// What must be the same before meanings are compared at all.
    pub partition: Key,
    /// Its place among meanings.
    pub vector: Vector,
    /// What an embedding blurs.
    pub profile: Profile,
}

/// An embedding in the form that is stored: int8, of one scale for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vector(pub Box<StoredVector>);

impl Vector {
    /// What is kept of an embedding.
    #[must_use]
    pub fn of(embedding: &[f32; DIMENSIONS]) -> Self {
        Self(Box::new(stored(embedding)))
    }
}

impl Serialize for Vector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_slice().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let numbers = Vec::<i8>::deserialize(deserializer)?;
        let length = numbers.len();
        let numbers: Box<StoredVector> = numbers.into_boxed_slice().try_into().map_err(|_| {
            serde::de::Error::invalid_length(length, &"a number for each dimension")
        })?;
        Ok(Self(numbers))
    }
}
