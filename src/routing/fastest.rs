//! `fastest`: the suitable target with the most tokens per second; the next one after a failure.
//!
//! Speeds are measured on complete responses and expire after five minutes; a target without one is
//! tried first. One request in fifty goes to a random target, so that a target that has become
//! faster is noticed.

use super::strategy::{Selection, Strategy, StrategyInput};
use crate::base::Diagnostics;

/// One request in this many probes a random target.
const LOOKS_ELSEWHERE: usize = 50;

#[derive(Debug)]
pub(super) struct Fastest;

impl Fastest {
    pub(super) fn make(_: &StrategyInput<'_>, _: &mut Diagnostics) -> Option<Box<dyn Strategy>> {
        Some(Box::new(Self))
    }
}

impl Strategy for Fastest {
    fn select(&self, selection: &mut Selection<'_>) -> Option<usize> {
        let mut places = selection.capable();
        let drawn = selection.rng.below(places.len());
        if selection.rng.below(LOOKS_ELSEWHERE) == 0 {
            return places.get(drawn).copied();
        }
        // A random one of those that were never measured.
        places.rotate_left(drawn);
        let now = selection.now;
        selection.least(&places, |it, place| {
            let speed = |speed: Option<f64>| -speed.unwrap_or(f64::MAX);
            it.below(place).map(|(_, health)| speed(health.speed(now))).fold(0.0, f64::min)
        })
    }

    fn uses_weights(&self) -> bool {
        true
    }
}
