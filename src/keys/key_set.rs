//! All virtual keys: a base that most of them are in, and an overlay of those that have changed since.
//!
//! A change of one key among many costs a copy of the overlay and not of the base. The overlay is merged
//! into a new base when it has grown to an eighth of it. Changes are made by one thread; sets are immutable.

use std::sync::Arc;

use foldhash::HashMap;

use super::{KeyHash, VirtualKey};

/// An overlay of so many keys is never merged.
const OVERLAY_MIN: usize = 64;

/// A larger overlay is merged when it exceeds this part of the base.
const OVERLAY_DIVISOR: usize = 8;

/// All virtual keys, found by the hash of a presented secret.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    base: Arc<Base>,
    /// The keys that are not as in the base; none: removed.
    overlay: HashMap<KeyHash, Option<Arc<VirtualKey>>>,
    /// How many more keys than in the base name a model, or fewer.
    overlay_models: HashMap<String, i64>,
    len: usize,
}

#[derive(Debug, Default)]
struct Base {
    keys: HashMap<KeyHash, Arc<VirtualKey>>,
    /// How many keys name a model.
    models: HashMap<String, i64>,
}

/// A change of one key.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyChange {
    /// The key is new, or differs from the one with its hash.
    Set(Arc<VirtualKey>),
    /// The key of that hash is gone.
    Remove(KeyHash),
}

impl KeySet {
    /// Builds a set without an overlay; the caller has refused equal hashes.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = VirtualKey>) -> Self {
        let keys = keys.into_iter().map(|key| (key.hash, Arc::new(key)));
        Self::of_base(keys.collect())
    }

    fn of_base(keys: HashMap<KeyHash, Arc<VirtualKey>>) -> Self {
        let mut models = HashMap::default();
        for key in keys.values() {
            count_models(&mut models, key, 1);
        }
        let len = keys.len();
        Self { base: Arc::new(Base { keys, models }), len, ..Self::default() }
    }

    /// True if no key is configured, so that requests need none.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.len == 0
    }

    /// The key whose secret was presented.
    ///
    /// The look-up goes by a keyed 256-bit hash: what timing could tell is about the hash, not
    /// about the secret, and the final comparison is constant in time.
    #[must_use]
    pub fn find(&self, presented: &[u8]) -> Option<&Arc<VirtualKey>> {
        self.get(&KeyHash::of(presented))
    }

    fn get(&self, hash: &KeyHash) -> Option<&Arc<VirtualKey>> {
        if !self.overlay.is_empty()
            && let Some(changed) = self.overlay.get(hash)
        {
            return changed.as_ref();
        }
        self.base.keys.get(hash)
    }

    /// True if the list of models of a key has that name.
    #[must_use]
    pub fn names_model(&self, model: &str) -> bool {
        let of = |models: &HashMap<String, i64>| models.get(model).copied().unwrap_or(0);
        of(&self.base.models) + of(&self.overlay_models) > 0
    }

    /// All keys, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<VirtualKey>> {
        let base = self.base.keys.values().filter(|key| !self.overlay.contains_key(&key.hash));
        base.chain(self.overlay.values().flatten())
    }

    /// What makes this set equal to `newer`. Takes time for each key of both.
    #[must_use]
    pub fn changes_to(&self, newer: &Self) -> Vec<KeyChange> {
        let set = newer.iter().filter(|key| self.get(&key.hash) != Some(key));
        let gone = self.iter().filter(|key| newer.get(&key.hash).is_none());
        let gone = gone.map(|key| KeyChange::Remove(key.hash));
        gone.chain(set.map(|key| KeyChange::Set(Arc::clone(key)))).collect()
    }

    /// This set with those changes, later ones above earlier ones. Takes time for each key of the overlay,
    /// and for each key of the set when the overlay is merged.
    #[must_use]
    pub fn with_changes(&self, changes: impl IntoIterator<Item = KeyChange>) -> Self {
        let mut set = self.clone();
        for change in changes {
            set.apply(change);
        }
        if set.overlay.len() > OVERLAY_MIN.max(set.base.keys.len() / OVERLAY_DIVISOR) {
            let mut keys = HashMap::clone(&set.base.keys);
            for (hash, changed) in set.overlay {
                match changed {
                    Some(key) => keys.insert(hash, key),
                    None => keys.remove(&hash),
                };
            }
            set = Self::of_base(keys);
        }
        set
    }

    fn apply(&mut self, change: KeyChange) {
        let (hash, key) = match change {
            KeyChange::Set(key) => (key.hash, Some(key)),
            KeyChange::Remove(hash) => (hash, None),
        };
        if let Some(before) = self.get(&hash).cloned() {
            self.len -= 1;
            count_models(&mut self.overlay_models, &before, -1);
        }
        if let Some(key) = &key {
            self.len += 1;
            count_models(&mut self.overlay_models, key, 1);
        }
        if self.base.keys.get(&hash) == key.as_ref() {
            self.overlay.remove(&hash);
        } else {
            self.overlay.insert(hash, key);
        }
    }
}

