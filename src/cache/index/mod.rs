//! Which stored question is nearest: an index a partition, kept by the one thread that owns it.
//!
//! A [`Segment`] is a scan: it inserts and forgets in constant time, and up to [`SCAN_MAX`] vectors it
//! is faster than a graph. An [`Index`] is a segment until it has as many; then what it holds is to be
//! sealed into a graph, elsewhere and while it is searched, and a new segment takes what comes:
//!
//! ```text
//! if let Some(build) = index.due() {          // the owner holds its lock
//!     spawn(move || build.run())              // it does not
//! }
//! drop_unlocked(index.install(sealed));       // it does again
//! ```

mod graph;
mod scan;

use std::sync::Arc;

use graph::Graph;
pub use scan::{Match, Segment, Slot, StoredVector, stored};
use scan::{Query, sort};

use crate::inference::{DIMENSIONS, Kernels, LANES};

/// Vectors of a segment from which on a graph is due. By the benchmark `index` a scan of so many takes
/// 1.0 ms and a graph 1.1 ms, with a lower recall; of 250,000 0.4 and 0.8 ms, and of a million the scan
/// takes 3 ms (Zen 4, 32 MB of third-level cache).
pub const SCAN_MAX: usize = 400_000;

/// What a place is that holds nothing.
const NOWHERE: u32 = u32::MAX;

/// Bits of a place that hold the slot; the two above hold the part.
const SLOT_BITS: u32 = 30;

/// One of the parts of an index: at most a segment, one that is being sealed, a graph, and the graph
/// that is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part(u32);

impl Part {
    fn place(self, slot: u32) -> u32 {
        (self.0 << SLOT_BITS) | slot
    }

    fn has(self, place: u32) -> bool {
        place != NOWHERE && place >> SLOT_BITS == self.0
    }
}

/// Vectors of one partition, under numbers that the owner gives out densely, from 0.
pub struct Index {
    kernels: Kernels,
    scan_max: usize,
    recent: (Part, Segment),
    /// What is being sealed. Nobody writes to it.
    frozen: Option<(Part, Arc<Segment>)>,
    graph: Option<(Part, Arc<Graph>)>,
    /// Where the vector of each number is. What a part holds and this does not confirm is dead.
    places: Vec<u32>,
    /// Numbers that have a vector, and those of them whose vector is in the graph.
    live: usize,
    graph_live: usize,
    /// Room for the distances of a search, kept from one to the next.
    distances: Vec<[u16; LANES]>,
}

impl Index {
    /// An empty index.
    #[must_use]
    pub fn new(kernels: Kernels) -> Self {
        Self::with_scan_max(kernels, SCAN_MAX)
    }

    /// An empty index whose segments are sealed when they have `scan_max` vectors.
    #[must_use]
    pub fn with_scan_max(kernels: Kernels, scan_max: usize) -> Self {
        Self {
            kernels,
            scan_max: scan_max.max(1),
            recent: (Part(0), Segment::new(kernels)),
            frozen: None,
            graph: None,
            places: Vec::new(),
            live: 0,
            graph_live: 0,
            distances: Vec::new(),
        }
    }

