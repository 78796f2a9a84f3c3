//! Writers of heads and chunks: all append to a buffer, none can be made to write a second line.
//!
//! Text is meant to be checked where it enters (`is_target`, `is_token`, `is_field_value`). What
//! slips through is made harmless here: a byte that a target cannot hold is percent-encoded, a line
//! break or NUL in a value becomes a space (RFC 9110 section 5.5).

use super::head::Method;
use super::syntax::{is_field_value, is_token};
use super::target::is_target_byte;

/// The end of a chunked body, without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Writes `POST /path?query HTTP/1.1`; path and query are `pieces`, one behind the other.
pub fn write_request_line(out: &mut Vec<u8>, method: Method, pieces: &[&str]) {
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    for piece in pieces {
        write_target(out, piece.as_bytes());
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Writes `HTTP/1.1 200 OK`. A status without a registered reason, or out of 100 to 599, has an
/// empty one.
pub fn write_status_line(out: &mut Vec<u8>, status: u16) {
    debug_assert!((100..600).contains(&status), "a status has three digits");
    out.extend_from_slice(b"HTTP/1.1 ");
    write_decimal(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes one field line of a head that was read here, and that therefore has nothing to look for.
pub fn write_read_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    debug_assert!(is_token(name.as_bytes()) && is_field_value(value), "a field that was read");
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes one field line. `name` must be a token; a line break or a zero in `value` becomes a blank.
pub fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    debug_assert!(is_token(name.as_bytes()), "a field name is checked where it enters");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    match memchr::memchr3(b'\r', b'\n', 0, value) {
        None => out.extend_from_slice(value),
        Some(_) => out.extend(value.iter().map(|byte| match byte {
            b'\r' | b'\n' | 0 => b' ',
            byte => *byte,
        })),
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the `content-length` field.
pub fn write_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"content-length: ");
    write_decimal(out, length);
    out.extend_from_slice(b"\r\n");
}

/// Writes the empty line behind the last field.
pub fn end_head(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Writes `data` as one chunk; nothing if it is empty, since an empty chunk would end the body.
pub fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    write_digits::<16>(out, u64::try_from(data.len()).unwrap_or(u64::MAX));
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Writes a number in decimal, without the machinery of `format!`.
pub(super) fn write_decimal(out: &mut Vec<u8>, number: u64) {
    write_digits::<10>(out, number);
}

fn write_digits<const BASE: u64>(out: &mut Vec<u8>, number: u64) {
    let start = out.len();
    let mut rest = number;
    loop {
        out.push(digit(rest % BASE));
        rest /= BASE;
        if rest == 0 {
            break;
        }
    }
    out.get_mut(start..).unwrap_or_default().reverse();
}

fn write_target(out: &mut Vec<u8>, piece: &[u8]) {
    if piece.iter().all(|byte| is_target_byte(*byte)) {
        out.extend_from_slice(piece);
        return;
    }
    for byte in piece {
        if is_target_byte(*byte) {
            out.push(*byte);
        } else {
            let upper = |value: u8| digit(u64::from(value)).to_ascii_uppercase();
            out.extend_from_slice(&[b'%', upper(byte >> 4), upper(byte & 15)]);
        }
    }
}

/// The character of one digit, 0 to 15.
fn digit(value: u64) -> u8 {
    b"0123456789abcdef".get(usize::try_from(value).unwrap_or(usize::MAX)).copied().unwrap_or(b'0')
}

/// The registered reasons of RFC 9110 section 15 and RFC 6585 that a gateway may send.
fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl Fn(&mut Vec<u8>), expected: &str) {
        let mut out = b">".to_vec();
        write(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), format!(">{expected}"));
    }

    #[test]
    fn lines_are_written_complete() {
        check(|out| write_request_line(out, Method::Get, &["/"]), "GET / HTTP/1.1\r\n");
        check(
            |out| write_request_line(out, Method::Post, &["/v1", "/a", "?b=c"]),
            "POST /v1/a?b=c HTTP/1.1\r\n",
        );
        check(|out| write_status_line(out, 200), "HTTP/1.1 200 OK\r\n");
        check(|out| write_status_line(out, 529), "HTTP/1.1 529 \r\n");
        check(|out| write_field(out, "x-a", b"b c"), "x-a: b c\r\n");
        check(|out| write_field(out, "x-a", b""), "x-a: \r\n");
        check(|out| write_length(out, 0), "content-length: 0\r\n");
        check(|out| write_length(out, u64::MAX), "content-length: 18446744073709551615\r\n");
        check(end_head, "\r\n");
        check(|out| write_chunk(out, b""), "");
        check(|out| write_chunk(out, b"0123456789abcdef"), "10\r\n0123456789abcdef\r\n");
        check(|out| write_chunk(out, &[b'x'; 10]), "a\r\nxxxxxxxxxx\r\n");
    }

    #[test]
    fn lines_cannot_be_injected() {
        check(|out| write_field(out, "x", b"a\r\nb: c\0"), "x: a  b: c \r\n");
        check(
            |out| write_request_line(out, Method::Get, &["/a b\r\n", "#\\é"]),
            "GET /a%20b%0D%0A%23%5C%C3%A9 HTTP/1.1\r\n",
        );
    }
}
