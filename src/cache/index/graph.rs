//! A graph of near neighbors over vectors that do not change: `hnsw_rs`, on stored vectors.
//!
//! Made once, searched by many. What has been removed since is passed over while it is searched.

use hnsw_rs::anndists::dist::Distance;
use hnsw_rs::hnsw::{Hnsw, PointId};

use super::scan::{LENGTH, Match, Query, Slot, StoredVector, sort};
use crate::inference::Kernels;

/// Neighbors of a vector on each layer; twice as many on the lowest.
const NEIGHBORS: usize = 16;

/// Layers at most; 16 to the power of it is more than any partition has.
const LAYERS: usize = 8;

/// Vectors that are looked at to find the neighbors of a new one.
const BUILD_WIDTH: usize = 100;

/// Vectors that are looked at in a search, at least.
const SEARCH_WIDTH: usize = 64;

/// Bytes that the graph takes for a vector: an estimate of 384 for the vector and 40 neighbors of 56
/// bytes each, not a measurement.
const BYTES: usize = 3_000;

/// 1 less the cosine of two stored vectors, taken to have the length they had before rounding.
struct Nearness(Kernels);

impl Distance<i8> for Nearness {
    fn eval(&self, a: &[i8], b: &[i8]) -> f32 {
        let (Ok(a), Ok(b)) = (<&StoredVector>::try_from(a), <&StoredVector>::try_from(b)) else {
            return 2.0;
        };
        #[expect(clippy::cast_precision_loss, reason = "below 2^23 for vectors of 384 int8")]
        let dot = self.0.dot(a, b) as f32;
        (1.0 - dot / (LENGTH * LENGTH)).max(0.0)
    }
}

/// Vectors with the numbers of their entries, searchable.
pub(super) struct Graph {
    kernels: Kernels,
    graph: Hnsw<'static, i8, Nearness>,
    /// By place, as `points`.
    entries: Vec<u32>,
    /// Where the graph keeps each vector.
    points: Vec<PointId>,
}

impl Graph {
    /// Takes about a millisecond a vector.
    pub(super) fn build<'a>(
        kernels: Kernels,
        vectors: impl ExactSizeIterator<Item = (u32, &'a StoredVector)>,
    ) -> Self {
        let graph =
            Hnsw::new(NEIGHBORS, vectors.len().max(1), LAYERS, BUILD_WIDTH, Nearness(kernels));
        let mut entries = Vec::with_capacity(vectors.len());
        for (place, (entry, vector)) in vectors.enumerate() {
            graph.insert((vector, place));
            entries.push(entry);
        }
        let mut points = vec![PointId(0, 0); entries.len()];
        // An empty one has nothing to go through, and would panic.
        let kept = (!entries.is_empty()).then(|| graph.get_point_indexation());
        for point in kept.into_iter().flatten() {
            if let Some(slot) = points.get_mut(point.get_origin_id()) {
                *slot = point.get_point_id();
            }
        }
        Self { kernels, graph, entries, points }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn entries(&self) -> &[u32] {
        &self.entries
    }

    pub(super) fn bytes(&self) -> usize {
        self.len() * BYTES
    }

    /// The vector at a place.
    pub(super) fn stored(&self, place: u32) -> Option<StoredVector> {
        let point = self.points.get(usize::try_from(place).ok()?)?;
        let vector = self.graph.get_point_indexation().get_point_data(point)?;
        vector.try_into().ok()
    }

    /// Up to `count` near vectors that `is_live` knows by their entry and place, the nearest first.
    pub(super) fn search(
        &self,
        query: &Query,
        count: usize,
        is_live: impl Fn(u32, u32) -> bool,
    ) -> Vec<Match> {
        let filter = |place: &usize| {
            let entry = self.entries.get(*place);
            entry.is_some_and(|entry| u32::try_from(*place).is_ok_and(|at| is_live(*entry, at)))
        };
        let width = SEARCH_WIDTH.max(count);
        let found = self.graph.search_filter(&query.stored, count, width, Some(&filter));
        let mut matches: Vec<Match> = found
            .into_iter()
            .filter_map(|near| {
                let place = u32::try_from(near.get_origin_id()).ok()?;
                let entry = *self.entries.get(near.get_origin_id())?;
                let cosine = query.cosine(self.kernels, &self.stored(place)?);
                Some(Match { entry, slot: Slot(place), cosine })
            })
            .collect();
        sort(&mut matches, count);
        matches
    }
}
