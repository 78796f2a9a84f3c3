//! Sides of the relations that prepositions make.

use serde::{Deserialize, Serialize};

/// Which side of a relation a word stands on. `Subject` is any word that follows no such preposition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RelationSide {
    /// Not the object of one of the prepositions below.
    #[default]
    Subject,
    /// After `from`.
    From,
    /// After `to`, `into`, `onto`, `towards`.
    To,
    /// After `than`.
    Than,
    /// After `versus`, `vs`, `against`.
    Versus,
    /// After `by`.
    By,
    /// After `before` or `until`.
    Before,
    /// After `after` or `since`.
    After,
    /// After `over` or `above`.
    Over,
    /// After `under` or `below`.
    Under,
}
