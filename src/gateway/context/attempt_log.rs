//! The attempts that were made for one request: for the response's head, the event and the metrics.

use std::cell::RefCell;
use std::sync::Arc;

use crate::base::Instant;
use crate::llm::Usage;
use crate::telemetry::AttemptRecord;

/// Attempts of one request.
const ATTEMPTS_MAX: usize = 64;

/// Attempts that the response's head lists.
const HEADER_ATTEMPTS_MAX: usize = 16;

/// One attempt: what is reported of it, and what the gateway has to know besides.
#[derive(Clone, Debug, Default)]
pub(crate) struct AttemptEntry {
    pub record: AttemptRecord,
    /// A provider was called, whether it could be reached or not.
    pub has_called: bool,
    /// What is lost of the request on its way to this target.
    pub warnings: Option<Arc<str>>,
    /// It was cut off after it had been sent: it may have cost something.
    pub is_spent: bool,
    pub stats: CallStats,
}

/// The attempts in the order of their beginning.
#[derive(Default)]
pub(crate) struct AttemptLog(RefCell<Vec<AttemptEntry>>);

impl AttemptLog {
    /// An attempt begins.
    pub(crate) fn begin(&self, target: Option<Arc<str>>, begun: Instant) -> AttemptGuard<'_> {
        let mut entries = self.0.borrow_mut();
        let place = entries.len();
        if place < ATTEMPTS_MAX {
            let record = AttemptRecord { target, ..AttemptRecord::default() };
            entries.push(AttemptEntry { record, ..AttemptEntry::default() });
        }
        AttemptGuard { log: self, place, begun, stats: CallStats::default(), has_ended: false }
    }

    /// True if no attempt may follow.
    pub(crate) fn is_full(&self) -> bool {
        self.0.borrow().len() >= ATTEMPTS_MAX
    }

    /// True if one of them was at a target of a route.
    pub(crate) fn has_targets(&self) -> bool {
        self.0.borrow().iter().any(|entry| entry.record.target.is_some())
    }

    /// How many of them called a provider.
    pub(crate) fn calls(&self) -> usize {
        self.0.borrow().iter().filter(|entry| entry.has_called).count()
    }

    /// The last one.
    pub(crate) fn last(&self) -> Option<AttemptEntry> {
        self.0.borrow().last().cloned()
    }

    /// The entry at `place`, else the last one. Its usage leaves the log: the caller
    /// reports it.
    pub(crate) fn take_entry(&self, place: Option<usize>) -> Option<AttemptEntry> {
        let mut entries = self.0.borrow_mut();
        let place = place.or_else(|| entries.len().checked_sub(1))?;
        let entry = entries.get_mut(place)?;
        if entry.record.target.is_none() {
            // The event does not report it.
            return Some(std::mem::take(entry));
        }
        let taken = entry.clone();
        (entry.is_spent, entry.stats.used) = (false, None);
        Some(taken)
    }

    /// The value of the header: `config.targets[0] 503 12ms, config.targets[1] 200 340ms`.
    pub(crate) fn header(&self) -> String {
        let entries = self.0.borrow();
        let mut text = String::with_capacity(48 * entries.len().min(HEADER_ATTEMPTS_MAX));
        let mut digits = itoa::Buffer::new();
        for AttemptEntry { record, .. } in entries.iter().take(HEADER_ATTEMPTS_MAX) {
            let Some(target) = &record.target else { continue };
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(target);
            text.push(' ');
            text.push_str(digits.format(record.response_status_code));
            text.push(' ');
            text.push_str(digits.format(record.duration.as_millis()));
            text.push_str("ms");
        }
        text
    }

    /// Corrects the status of an attempt whose response seemed good and was not.
    pub(crate) fn set_status(&self, place: usize, status: u16) {
        if let Some(entry) = self.0.borrow_mut().get_mut(place) {
            entry.record.response_status_code = status;
        }
    }

    /// All of them, taken out.
    pub(crate) fn take(&self) -> Vec<AttemptEntry> {
        self.0.take()
    }
}

/// An attempt under way. Dropped before its end, it was cut off.
pub(crate) struct AttemptGuard<'t> {
    log: &'t AttemptLog,
    place: usize,
    begun: Instant,
    pub stats: CallStats,
    has_ended: bool,
}

impl AttemptGuard<'_> {
    /// The provider that it calls, for which model, and what of the request is lost on the way.
    pub(crate) fn set_call(
        &self,
        provider: &Arc<str>,
        model: Option<&String>,
        warnings: Option<&Arc<str>>,
    ) {
        if let Some(entry) = self.log.0.borrow_mut().get_mut(self.place) {
            entry.record.provider_name = Some(Arc::clone(provider));
            entry.record.request_model = model.cloned();
            entry.warnings = warnings.cloned();
            entry.has_called = true;
        }
    }

    /// The gateway answers in the place of this provider.
    pub(crate) fn set_provider(&self, provider: Arc<str>) {
        if let Some(entry) = self.log.0.borrow_mut().get_mut(self.place) {
            entry.record.provider_name = Some(provider);
        }
    }

    /// What the system reported, where the call failed.
    pub(crate) fn set_cause(&self, cause: Option<Box<str>>) {
        if let Some(entry) = self.log.0.borrow_mut().get_mut(self.place) {
            entry.record.error_cause = cause;
        }
    }

    /// Its place in the log.
    pub(crate) fn place(&self) -> usize {
        self.place
    }

    /// It has ended.
    pub(crate) fn end(&mut self, status: u16, now: Instant) {
        self.has_ended = true;
        if let Some(entry) = self.log.0.borrow_mut().get_mut(self.place) {
            entry.record.response_status_code = status;
            entry.record.duration = now.since(self.begun);
            entry.stats = std::mem::take(&mut self.stats);
        }
    }
}

impl Drop for AttemptGuard<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.end(0, Instant::now());
            if let Some(entry) = self.log.0.borrow_mut().get_mut(self.place) {
                entry.is_spent = entry.stats.sent;
            }
        }
    }
}

/// What is known of a call, also of one that is cut off.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallStats {
    /// Its last connection had served before.
    pub reused: bool,
    /// The whole request has gone out: tokens may have been spent.
    pub sent: bool,
    /// What earlier parts of the request used. In a box, since it is rare.
    pub used: Option<Box<Usage>>,
}
