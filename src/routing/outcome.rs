//! The outcome of an attempt, and whose fault a failure is.

use std::time::Duration;

/// The outcome of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptOutcome {
    /// The provider's status, or the one that the client would receive.
    pub status: u16,
    /// Whose fault it was.
    pub fault: Fault,
    /// No response was received: the connection failed, broke off, or the response was invalid. A
    /// timeout is recognized by its status.
    pub is_transport: bool,
    /// How long the provider asks to wait.
    pub retry_after: Option<Duration>,
    /// From the start of the attempt to the response head, or to its first content.
    pub latency: Duration,
}

/// Whose fault a failure was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No failure.
    None,
    /// The request's: another target would give the same response, and no target is to blame.
    Client,
    /// The target's credential or model; waiting does not help.
    Account,
    /// A rate limit of the target.
    Limit,
    /// The target failed.
    Target,
}

impl Fault {
    /// Classifies a provider's status. `is_own_model`: the route, not the client, named the model.
    #[must_use]
    pub fn of_status(status: u16, is_own_model: bool) -> Self {
        match status {
            ..=399 => Self::None,
            401..=403 => Self::Account,
            404 if is_own_model => Self::Account,
            429 => Self::Limit,
            408 | 500.. => Self::Target,
            _ => Self::Client,
        }
    }
}

impl AttemptOutcome {
    /// True for a success status, including 101.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self.status, 101 | 200..=299)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_follows_status() {
        for (status, is_own_model, expected) in [
            (200, false, Fault::None),
            (400, true, Fault::Client),
            (401, false, Fault::Account),
            (403, false, Fault::Account),
            (404, false, Fault::Client),
            (404, true, Fault::Account),
            (408, false, Fault::Target),
            (413, false, Fault::Client),
            (422, false, Fault::Client),
            (429, false, Fault::Limit),
            (500, false, Fault::Target),
            (529, false, Fault::Target),
        ] {
            assert_eq!(Fault::of_status(status, is_own_model), expected, "{status}");
        }
    }
}
