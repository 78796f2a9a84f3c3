//! State of the process that the admin listener shows and changes.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::base::Secret;
use crate::control::Services;

/// Handles shared by all requests.
#[derive(Clone)]
pub struct AdminState {
    /// The shared services.
    pub services: Services,
    /// True while every shard listens and none drains.
    pub ready: Arc<AtomicBool>,
    /// Token that the admin API requires, if any.
    pub token: Option<Secret>,
    /// Allowed host names besides IP addresses and `localhost`.
    pub hosts: Vec<String>,
}
