//! `round_robin`: the targets in turn, in proportion to their weights; the next one after a
//! failure.
//!
//! The order is precomputed with nginx's smooth weighted round robin, so that a target of weight 5
//! is not called five times in a row. All shards share one counter.

use std::sync::atomic::Ordering::Relaxed;

use super::strategy::{Selection, Strategy, StrategyInput};
use crate::base::Diagnostics;

/// Longest precomputed round; weights are met within a thousandth.
const TURNS_MAX: usize = 1_000;

#[derive(Debug)]
pub(super) struct RoundRobin {
    /// Positions in the group.
    turns: Vec<usize>,
}

impl RoundRobin {
    pub(super) fn make(
        input: &StrategyInput<'_>,
        _: &mut Diagnostics,
    ) -> Option<Box<dyn Strategy>> {
        let weights: Vec<f64> = input.children.iter().map(|child| child.weight).collect();
        Some(Box::new(Self { turns: turns(&weights) }))
    }
}

impl Strategy for RoundRobin {
    fn select(&self, selection: &mut Selection<'_>) -> Option<usize> {
        let from = selection.turns.fetch_add(1, Relaxed);
        let turns = self.turns.iter().cycle().skip(from % self.turns.len().max(1));
        let next = turns.take(self.turns.len()).find(|place| selection.open.contains(place));
        next.or(selection.open.first()).copied()
    }

    fn balances_load(&self) -> bool {
        true
    }

    fn uses_weights(&self) -> bool {
        true
    }
}

/// The shortest round with the positions in proportion to their weights.
fn turns(weights: &[f64]) -> Vec<usize> {
    let total: f64 = weights.iter().sum();
    if total <= 0.0 || !total.is_finite() {
        return Vec::new();
    }
    let counts = |round: usize| -> Vec<f64> {
        weights.iter().map(|weight| weight / total * round as f64).collect()
    };
    let is_even =
        |round: &usize| counts(*round).iter().all(|count| (count - count.round()).abs() < 1e-6);
    let round = (1..TURNS_MAX).find(is_even).unwrap_or(TURNS_MAX);
    let shares = counts(round);
    let mut credits = vec![0.0; weights.len()];
    let mut turns = Vec::with_capacity(round);
    for _ in 0..round {
        credits.iter_mut().zip(&shares).for_each(|(credit, share)| *credit += share);
        // The first of the highest.
        let highest = credits.iter().copied().fold(f64::MIN, f64::max);
        let Some(place) = credits.iter().position(|credit| *credit >= highest) else { break };
        if let Some(credit) = credits.get_mut(place) {
            *credit -= round as f64;
        }
        turns.push(place);
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_follow_the_weights() {
        for (weights, expected) in [
            (&[1.0, 1.0][..], &[0, 1][..]),
            (&[1.0, 1.0, 1.0], &[0, 1, 2]),
            (&[0.5, 0.5], &[0, 1]),
            (&[5.0, 1.0, 1.0], &[0, 0, 1, 0, 2, 0, 0]),
            (&[2.0, 0.0, 1.0], &[0, 2, 0]),
            (&[0.0], &[]),
        ] {
            assert_eq!(turns(weights), expected, "{weights:?}");
        }
        let turns = turns(&[std::f64::consts::PI, 1.0]);
        let first = turns.iter().filter(|place| **place == 0).count();
        let share = first as f64 / turns.len() as f64;
        assert!((share - 0.7585).abs() < 0.001, "{share}");
    }
}
