//! What the gateway knows of the JSON that clients and providers speak: one pass over a body tells
//! what the line needs, and edits are spliced into the original bytes.
//!
//! Promises: nothing here does I/O, reads a clock or panics on what a peer sends; the body itself is
//! never changed or re-serialised, so that what the gateway has no opinion on (order, spacing, number
//! formats, unknown members) reaches the other side byte for byte. Errors never carry prompt text.
//! Absent: translation between dialects, endpoints, and any typed model of a whole request.

mod answer;
mod conversation;
mod document;
mod edit;
mod error;
mod members;
mod outline;
mod peek;
mod replay;
mod scanner;
mod usage;

pub use answer::{AnswerOutline, ChunkOutline};
pub use conversation::LastTurn;
pub use edit::{Edit, hide_usage, quote, with_include_usage};
pub use error::JsonError;
pub use outline::Outline;
pub use peek::{may_carry_error, may_carry_usage};
pub use replay::{Fold, answer_text, is_replayable, replay};
pub use scanner::Scanner;
pub use usage::{Usage, estimate_tokens};
