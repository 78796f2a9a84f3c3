//! The ground floor: clock, ids, secrets, names, and the check of what people write.
//!
//! Nothing here does I/O, blocks, or knows HTTP. Time and randomness enter the program here.

mod clock;
mod credential;
mod id;
mod name;
mod pattern;
mod problem;
mod random;
mod secret;
mod shape;

pub use clock::{Instant, StoppedClock, unix_now};
pub use credential::{check_pem, check_secret};
pub use id::{IdSource, RequestId};
pub use name::{FieldNameError, NAME_RULE, field_name, is_field_value, is_name};
pub use pattern::{Pattern, Patterns};
pub use problem::{Problem, Problems, did_you_mean, member_path};
pub use random::random_secret;
pub use secret::Secret;
pub use shape::{Member, Shape};
