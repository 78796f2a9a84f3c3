//! Attempts: one target or a plan of several, mirrors, and active health checks.

pub(crate) mod attempt;
pub(crate) mod forward;
pub(crate) mod health_check;
pub(crate) mod mirror;
pub(crate) mod plan_executor;
