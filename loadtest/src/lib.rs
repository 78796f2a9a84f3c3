//! A mock provider, a load generator and a comparison of targets, all over HTTP/1.1.
//!
//! Nothing here knows the gateway: no shared code, no shared state. Times are taken from the monotonic clock and
//! kept in nanoseconds; reports show microseconds. The mock is a library as well, so that another crate's tests can
//! start one in-process ([`mock::start`]).
#![deny(unsafe_code)]

pub mod compare;
pub mod distribution;
pub mod framing;
pub mod load;
pub mod mock;
pub mod quantity;

mod runtime;
mod timer;
mod tls;
mod wire;
