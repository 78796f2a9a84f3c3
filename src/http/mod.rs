//! The HTTP/1.1 and event-stream codec: bytes in, meaning out, and back.
//!
//! It promises that every message it accepts has exactly one reading (RFC 9110, RFC 9112, and
//! stricter where those leave a choice), that the same bytes give the same result however they were
//! cut into reads, and that no input makes it panic or keep more than its stated bounds. What is
//! ambiguous is refused, never repaired.
//!
//! Absent on purpose: sockets, timers, HTTP/2, content codings, `CONNECT`, and the forwarding of raw
//! head, chunk or event bytes: each message is parsed whole and encoded again. `Upgrade` is a field like
//! any other of one hop: who asks for another protocol, and takes a 101 for an answer, has left HTTP
//! behind with it.

mod body;
mod event;
mod event_block;
mod event_reader;
mod fields;
mod form;
mod head;
mod request;
mod response;
mod scan;
mod syntax;
mod target;
mod write;

pub use body::{BodyDecoder, BodyError, Piece};
pub use event::{SseEvent, write_data, write_event};
pub use event_reader::{EventReader, EventTooLarge};
pub use form::{FormError, FormEvent, FormReader, PartHead, form_boundary};
pub use head::{Framing, HeadError, HeadLimits, Method, Version};
pub use request::RequestHead;
pub use response::ResponseHead;
pub use syntax::{is_field_value, is_token};
pub use target::is_target;
pub use write::{
    LAST_CHUNK, end_head, write_chunk, write_field, write_length, write_read_field,
    write_request_line, write_status_line,
};
