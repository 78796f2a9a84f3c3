//! The stored questions of the semantic tier, by partition: which one is nearest, and does its answer
//! answer this one too?
//!
//! Shards never come here: embedder threads search, the writer thread inserts and removes. Each
//! partition has a lock of its own.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use hashbrown::HashTable;

use super::comparison::Comparison;
use super::index::{Build, Index, SealedGraph};
use super::profile::Profile;
use super::question::{Question, Vector};
use super::verifier::{Assessment, Decision, MatchPolicy, assess};
use super::{Entry, Key};
use crate::inference::{DIMENSIONS, Kernels};

/// Stored questions that are compared with a new one.
const CANDIDATES: usize = 4;

/// Pairs that are kept from matching, at most; the oldest are forgotten.
const BLOCKED_PAIRS_MAX: usize = 65_536;

/// A stored question near a new one.
#[derive(Clone, Debug)]
pub struct Neighbor {
    /// Its entry's name.
    pub key: Key,
    /// How alike the two are.
    pub assessment: Assessment,
    /// What is made of it.
    pub decision: Decision,
    /// Its answer.
    pub entry: Arc<Entry>,
}

/// All stored questions.
pub(super) struct Questions {
    kernels: Kernels,
    partitions: RwLock<HashMap<Key, Arc<Mutex<Partition>>>>,
    blocked: Mutex<BlockedPairs>,
}

/// Questions that differ in nothing but their last user turn.
struct Partition {
    index: Index,
    /// By their numbers in the index.
    items: Vec<Item>,
    /// Numbers of `items` that are not in use.
    free: Vec<u32>,
    /// From the name of an entry to its item.
    by_key: HashTable<u32>,
}

struct Item {
    key: Key,
    profile: Profile,
}

/// Pairs of questions whose answers somebody found to differ.
#[derive(Default)]
struct BlockedPairs {
    pairs: HashSet<(Key, Key)>,
    /// The same, the oldest first.
    order: std::collections::VecDeque<(Key, Key)>,
}

impl Questions {
    pub(super) fn new() -> Self {
        Self {
            kernels: Kernels::detect(),
            partitions: RwLock::default(),
            blocked: Mutex::default(),
        }
    }

    fn partition(&self, key: &Key) -> Option<Arc<Mutex<Partition>>> {
        self.partitions.read().unwrap_or_else(PoisonError::into_inner).get(key).map(Arc::clone)
    }

    /// The nearest stored question whose answer may be served, else the nearest of all. `answer`
    /// gives the entry of a name, if it is still there.
    pub(super) fn search(
        &self,
        own: &Key,
        question: &Question,
        embedding: &[f32; DIMENSIONS],
        policy: MatchPolicy,
        answer: impl Fn(&Key) -> Option<Arc<Entry>>,
    ) -> Option<Neighbor> {
        let partition = self.partition(&question.partition)?;
        let mut partition = lock(&partition);
        let matches = partition.index.nearest(embedding, CANDIDATES);
        let mut nearest = None;
        for found in matches {
            let Some(item) = partition.item(found.entry) else { continue };
            let Some(entry) = answer(&item.key) else { continue };
            let comparison = Comparison::of(&question.profile, &item.profile);
            let assessment = assess(found.cosine, &comparison);
            let decision = if self.is_blocked(own, &item.key) {
                Decision::Refuse(super::verifier::Refusal::Blocked)
            } else {
                assessment.decide(policy)
            };
            let neighbor = Neighbor { key: item.key, assessment, decision, entry };
            if decision == Decision::Serve {
                return Some(neighbor);
            }
            nearest.get_or_insert(neighbor);
        }
        nearest
    }

