//! The lowest floor: clock, ids, secrets, names, and validation of settings.
//!
//! Nothing here knows HTTP. Time, randomness, file access and messages to the operator are provided
//! here; nothing else here does I/O or waits.

mod clock;
mod credential;
mod diagnostic;
mod file;
#[cfg(test)]
mod generated_page;
mod id;
mod message;
mod name;
mod pattern;
mod random;
mod schema;
mod secret;
mod thread;

pub use clock::{Instant, StoppedClock, unix_now};
pub use credential::{check_pem, check_secret};
pub use diagnostic::{Diagnostic, Diagnostics, did_you_mean, member_path};
pub use file::{
    create_file, create_new_file, open_output, open_to_append, open_to_read, open_to_write,
};
#[cfg(test)]
pub use generated_page::assert_page_is_current;
pub use id::{IdSource, RequestId};
pub use message::{flush_messages, log_message, messages_dropped, write_messages};
pub use name::{FieldNameError, NAME_RULE, field_name, is_field_value, is_name};
pub use pattern::{Pattern, Patterns};
pub use random::random_secret;
pub use schema::{Member, Schema, snake_case};
pub use secret::Secret;
pub use thread::BackgroundThread;
