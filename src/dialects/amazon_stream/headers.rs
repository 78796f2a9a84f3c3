//! Message headers: a name of 1 to 255 bytes, a value type, and a value.

/// The type of a text.
const TEXT: u8 = 7;

/// The headers that identify a message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MessageHeaders<'a> {
    pub(super) message_type: Option<&'a str>,
    pub(super) event_type: Option<&'a str>,
    pub(super) exception_type: Option<&'a str>,
    pub(super) error_code: Option<&'a str>,
    pub(super) error_message: Option<&'a str>,
}

impl<'a> MessageHeaders<'a> {
    /// Reads all headers. None if one is invalid, or a text is not UTF-8.
    pub(super) fn read(mut bytes: &'a [u8]) -> Option<Self> {
        let mut named = Self::default();
        while !bytes.is_empty() {
            let (name_bytes, rest) = bytes.split_first()?;
            let (name, rest) = rest.split_at_checked(usize::from(*name_bytes))?;
            let (kind, rest) = rest.split_first()?;
            let (value, rest) = value(*kind, rest)?;
            bytes = rest;
            let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
            if *kind == TEXT {
                named.keep(name, std::str::from_utf8(value).ok()?);
            }
        }
        Some(named)
    }

    fn keep(&mut self, name: &str, value: &'a str) {
        let place = match name {
            ":message-type" => &mut self.message_type,
            ":event-type" => &mut self.event_type,
            ":exception-type" => &mut self.exception_type,
            ":error-code" => &mut self.error_code,
            ":error-message" => &mut self.error_message,
            _ => return,
        };
        *place = Some(value);
    }
}

/// The bytes of a value of that type, without its length, and what follows it.
fn value(kind: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, bytes) = match kind {
        // True and false have no value bytes.
        0 | 1 => (0, bytes),
        2 => (1, bytes),
        3 => (2, bytes),
        4 => (4, bytes),
        // A whole number, or a time in milliseconds.
        5 | 8 => (8, bytes),
        // Bytes and text have a length prefix.
        6 | TEXT => {
            let (length, rest) = bytes.split_first_chunk()?;
            (u16::from_be_bytes(*length).into(), rest)
        }
        // A UUID.
        9 => (16, bytes),
        _ => return None,
    };
    bytes.split_at_checked(length)
}

/// Appends a text header. Names and values are truncated to 255 bytes; this program has none that long.
pub(super) fn write(out: &mut Vec<u8>, name: &str, value: &str) {
    let (length, name) = cut(name);
    out.push(length);
    out.extend_from_slice(name);
    let (length, value) = cut(value);
    out.extend_from_slice(&[TEXT, 0, length]);
    out.extend_from_slice(value);
}

/// At most 255 bytes of `text`, and their number.
fn cut(text: &str) -> (u8, &[u8]) {
    match u8::try_from(text.len()) {
        Ok(length) => (length, text.as_bytes()),
        Err(_) => (u8::MAX, text.as_bytes().get(..usize::from(u8::MAX)).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event_type(headers: &[&[u8]]) -> Option<Option<String>> {
        let bytes = headers.concat();
        MessageHeaders::read(&bytes).map(|named| named.event_type.map(str::to_owned))
    }

    #[test]
    fn header_values_of_every_type_are_skipped() {
        let wanted: &[u8] = b"\x0b:event-type\x07\0\x02hi";
        for other in [
            &b"\x01n\x00"[..],
            b"\x01n\x01",
            b"\x01n\x02\xff",
            b"\x01n\x03\xff\xff",
            b"\x01n\x04\xff\xff\xff\xff",
            b"\x01n\x0512345678",
            b"\x01n\x06\0\x03\xff\xff\xff",
            b"\x01n\x07\0\x00",
            b"\x01n\x0812345678",
            b"\x01n\x09123456789abcdef0",
        ] {
            assert_eq!(event_type(&[other, wanted]), Some(Some("hi".to_owned())), "{other:?}");
            assert_eq!(event_type(&[wanted, other]), Some(Some("hi".to_owned())), "{other:?}");
            for length in 1..other.len() {
                assert_eq!(event_type(&[wanted, &other[..length]]), None, "{other:?} {length}");
            }
        }
    }

    #[test]
    fn malformed_headers_are_rejected() {
        for headers in [
            &b"\x00\x00"[..],
            b"\x01n\x0a",
            b"\x01\xff\x00",
            b"\x01n\x07\0\x01\xff",
            b"\x01n\x07\xff\xff",
            b"\xff",
        ] {
            assert_eq!(event_type(&[headers]), None, "{headers:?}");
        }
        // A header of another type than text is ignored.
        assert_eq!(event_type(&[b"\x0b:event-type\x06\0\x02hi"]), Some(None));
    }
}
