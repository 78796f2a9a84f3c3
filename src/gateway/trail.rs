//! The story of the attempts that were made for one request: for the answer's head, the event and the
//! metrics.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use super::call::Notes;
use super::prepare::UpstreamRequest;
use crate::base::Instant;

/// Attempts of one request.
const LEGS_MAX: usize = 64;

/// Attempts that the answer's head tells.
const HEADER_LEGS_MAX: usize = 16;

/// One attempt.
#[derive(Clone, Debug, Default)]
pub(super) struct Leg {
    /// Its target, as `config.targets[0]`; none without a route.
    pub target: Option<Arc<str>>,
    pub provider: Option<Arc<str>>,
    pub model: Option<String>,
    /// A provider was asked, whether it could be reached or not.
    pub has_asked: bool,
    /// What is lost of the request on its way to this target.
    pub warnings: Option<Arc<str>>,
    /// How it ended: the provider's status, or the gateway's; 0: it was cut off.
    pub status: u16,
    pub took: Duration,
    /// It was cut off after it had been sent: it may have cost something.
    pub is_spent: bool,
    pub notes: Notes,
}

/// The attempts in the order of their beginning.
#[derive(Default)]
pub(super) struct Trail(RefCell<Vec<Leg>>);

impl Trail {
    /// An attempt begins.
    pub(super) fn begin(&self, target: Option<Arc<str>>, begun: Instant) -> Track<'_> {
        let mut legs = self.0.borrow_mut();
        let place = legs.len();
        if place < LEGS_MAX {
            legs.push(Leg { target, ..Leg::default() });
        }
        Track { trail: self, place, begun, notes: Notes::default(), has_ended: false }
    }

    /// True if no attempt may follow.
    pub(super) fn is_full(&self) -> bool {
        self.0.borrow().len() >= LEGS_MAX
    }

    /// True if one of them was at a target of a route.
    pub(super) fn has_targets(&self) -> bool {
        self.0.borrow().iter().any(|leg| leg.target.is_some())
    }

    /// How many of them asked a provider.
    pub(super) fn asked(&self) -> usize {
        self.0.borrow().iter().filter(|leg| leg.has_asked).count()
    }

    /// The last one.
    pub(super) fn last(&self) -> Option<Leg> {
        self.0.borrow().last().cloned()
    }

    /// The one at `place`, else the last one. What it used is told by whoever takes it, and no longer
    /// by the trail.
    pub(super) fn take_over(&self, place: Option<usize>) -> Option<Leg> {
        let mut legs = self.0.borrow_mut();
        let place = place.or_else(|| legs.len().checked_sub(1))?;
        let leg = legs.get_mut(place)?;
        if leg.target.is_none() {
            // Nobody else is told of it.
            return Some(std::mem::take(leg));
        }
        let taken = leg.clone();
        (leg.is_spent, leg.notes.used) = (false, None);
        Some(taken)
    }

    /// The value of the header: `config.targets[0] 503 12ms, config.targets[1] 200 340ms`.
    pub(super) fn header(&self) -> String {
        let legs = self.0.borrow();
        let mut text = String::with_capacity(48 * legs.len().min(HEADER_LEGS_MAX));
        let mut digits = itoa::Buffer::new();
        for leg in legs.iter().take(HEADER_LEGS_MAX) {
            let Some(target) = &leg.target else { continue };
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(target);
            text.push(' ');
            text.push_str(digits.format(leg.status));
            text.push(' ');
            text.push_str(digits.format(leg.took.as_millis()));
            text.push_str("ms");
        }
        text
    }

    /// What seemed good was not.
    pub(super) fn correct(&self, place: usize, status: u16) {
        if let Some(leg) = self.0.borrow_mut().get_mut(place) {
            leg.status = status;
        }
    }

    /// All of them, taken out.
    pub(super) fn take(&self) -> Vec<Leg> {
        self.0.take()
    }
}

/// An attempt under way. Dropped before its end, it was cut off.
pub(super) struct Track<'t> {
    trail: &'t Trail,
    place: usize,
    begun: Instant,
    pub notes: Notes,
    has_ended: bool,
}

impl Track<'_> {
    /// Whom it asks.
    pub(super) fn asks(&self, upstream_request: &UpstreamRequest) {
        if let Some(leg) = self.trail.0.borrow_mut().get_mut(self.place) {
            leg.provider = Some(Arc::clone(&upstream_request.upstream.name));
            leg.model.clone_from(&upstream_request.model);
            let lost = upstream_request.translation.as_ref().and_then(|it| it.warnings.clone());
            leg.warnings = lost.or_else(|| upstream_request.warnings.clone());
            leg.has_asked = true;
        }
    }

    /// The gateway answers in the place of this provider.
    pub(super) fn stands_in_for(&self, provider: Arc<str>) {
        if let Some(leg) = self.trail.0.borrow_mut().get_mut(self.place) {
            leg.provider = Some(provider);
        }
    }

    /// Its place in the trail.
    pub(super) fn place(&self) -> usize {
        self.place
    }

    /// It has ended.
    pub(super) fn end(&mut self, status: u16, now: Instant) {
        self.has_ended = true;
        if let Some(leg) = self.trail.0.borrow_mut().get_mut(self.place) {
            leg.status = status;
            leg.took = now.since(self.begun);
            leg.notes = std::mem::take(&mut self.notes);
        }
    }
}

impl Drop for Track<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.end(0, Instant::now());
            if let Some(leg) = self.trail.0.borrow_mut().get_mut(self.place) {
                leg.is_spent = leg.notes.sent;
            }
        }
    }
}