/// Counts the models that a key names `by` more times.
fn count_models(models: &mut HashMap<String, i64>, key: &VirtualKey, by: i64) {
    for name in key.models.names() {
        let count = models.entry(name.to_owned()).or_default();
        *count += by;
        if *count == 0 {
            models.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Patterns;
    use crate::keys::Endpoints;
    use proptest::prelude::*;

    fn secret(number: usize) -> Vec<u8> {
        format!("secret {number}").into_bytes()
    }

    /// The key of a number, which may use this model only.
    fn key(number: usize, model: &str) -> VirtualKey {
        VirtualKey {
            name: Arc::from(format!("k{number}")),
            hash: KeyHash::of(&secret(number)),
            models: Patterns::new(Some(&[model.to_owned()])),
            routes: Patterns::default(),
            endpoints: Endpoints::default(),
            route: None,
            metadata: None,
        }
    }

    fn set(number: usize, model: &str) -> KeyChange {
        KeyChange::Set(Arc::new(key(number, model)))
    }

    fn remove(number: usize) -> KeyChange {
        KeyChange::Remove(KeyHash::of(&secret(number)))
    }

    /// The model of each key that is found, by the keys' numbers.
    fn models(keys: &KeySet, numbers: usize) -> Vec<Option<String>> {
        let model = |number| {
            let found = keys.find(&secret(number))?;
            assert_eq!(*found.name, format!("k{number}"));
            found.models.names().next().map(str::to_owned)
        };
        (0..numbers).map(model).collect()
    }

    fn assert_equal(keys: &KeySet, expected: &KeySet, numbers: usize) {
        assert_eq!(models(keys, numbers), models(expected, numbers));
        assert_eq!(keys.is_open(), expected.is_open());
        assert_eq!(keys.iter().count(), expected.iter().count());
        assert!(keys.iter().all(|key| expected.get(&key.hash) == Some(key)));
        for name in ["a", "b", "c"] {
            assert_eq!(keys.names_model(name), expected.names_model(name), "{name}");
        }
        assert!(keys.changes_to(expected).is_empty() && expected.changes_to(keys).is_empty());
    }

    #[test]
    fn a_key_is_added_changed_removed_and_added_again() {
        let base = KeySet::new([key(0, "a"), key(1, "a"), key(2, "b")]);
        for (changes, expected, changed) in [
            (vec![], [Some("a"), Some("a"), Some("b"), None], 0),
            (vec![set(3, "c")], [Some("a"), Some("a"), Some("b"), Some("c")], 1),
            (vec![set(1, "c")], [Some("a"), Some("c"), Some("b"), None], 1),
            (vec![remove(1)], [Some("a"), None, Some("b"), None], 1),
            (vec![remove(2), set(2, "b")], [Some("a"), Some("a"), Some("b"), None], 0),
            (vec![remove(2), set(2, "c")], [Some("a"), Some("a"), Some("c"), None], 1),
            (vec![set(3, "c"), remove(3)], [Some("a"), Some("a"), Some("b"), None], 0),
            (vec![remove(3)], [Some("a"), Some("a"), Some("b"), None], 0),
            (vec![remove(0), remove(1), remove(2)], [None; 4], 3),
        ] {
            let keys = base.with_changes(changes.clone());
            assert_eq!(models(&keys, 4), expected.map(|it| it.map(str::to_owned)), "{changes:?}");
            assert_eq!(keys.overlay.len(), changed, "{changes:?}");
            assert!(Arc::ptr_eq(&keys.base, &base.base), "{changes:?}");
            for name in ["a", "b", "c"] {
                let is_named = expected.contains(&Some(name));
                assert_eq!(keys.names_model(name), is_named, "{name} {changes:?}");
            }
            assert_eq!(keys.is_open(), expected == [None; 4]);
            assert_eq!(models(&base, 3), ["a", "a", "b"].map(|it| Some(it.to_owned())));
        }
    }

    #[test]
    fn a_large_overlay_is_merged() {
        let numbers = 2_000;
        let base = KeySet::new((0..numbers).map(|number| key(number, "a")));
        let few = base.with_changes((0..250).map(|number| set(number, "b")));
        assert!(Arc::ptr_eq(&few.base, &base.base));
        assert_eq!(few.overlay.len(), 250);
        let merged = few.with_changes([remove(1_999)]);
        assert!(merged.overlay.is_empty() && merged.overlay_models.is_empty());
        let expected = (0..1_999).map(|number| key(number, if number < 250 { "b" } else { "a" }));
        assert_equal(&merged, &KeySet::new(expected), numbers);
    }

    #[test]
    fn a_small_set_is_not_merged_at_each_change() {
        let base = KeySet::new([]);
        let keys = base.with_changes((0..OVERLAY_MIN).map(|number| set(number, "a")));
        assert_eq!(keys.overlay.len(), OVERLAY_MIN);
        assert!(keys.with_changes([set(OVERLAY_MIN, "a")]).overlay.is_empty());
    }

    proptest! {
        #[test]
        fn overlay_finds_what_a_rebuilt_set_finds(
            first in proptest::collection::vec(0..3_usize, 160),
            batches in proptest::collection::vec(
                proptest::collection::vec((0..160_usize, 0..4_usize), 1..90), 1..5),
        ) {
            const MODELS: [&str; 4] = ["a", "b", "c", ""];
            // A last model that is empty: no such key.
            let is_there = |model: &usize| *model != 3;
            let build = |all: &[usize]| {
                let all = all.iter().enumerate().filter(|(_, model)| is_there(model));
                KeySet::new(all.map(|(number, model)| key(number, MODELS[*model])))
            };
            let mut expected = first;
            let mut keys = build(&expected);
            for batch in batches {
                let changes = batch.iter().map(|(number, model)| match is_there(model) {
                    true => set(*number, MODELS[*model]),
                    false => remove(*number),
                });
                keys = keys.with_changes(changes.collect::<Vec<_>>());
                batch.iter().for_each(|(number, model)| expected[*number] = *model);
                let rebuilt = build(&expected);
                assert_equal(&keys, &rebuilt, 160);
                // And the way that a reload takes.
                let fresh = build(&[]);
                assert_equal(&fresh.with_changes(fresh.changes_to(&rebuilt)), &rebuilt, 160);
            }
        }
    }
}