    /// Vectors that have not been removed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Bytes that the vectors take, with room kept for more; of a graph an estimate.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.recent.1.bytes()
            + self.frozen.as_ref().map_or(0, |(_, segment)| segment.bytes())
            + self.graph.as_ref().map_or(0, |(_, graph)| graph.bytes())
            + self.places.capacity() * size_of::<u32>()
            + self.distances.capacity() * size_of::<[u16; LANES]>()
    }

    /// Keeps a vector of length 1 under a number, in place of the one it had. False if there is no
    /// room: a segment takes 2³⁰.
    pub fn insert(&mut self, item: u32, vector: &[f32; DIMENSIONS]) -> bool {
        self.insert_stored(item, &stored(vector))
    }

    /// As [`Index::insert`], of a vector in the form that is kept.
    pub fn insert_stored(&mut self, item: u32, vector: &StoredVector) -> bool {
        self.remove(item);
        let Ok(at) = usize::try_from(item) else { return false };
        if at >= self.places.len() {
            self.places.resize(at + 1, NOWHERE);
        }
        let (part, segment) = &mut self.recent;
        let (Some(slot), Some(place)) =
            (segment.insert_stored(item, vector), self.places.get_mut(at))
        else {
            return false;
        };
        *place = part.place(slot.0);
        self.live += 1;
        true
    }

    /// Forgets the vector of a number; false if it had none.
    pub fn remove(&mut self, item: u32) -> bool {
        let place = self.place(item);
        if place == NOWHERE {
            return false;
        }
        if self.recent.0.has(place) {
            self.recent.1.remove(slot(place));
        } else if self.graph.as_ref().is_some_and(|(part, _)| part.has(place)) {
            self.graph_live -= 1;
        }
        self.set_place(item, NOWHERE);
        self.live -= 1;
        true
    }

    /// The vector of a number, bit for bit as it was inserted.
    #[must_use]
    pub fn stored(&self, item: u32) -> Option<StoredVector> {
        let place = self.place(item);
        if self.recent.0.has(place) {
            return self.recent.1.stored(slot(place)).copied();
        }
        if let Some((_, frozen)) = self.frozen.as_ref().filter(|(part, _)| part.has(place)) {
            return frozen.stored(slot(place)).copied();
        }
        let (_, graph) = self.graph.as_ref().filter(|(part, _)| part.has(place))?;
        graph.stored(slot(place).0)
    }

    /// Up to `count` near vectors, the nearest first; the entry of a match is its number.
    pub fn nearest(&mut self, query: &[f32; DIMENSIONS], count: usize) -> Vec<Match> {
        let query = Query::new(self.kernels, query);
        let mut distances = std::mem::take(&mut self.distances);
        let mut matches = self.recent.1.search(&query, count, &mut distances, |_| true);
        if let Some((part, frozen)) = &self.frozen {
            let is_live = |near: &Match| self.place(near.entry) == part.place(near.slot.0);
            matches.extend(frozen.search(&query, count, &mut distances, is_live));
        }
        if let Some((part, graph)) = &self.graph {
            let is_live = |entry, place| self.place(entry) == part.place(place);
            matches.extend(graph.search(&query, count, is_live));
        }
        self.distances = distances;
        sort(&mut matches, count);
        matches
    }

    /// What is to be sealed, if the segment has grown large or a quarter of the graph is dead. Nothing
    /// while another build is on its way; one that was lost is offered again. Costs a pass over the
    /// numbers of the graph, a millisecond for a million.
    pub fn due(&mut self) -> Option<Build> {
        match &self.frozen {
            Some((_, frozen)) if Arc::strong_count(frozen) > 1 => return None,
            Some(_) => {}
            None => {
                let sealed = self.graph.as_ref().map_or(0, |(_, graph)| graph.len());
                let is_decayed = (sealed - self.graph_live) * 4 >= sealed && sealed > 0;
                if self.recent.1.len() < self.scan_max && !is_decayed {
                    return None;
                }
                let empty = (self.free_part(), Segment::new(self.kernels));
                let (part, full) = std::mem::replace(&mut self.recent, empty);
                self.frozen = Some((part, Arc::new(full)));
            }
        }
        let (part, frozen) = self.frozen.as_ref()?;
        let graph = self.graph.as_ref().map(|(part, graph)| {
            let places = (0u32..).zip(graph.entries()).map(|(slot, entry)| (*entry, slot));
            let live = places.filter(|(entry, slot)| self.place(*entry) == part.place(*slot));
            (*part, Arc::clone(graph), live.map(|(_, slot)| slot).collect())
        });
        let (part, frozen) = (*part, Arc::clone(frozen));
        Some(Build { kernels: self.kernels, part: self.free_part(), frozen: (part, frozen), graph })
    }

    /// Takes what was built in place of what it was built of. What comes back is to be dropped where
    /// no lock is held: freeing a large graph takes a tenth of a second. A build that this index did
    /// not ask for, or no longer waits for, comes back whole.
    pub fn install(&mut self, sealed: SealedGraph) -> ObsoleteParts {
        let is_awaited = self.frozen.as_ref().is_some_and(|(_, frozen)| {
            Arc::ptr_eq(frozen, &sealed.frozen) && !self.is_used(sealed.part)
        });
        if !is_awaited {
            return ObsoleteParts { _sealed: Some(sealed), _graph: None, _frozen: None };
        }
        let SealedGraph { part, graph, origins, frozen } = sealed;
        self.graph_live = 0;
        for ((slot, entry), origin) in (0u32..).zip(graph.entries()).zip(&origins) {
            if self.place(*entry) == *origin {
                self.set_place(*entry, part.place(slot));
                self.graph_live += 1;
            }
        }
        self.frozen = None;
        let next = (graph.len() > 0).then(|| (part, Arc::new(graph)));
        let old = std::mem::replace(&mut self.graph, next);
        ObsoleteParts { _sealed: None, _graph: old.map(|(_, graph)| graph), _frozen: Some(frozen) }
    }

    fn place(&self, item: u32) -> u32 {
        usize::try_from(item).ok().and_then(|at| self.places.get(at)).copied().unwrap_or(NOWHERE)
    }

    fn set_place(&mut self, item: u32, place: u32) {
        if let Some(slot) = usize::try_from(item).ok().and_then(|at| self.places.get_mut(at)) {
            *slot = place;
        }
    }

    fn is_used(&self, part: Part) -> bool {
        part == self.recent.0
            || self.frozen.as_ref().is_some_and(|(other, _)| *other == part)
            || self.graph.as_ref().is_some_and(|(other, _)| *other == part)
    }

    /// There are four, and at most three are in use when a new one is wanted.
    fn free_part(&self) -> Part {
        (0..3).map(Part).find(|part| !self.is_used(*part)).unwrap_or(Part(3))
    }
}

