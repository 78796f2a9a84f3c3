//! What runs behind the shards on threads of its own, in the order in which it ends.

use crate::cache::CacheWriter;
use crate::config::Settings;
use crate::credentials::CredentialRefresher;
use crate::telemetry::Dispatcher;

/// A part of the process behind the shards.
pub trait BackgroundPart: Send + Sync {
    /// Takes over settings that the shards have been given.
    fn apply(&self, _settings: &Settings) {}

    /// Opens its files again, as log rotation needs it.
    fn reopen(&self) {}

    /// Finishes what was begun and ends, within a limit of its own. Returns a message for each thing that
    /// could not be finished.
    fn stop(self: Box<Self>) -> Vec<String>;
}

/// All parts behind the shards.
#[derive(Default)]
pub struct Background(Vec<Box<dyn BackgroundPart>>);

impl Background {
    /// With one more part, which ends after those before it.
    #[must_use]
    pub fn with(mut self, part: impl BackgroundPart + 'static) -> Self {
        self.0.push(Box::new(part));
        self
    }

    pub(super) fn apply(&self, settings: &Settings) {
        self.0.iter().for_each(|part| part.apply(settings));
    }

    pub(super) fn reopen(&self) {
        self.0.iter().for_each(|part| part.reopen());
    }

    /// Ends all parts, one after the other.
    pub(super) fn stop(self) -> Vec<String> {
        self.0.into_iter().flat_map(BackgroundPart::stop).collect()
    }
}

/// A part that the settings may leave out.
impl<P: BackgroundPart> BackgroundPart for Option<P> {
    fn apply(&self, settings: &Settings) {
        self.iter().for_each(|part| part.apply(settings));
    }

    fn reopen(&self) {
        self.iter().for_each(BackgroundPart::reopen);
    }

    fn stop(self: Box<Self>) -> Vec<String> {
        self.map(|part| Box::new(part).stop()).unwrap_or_default()
    }
}

impl BackgroundPart for Dispatcher {
    fn reopen(&self) {
        Self::reopen(self);
    }

    fn stop(self: Box<Self>) -> Vec<String> {
        let late = Self::stop(*self).into_iter();
        late.map(|setting| format!("{setting}: the last events could not be exported")).collect()
    }
}

impl BackgroundPart for CredentialRefresher {
    fn apply(&self, settings: &Settings) {
        self.publish(settings.providers.iter().as_slice());
    }

    fn stop(self: Box<Self>) -> Vec<String> {
        let message = "the thread for credentials did not end in time";
        if Self::stop(*self) { Vec::new() } else { vec![message.to_owned()] }
    }
}

impl BackgroundPart for CacheWriter {
    fn stop(self: Box<Self>) -> Vec<String> {
        let message = "cache.dir: the last changes could not be written in time";
        if Self::stop(*self) { Vec::new() } else { vec![message.to_owned()] }
    }
}
