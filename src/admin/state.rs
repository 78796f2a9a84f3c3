//! What the pages and the admin API of one process show and change.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::base::Secret;
use crate::control::Services;

/// Handles of what the pages show, shared by all requests.
#[derive(Clone)]
pub struct AdminState {
    /// What all parts share.
    pub services: Services,
    /// True while every shard listens and none drains.
    pub ready: Arc<AtomicBool>,
    /// What the admin API asks for, if anything.
    pub token: Option<Secret>,
    /// Names under which the admin API may be called besides addresses and `localhost`.
    pub hosts: Vec<String>,
}
