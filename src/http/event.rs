//! One event of an event stream (WHATWG HTML, section 9.2) and its encoding.
//!
//! Written text cannot break out of its line: data and comments are cut at every line end, a name
//! or id that holds one is left out.

use super::write::write_decimal;

/// An event, or a keep-alive comment if `comment` is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SseEvent<'a> {
    /// The event's type; none or empty means `message`.
    pub name: Option<&'a str>,
    /// The id that this event itself gave; an id of an earlier event is not repeated.
    pub id: Option<&'a str>,
    /// The data, its lines joined by LF. Opaque bytes: the stream is not checked to be UTF-8.
    pub data: &'a [u8],
    /// A block that had comments and no data: their lines joined by LF. All other members are then
    /// empty.
    pub comment: Option<&'a [u8]>,
    /// The reconnection time the event asks for, in milliseconds.
    pub retry: Option<u64>,
}

/// Writes one event, or one comment, with the empty line that ends it.
pub fn write_event(out: &mut Vec<u8>, event: &SseEvent<'_>) {
    if let Some(comment) = event.comment {
        write_lines(out, b": ", comment);
        out.push(b'\n');
        return;
    }
    write_name(out, b"event: ", event.name.filter(|name| !name.is_empty()));
    write_name(out, b"id: ", event.id.filter(|id| !id.contains('\0')));
    if let Some(retry) = event.retry {
        out.extend_from_slice(b"retry: ");
        write_decimal(out, retry);
        out.push(b'\n');
    }
    write_data(out, event.data);
}

/// Writes one event that has only data.
pub fn write_data(out: &mut Vec<u8>, data: &[u8]) {
    write_lines(out, b"data: ", data);
    out.push(b'\n');
}

fn write_name(out: &mut Vec<u8>, label: &[u8], value: Option<&str>) {
    let Some(value) = value.filter(|value| !value.contains(['\r', '\n'])) else { return };
    out.extend_from_slice(label);
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

/// Writes each line of `text` behind `label`; CR, LF and CRLF end a line, as the reader has it.
fn write_lines(out: &mut Vec<u8>, label: &[u8], text: &[u8]) {
    let mut rest = text;
    loop {
        out.extend_from_slice(label);
        let line_end = memchr::memchr2(b'\r', b'\n', rest);
        let (line, tail) =
            rest.split_at_checked(line_end.unwrap_or(rest.len())).unwrap_or_default();
        out.extend_from_slice(line);
        out.push(b'\n');
        rest = match tail {
            [b'\r', b'\n', after @ ..] | [_, after @ ..] => after,
            [] => return,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(event: &SseEvent<'_>, expected: &str) {
        let mut out = Vec::new();
        write_event(&mut out, event);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn text_cannot_inject_event_lines() {
        let plain = SseEvent { data: b"x", ..SseEvent::default() };
        check(&plain, "data: x\n\n");
        check(&SseEvent { data: b"", ..plain }, "data: \n\n");
        check(
            &SseEvent { data: b"a\nb\r\nc\rd", ..plain },
            "data: a\ndata: b\ndata: c\ndata: d\n\n",
        );
        check(&SseEvent { data: b"a\n\n", ..plain }, "data: a\ndata: \ndata: \n\n");
        check(
            &SseEvent { data: b"\n\nevent: evil", ..plain },
            "data: \ndata: \ndata: event: evil\n\n",
        );
        check(&SseEvent { name: Some("ping"), ..plain }, "event: ping\ndata: x\n\n");
        check(&SseEvent { name: Some(""), ..plain }, "data: x\n\n");
        check(&SseEvent { name: Some("a\nb"), ..plain }, "data: x\n\n");
        check(
            &SseEvent { id: Some("7"), retry: Some(10), ..plain },
            "id: 7\nretry: 10\ndata: x\n\n",
        );
        check(&SseEvent { id: Some(""), ..plain }, "id: \ndata: x\n\n");
        check(&SseEvent { id: Some("a\rb"), ..plain }, "data: x\n\n");
        check(&SseEvent { id: Some("a\0b"), ..plain }, "data: x\n\n");
        check(&SseEvent { comment: Some(b"hi"), ..SseEvent::default() }, ": hi\n\n");
        check(&SseEvent { comment: Some(b""), ..SseEvent::default() }, ": \n\n");
        check(&SseEvent { comment: Some(b"a\n\nb"), ..SseEvent::default() }, ": a\n: \n: b\n\n");
    }
}