fn slot(place: u32) -> Slot {
    Slot(place & ((1 << SLOT_BITS) - 1))
}

/// A graph that is to be made, on another thread than the owner's.
pub struct Build {
    kernels: Kernels,
    part: Part,
    frozen: (Part, Arc<Segment>),
    /// The graph that there was, and its slots that were live.
    graph: Option<(Part, Arc<Graph>, Vec<u32>)>,
}

impl Build {
    /// Makes the graph of all that was live when the build was due. Takes about a millisecond a
    /// vector.
    #[must_use]
    pub fn run(self) -> SealedGraph {
        let (part, frozen) = self.frozen;
        let (mut vectors, mut origins) = (Vec::new(), Vec::new());
        if let Some((part, graph, live)) = self.graph {
            for slot in live {
                let entry = usize::try_from(slot).ok().and_then(|at| graph.entries().get(at));
                if let (Some(entry), Some(vector)) = (entry, graph.stored(slot)) {
                    vectors.push((*entry, vector));
                    origins.push(part.place(slot));
                }
            }
        }
        for (slot, entry, vector) in frozen.iter() {
            vectors.push((entry, *vector));
            origins.push(part.place(slot.0));
        }
        let graph =
            Graph::build(self.kernels, vectors.iter().map(|(entry, vector)| (*entry, vector)));
        SealedGraph { part: self.part, graph, origins, frozen }
    }
}

/// A graph that was made.
pub struct SealedGraph {
    part: Part,
    graph: Graph,
    /// Where each of its vectors was.
    origins: Vec<u32>,
    frozen: Arc<Segment>,
}

/// Parts that an index no longer needs; dropped outside its lock.
pub struct ObsoleteParts {
    _sealed: Option<SealedGraph>,
    _graph: Option<Arc<Graph>>,
    _frozen: Option<Arc<Segment>>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::scan::tests::vector;
    use super::*;

    fn build(index: &mut Index) {
        if let Some(build) = index.due() {
            assert!(index.due().is_none(), "one build at a time");
            drop(index.install(build.run()));
        }
    }

