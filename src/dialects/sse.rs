//! Server-sent events, as the encoders write them.

use crate::http::{SseEvent, write_event};
use crate::llm::{ObjectWriter, write_object};

/// Appends one event of type `name`, if it has one; `fill` writes the object that is its data.
pub(super) fn write(
    out: &mut Vec<u8>,
    name: Option<&str>,
    fill: impl FnOnce(&mut ObjectWriter<'_>),
) {
    let mut data = Vec::with_capacity(256);
    write_object(&mut data, fill);
    write_event(out, &SseEvent { name, data: &data, ..SseEvent::default() });
}
