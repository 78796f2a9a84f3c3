//! One section of the settings, as all who go by it share it.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The generation that the next section gets.
static NEXT_GENERATION: AtomicU64 = AtomicU64::new(1);

/// A section of the settings that never changes: new values are a new section of a higher generation. A
/// clone is the same section.
#[derive(Debug)]
pub struct Section<T> {
    value: Arc<T>,
    generation: u64,
}

impl<T> Section<T> {
    /// A section of its own generation.
    #[must_use]
    pub fn new(value: T) -> Self {
        let generation = NEXT_GENERATION.fetch_add(1, Ordering::Relaxed);
        Self { value: Arc::new(value), generation }
    }

    /// A number that no other section of the process has; newer sections have higher ones.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// True for the section itself and its clones, whose values are then equal.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.generation == other.generation
    }
}

impl<T> Clone for Section<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), generation: self.generation }
    }
}

impl<T> Deref for Section<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> Section<T> {
    /// Becomes `running` if the values are equal.
    pub(super) fn keep(&mut self, running: &Self) {
        if !self.is_same(running) && **self == **running {
            self.clone_from(running);
        }
    }
}