    #[test]
    fn inserted_vectors_are_found_around_sealing() {
        let mut index = Index::with_scan_max(Kernels::detect(), 100);
        let mut due = None;
        for item in 0..350u32 {
            assert!(index.insert(item, &vector(u64::from(item))));
            if item == 120 {
                due = index.due();
                assert!(index.remove(5), "while it is built");
                assert!(index.insert(6, &vector(1_006)), "likewise");
            }
            if item == 200 {
                let sealed = due.take().unwrap().run();
                assert!(index.remove(7), "before it is taken");
                drop(index.install(sealed));
            }
            if item > 200 {
                build(&mut index);
            }
        }
        assert_eq!(index.len(), 348);
        for item in 0..350u32 {
            let seed = if item == 6 { 1_006 } else { u64::from(item) };
            let found = index.nearest(&vector(seed), 3);
            assert_eq!(found.len(), 3);
            assert_eq!(found[0].entry == item, !matches!(item, 5 | 7), "{item}");
            let kept = index.stored(item);
            assert_eq!(kept, (!matches!(item, 5 | 7)).then(|| stored(&vector(seed))), "{item}");
        }
    }

    #[test]
    fn graph_is_rebuilt_when_stale_or_lost() {
        let mut index = Index::with_scan_max(Kernels::detect(), 80);
        for item in 0..80u32 {
            index.insert(item, &vector(u64::from(item)));
        }
        drop(index.due());
        build(&mut index);
        for item in 0..19u32 {
            assert!(index.remove(item) && !index.remove(item));
        }
        assert!(index.due().is_none());
        index.remove(19);
        build(&mut index);
        assert_eq!((index.len(), index.graph_live), (60, 60));
        assert_eq!(index.graph.as_ref().unwrap().1.len(), 60);
        for item in 20..80u32 {
            index.remove(item);
        }
        build(&mut index);
        assert!(index.graph.is_none() && index.is_empty());
        assert!(index.nearest(&vector(1), 3).is_empty());
    }

    #[test]
    fn build_of_another_index_is_rejected() {
        let (mut one, mut other) = (
            Index::with_scan_max(Kernels::detect(), 1),
            Index::with_scan_max(Kernels::detect(), 1),
        );
        one.insert(0, &vector(0));
        other.insert(0, &vector(9));
        let sealed = one.due().unwrap().run();
        other.due().unwrap();
        drop(other.install(sealed));
        assert_eq!(other.stored(0), Some(stored(&vector(9))));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u32),
        Remove(u32),
        Due,
        Install,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0u32..40).prop_map(Step::Insert),
            3 => (0u32..40).prop_map(Step::Remove),
            1 => Just(Step::Due),
            1 => Just(Step::Install),
        ]
    }

    proptest! {
        #[test]
        fn index_agrees_with_a_map(steps in prop::collection::vec(step(), 0..120)) {
            let mut index = Index::with_scan_max(Kernels::detect(), 10);
            let (mut map, mut sealed) = (std::collections::BTreeMap::new(), None);
            for (seed, step) in (0u64..).zip(steps) {
                match step {
                    Step::Insert(item) => {
                        index.insert(item, &vector(seed));
                        map.insert(item, seed);
                    }
                    Step::Remove(item) => {
                        prop_assert_eq!(index.remove(item), map.remove(&item).is_some());
                    }
                    Step::Due => sealed = index.due().map(Build::run).or(sealed),
                    Step::Install => drop(sealed.take().map(|sealed| index.install(sealed))),
                }
                prop_assert_eq!(index.len(), map.len());
            }
            for item in 0..40 {
                let expected = map.get(&item).map(|seed| stored(&vector(*seed)));
                prop_assert_eq!(index.stored(item), expected);
            }
            for (item, seed) in &map {
                prop_assert_eq!(index.nearest(&vector(*seed), 1)[0].entry, *item);
            }
            prop_assert_eq!(index.nearest(&vector(0), 50).len(), map.len());
        }
    }
}