    /// Keeps a question; one of the same name is replaced. Where that makes its partition's index due
    /// for a new graph, what is to be built is given, if `may_build`.
    pub(super) fn insert(&self, key: Key, question: Question, may_build: bool) -> Option<Build> {
        let partition = {
            let mut partitions = self.partitions.write().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Mutex::new(Partition::new(self.kernels)));
            Arc::clone(partitions.entry(question.partition).or_insert_with(new))
        };
        let mut partition = lock(&partition);
        partition.insert(key, question);
        if may_build { partition.index.due() } else { None }
    }

    /// Takes a graph over that was built for a partition.
    pub(super) fn install(&self, partition: &Key, sealed: SealedGraph) {
        if let Some(held) = self.partition(partition) {
            let obsolete = lock(&held).index.install(sealed);
            // After the lock is free: it may be large.
            drop(obsolete);
        }
    }

    /// Forgets a question.
    pub(super) fn remove(&self, key: &Key, partition: &Key) {
        let Some(held) = self.partition(partition) else { return };
        let is_empty = {
            let mut held = lock(&held);
            held.remove(key);
            held.index.is_empty()
        };
        if is_empty {
            self.partitions.write().unwrap_or_else(PoisonError::into_inner).remove(partition);
        }
    }

    /// What is kept of a question.
    pub(super) fn get(&self, key: &Key, partition: &Key) -> Option<Question> {
        let held = self.partition(partition)?;
        let held = lock(&held);
        let number = held.find(key)?;
        let vector = Vector(Box::new(held.index.stored(number)?));
        let profile = held.item(number)?.profile.clone();
        Some(Question { partition: *partition, vector, profile })
    }

    /// Forgets the questions whose answers are gone.
    pub(super) fn sweep(&self, lives: impl Fn(&Key) -> bool) {
        let all: Vec<(Key, Arc<Mutex<Partition>>)> = {
            let partitions = self.partitions.read().unwrap_or_else(PoisonError::into_inner);
            partitions.iter().map(|(key, held)| (*key, Arc::clone(held))).collect()
        };
        for (partition, held) in all {
            let dead: Vec<Key> = {
                let held = lock(&held);
                let numbers = held.by_key.iter().filter_map(|it| held.item(*it));
                numbers.map(|item| item.key).filter(|key| !lives(key)).collect()
            };
            dead.iter().for_each(|key| self.remove(key, &partition));
        }
    }

    /// Blocks a pair from matching from now on.
    pub(super) fn block_pair(&self, one: Key, other: Key) {
        let mut blocked = lock(&self.blocked);
        let pair = ordered(one, other);
        if blocked.pairs.insert(pair) {
            blocked.order.push_back(pair);
        }
        if blocked.order.len() > BLOCKED_PAIRS_MAX
            && let Some(oldest) = blocked.order.pop_front()
        {
            blocked.pairs.remove(&oldest);
        }
    }

    fn is_blocked(&self, one: &Key, other: &Key) -> bool {
        lock(&self.blocked).pairs.contains(&ordered(*one, *other))
    }

    /// The pairs that are kept from matching, the oldest first.
    pub(super) fn blocked(&self) -> Vec<(Key, Key)> {
        lock(&self.blocked).order.iter().copied().collect()
    }

    /// How many questions are kept, and in how many partitions.
    pub(super) fn count(&self) -> (u64, u64) {
        let partitions = self.partitions.read().unwrap_or_else(PoisonError::into_inner);
        let questions = partitions.values().map(|held| lock(held).index.len() as u64).sum();
        (questions, partitions.len() as u64)
    }
}

fn ordered(one: Key, other: Key) -> (Key, Key) {
    if one <= other { (one, other) } else { (other, one) }
}

/// A panic cannot have left a partition half changed in a way that serves a wrong answer: what an
/// item holds is checked against the table of answers.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Partition {
    fn new(kernels: Kernels) -> Self {
        Self {
            index: Index::new(kernels),
            items: Vec::new(),
            free: Vec::new(),
            by_key: HashTable::new(),
        }
    }

    fn item(&self, number: u32) -> Option<&Item> {
        self.items.get(number as usize)
    }

    fn find(&self, key: &Key) -> Option<u32> {
        let is_it = |number: &u32| self.item(*number).is_some_and(|it| it.key == *key);
        self.by_key.find(key.bits(), is_it).copied()
    }

    fn insert(&mut self, key: Key, question: Question) {
        self.remove(&key);
        let Question { vector, profile, .. } = question;
        let next = u32::try_from(self.items.len()).ok();
        let Some(number) = self.free.pop().or(next) else { return };
        if !self.index.insert_stored(number, &vector.0) {
            return;
        }
        let item = Item { key, profile };
        match self.items.get_mut(number as usize) {
            Some(place) => *place = item,
            None => self.items.push(item),
        }
        let items = &self.items;
        let bits = |number: &u32| items.get(*number as usize).map_or(0, |item| item.key.bits());
        self.by_key.insert_unique(key.bits(), number, bits);
    }

    fn remove(&mut self, key: &Key) {
        let items = &self.items;
        let is_it = |number: &u32| items.get(*number as usize).is_some_and(|it| it.key == *key);
        let Ok(found) = self.by_key.find_entry(key.bits(), is_it) else { return };
        let (number, _) = found.remove();
        if let Some(item) = self.items.get_mut(number as usize) {
            self.index.remove(number);
            // The next one cannot reuse its memory.
            item.profile = Profile::of("");
            self.free.push(number);
        }
    }
}
