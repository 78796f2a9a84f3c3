//! Amazon's binary event stream, `application/vnd.amazon.eventstream`: an incremental reader, and
//! writers.
//!
//! A message is, in big-endian bytes: total length (4), length of its headers (4), CRC-32 of these
//! eight (4), headers, payload, CRC-32 of everything before it (4). All lengths and both checksums are
//! verified, the first before the length is used: a damaged length, or one over `event_bytes_max`, is
//! an error at once. The buffer holds one message and one push.
//!
//! Absent: the signed messages that clients send to some other services.

mod headers;

use std::fmt;

use headers::MessageHeaders;

/// Total length, length of the headers and the checksum of both.
const PRELUDE_BYTES: usize = 12;

/// A checksum.
const CHECKSUM_BYTES: usize = 4;

/// The name of an event of message type `error`; its data has code and message.
pub const FAILURE: &str = "error";

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmazonEvent<'a> {
    /// Type of the event or of the exception; `FAILURE` for an error that is neither.
    pub name: &'a str,
    /// The payload. For a `FAILURE` it is built from the headers, as `{"message":…,"code":…}`.
    pub data: &'a [u8],
}

/// The bytes are not an event stream. The reader cannot continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmazonError {
    /// A message is longer than allowed.
    #[error("event too large: expected at most {event_bytes_max} bytes")]
    TooLarge {
        /// The limit that was passed.
        event_bytes_max: usize,
    },
    /// The lengths of a message and of its headers contradict each other.
    #[error("expected a message whose headers fit into it")]
    Lengths,
    /// A checksum is not that of the bytes.
    #[error("expected bytes that match their checksum")]
    Checksum,
    /// The headers are invalid, or lack the type of the message.
    #[error("expected headers that tell the type of the message")]
    Headers,
}

/// An incremental reader of one stream.
pub struct AmazonReader {
    buffer: Vec<u8>,
    event_bytes_max: usize,
    /// First byte of the current message in `buffer`; all before it is consumed.
    start: usize,
    failed: Option<AmazonError>,
    /// Data of the latest [`FAILURE`].
    failure: Vec<u8>,
}

/// Omits the bytes, which are model output.
impl fmt::Debug for AmazonReader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("AmazonReader");
        shown.field("buffered_bytes", &self.buffered_bytes()).finish_non_exhaustive()
    }
}

/// Offsets of the parts of a message, relative to its first byte.
#[derive(Clone, Copy)]
struct Layout {
    headers_end: usize,
    payload_end: usize,
    end: usize,
}

impl AmazonReader {
    /// A reader at the start of a stream.
    #[must_use]
    pub fn new(event_bytes_max: usize) -> Self {
        Self { buffer: Vec::new(), event_bytes_max, start: 0, failed: None, failure: Vec::new() }
    }

    /// Appends the next bytes of the stream. Call `next` until it returns none before the next push, or
    /// the buffer grows. After an error, bytes are discarded.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        // The move copies at most as many bytes as were consumed, so the cost per byte is constant.
        if self.start > 0 && self.start >= self.buffered_bytes() {
            self.buffer.drain(..self.start.min(self.buffer.len()));
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete event. None if more bytes are needed. An error is permanent.
    ///
    /// # Errors
    /// If the bytes are not an event stream, or an event is too large.
    #[expect(clippy::should_implement_trait, reason = "an event borrows the reader")]
    pub fn next(&mut self) -> Result<Option<AmazonEvent<'_>>, AmazonError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.message() {
            Ok(None) => Ok(None),
            Ok(Some(layout)) => {
                let begin = self.start;
                self.start = begin.saturating_add(layout.end);
                let message = self.buffer.get(begin..).unwrap_or_default();
                let event = read(message, layout, &mut self.failure);
                if event.is_none() {
                    self.failed = Some(AmazonError::Headers);
                }
                event.map(Some).ok_or(AmazonError::Headers)
            }
            Err(error) => {
                self.failed = Some(error);
                Err(error)
            }
        }
    }

    /// True while a partial event is buffered: if the peer closes now, the stream was truncated.
    #[must_use]
    pub fn has_partial(&self) -> bool {
        self.buffered_bytes() > 0
    }

    /// Bytes that are buffered and not yet consumed.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len().saturating_sub(self.start)
    }

    /// The layout of the current message, once it is complete and its checksums match.
    fn message(&self) -> Result<Option<Layout>, AmazonError> {
        let held = self.buffer.get(self.start..).unwrap_or_default();
        let Some(layout) = layout(held, self.event_bytes_max)? else { return Ok(None) };
        let Some((covered, checksum)) =
            held.get(..layout.end).and_then(|message| message.split_at_checked(layout.payload_end))
        else {
            return Ok(None);
        };
        let is_whole = crc32fast::hash(covered).to_be_bytes() == checksum;
        if is_whole { Ok(Some(layout)) } else { Err(AmazonError::Checksum) }
    }
}

/// Reads the prelude at the start of `held`. None until it is complete.
fn layout(held: &[u8], event_bytes_max: usize) -> Result<Option<Layout>, AmazonError> {
    let Some((lengths, rest)) = held.split_first_chunk::<8>() else { return Ok(None) };
    let Some((checksum, _)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    if crc32fast::hash(lengths).to_be_bytes() != *checksum {
        return Err(AmazonError::Checksum);
    }
    let [total, headers] = [lengths.first_chunk::<4>(), lengths.last_chunk::<4>()]
        .map(|bytes| bytes.map_or(usize::MAX, |bytes| u32::from_be_bytes(*bytes) as usize));
    if total > event_bytes_max {
        return Err(AmazonError::TooLarge { event_bytes_max });
    }
    let headers_end = PRELUDE_BYTES.saturating_add(headers);
    let payload_end = total.checked_sub(CHECKSUM_BYTES).filter(|end| headers_end <= *end);
    let payload_end = payload_end.ok_or(AmazonError::Lengths)?;
    Ok(Some(Layout { headers_end, payload_end, end: total }))
}

/// Reads a complete message. None if its headers are invalid.
fn read<'a>(
    message: &'a [u8],
    layout: Layout,
    failure: &'a mut Vec<u8>,
) -> Option<AmazonEvent<'a>> {
    let named = MessageHeaders::read(message.get(PRELUDE_BYTES..layout.headers_end)?)?;
    let payload = message.get(layout.headers_end..layout.payload_end)?;
    match named.message_type? {
        "event" => Some(AmazonEvent { name: named.event_type?, data: payload }),
        "exception" => Some(AmazonEvent { name: named.exception_type?, data: payload }),
        "error" => {
            failure.clear();
            crate::llm::write_object(failure, |root| {
                root.text("message", named.error_message.unwrap_or_default());
                root.optional_text("code", named.error_code);
            });
            Some(AmazonEvent { name: FAILURE, data: failure })
        }
        _ => None,
    }
}

/// Appends an event of that type, whose payload is JSON.
pub fn write_amazon_event(out: &mut Vec<u8>, event_type: &str, payload: &[u8]) {
    write(out, [(":event-type", event_type), JSON, (":message-type", "event")], payload);
}

/// Appends an exception of that type, whose payload is JSON. It ends its stream.
pub fn write_amazon_exception(out: &mut Vec<u8>, exception_type: &str, payload: &[u8]) {
    write(
        out,
        [(":exception-type", exception_type), JSON, (":message-type", "exception")],
        payload,
    );
}

const JSON: (&str, &str) = (":content-type", "application/json");

/// Appends one message, of less than 4 GiB.
fn write(out: &mut Vec<u8>, headers: [(&str, &str); 3], payload: &[u8]) {
    let start = out.len();
    out.extend_from_slice(&[0; PRELUDE_BYTES]);
    for (name, value) in headers {
        headers::write(out, name, value);
    }
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes();
    let headers_bytes = out.len().saturating_sub(start).saturating_sub(PRELUDE_BYTES);
    out.extend_from_slice(payload);
    let total = out.len().saturating_sub(start).saturating_add(CHECKSUM_BYTES);
    let mut prelude = [0; PRELUDE_BYTES];
    let fields = [length(total), length(headers_bytes)];
    let lengths = fields.as_flattened();
    let checksum = crc32fast::hash(lengths).to_be_bytes();
    for (place, byte) in prelude.iter_mut().zip(lengths.iter().chain(&checksum)) {
        *place = *byte;
    }
    if let Some(place) = out.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
        *place = prelude;
    }
    let checksum = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&checksum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type ReadEvents = Vec<(String, Vec<u8>)>;

    /// All events of `pieces`, and the error that ended the stream.
    fn read<'a>(
        pieces: impl IntoIterator<Item = &'a [u8]>,
        event_bytes_max: usize,
    ) -> (ReadEvents, Result<bool, AmazonError>) {
        let mut reader = AmazonReader::new(event_bytes_max);
        let mut events = Vec::new();
        for piece in pieces {
            reader.push(piece);
            loop {
                match reader.next() {
                    Ok(Some(event)) => events.push((event.name.to_owned(), event.data.to_vec())),
                    Ok(None) => break,
                    Err(error) => {
                        reader.push(piece);
                        assert_eq!(reader.next(), Err(error), "an error stays");
                        return (events, Err(error));
                    }
                }
            }
        }
        (events, Ok(reader.has_partial()))
    }

    /// A message with these bytes as headers, and otherwise valid.
    fn message(headers: &[u8], payload: &[u8]) -> Vec<u8> {
        let total = u32::try_from(16 + headers.len() + payload.len()).unwrap();
        let mut bytes = total.to_be_bytes().to_vec();
        bytes.extend(u32::try_from(headers.len()).unwrap().to_be_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        bytes.extend(headers);
        bytes.extend(payload);
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        bytes
    }

    fn text_header(name: &str, value: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        headers::write(&mut bytes, name, value);
        bytes
    }

    #[test]
    fn message_decodes_byte_by_byte() {
        let mut out = Vec::new();
        write_amazon_event(&mut out, "chunk", b"{}");
        let mut expected = vec![0, 0, 0, 93, 0, 0, 0, 75];
        expected.extend(crc32fast::hash(&expected).to_be_bytes());
        expected.extend(b"\x0b:event-type\x07\0\x05chunk");
        expected.extend(b"\x0d:content-type\x07\0\x10application/json");
        expected.extend(b"\x0d:message-type\x07\0\x05event");
        expected.extend(b"{}");
        expected.extend(crc32fast::hash(&expected).to_be_bytes());
        assert_eq!(out, expected);
        assert_eq!(read([out.as_slice()], 200).0, [("chunk".to_owned(), b"{}".to_vec())]);
    }

    #[test]
    fn reference_example_has_valid_checksums() {
        // The empty message: no headers, no payload. The checksums are from Amazon's own test data.
        let empty = [0, 0, 0, 16, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff];
        assert_eq!(message(b"", b""), empty);
        assert_eq!(read([empty.as_slice()], 200).1, Err(AmazonError::Headers));
    }

    #[test]
    fn message_kinds_are_decoded() {
        let mut stream = Vec::new();
        write_amazon_event(&mut stream, "messageStart", b"{}");
        write_amazon_exception(&mut stream, "throttlingException", b"{\"message\":\"slow\"}");
        let headers = [
            text_header(":message-type", "error"),
            text_header(":error-code", "InternalFailure"),
            text_header(":error-message", "It \"broke\"."),
        ];
        stream.extend(message(&headers.concat(), b""));
        let (events, end) = read([stream.as_slice()], 200);
        let events: Vec<(&str, &str)> = events
            .iter()
            .map(|(name, data)| (name.as_str(), std::str::from_utf8(data).unwrap()))
            .collect();
        let expected = [
            ("messageStart", "{}"),
            ("throttlingException", r#"{"message":"slow"}"#),
            ("error", r#"{"message":"It \"broke\".","code":"InternalFailure"}"#),
        ];
        assert_eq!(events, expected);
        assert_eq!(end, Ok(false));
    }

    #[test]
    fn headers_without_type_are_rejected() {
        let event = text_header(":message-type", "event");
        for headers in [
            Vec::new(),
            event.clone(),
            text_header(":event-type", "x"),
            [text_header(":message-type", "riddle"), text_header(":event-type", "x")].concat(),
            [event.clone(), text_header(":exception-type", "x")].concat(),
            [event, b"\x01n".to_vec()].concat(),
        ] {
            assert_eq!(
                read([message(&headers, b"{}").as_slice()], 200).1,
                Err(AmazonError::Headers)
            );
        }
    }

    #[test]
    fn invalid_lengths_are_rejected_immediately() {
        let prelude = |total: u32, headers: u32| {
            let mut bytes = [total.to_be_bytes(), headers.to_be_bytes()].concat();
            bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
            bytes
        };
        let too_large = AmazonError::TooLarge { event_bytes_max: 1000 };
        for (total, headers, error) in [
            (0, 0, AmazonError::Lengths),
            (15, 0, AmazonError::Lengths),
            (16, 1, AmazonError::Lengths),
            (100, 85, AmazonError::Lengths),
            (100, u32::MAX, AmazonError::Lengths),
            (1001, 0, too_large),
            (u32::MAX, 0, too_large),
            (u32::MAX, u32::MAX, too_large),
        ] {
            let bytes = prelude(total, headers);
            assert_eq!(read([bytes.as_slice()], 1000), (vec![], Err(error)), "{total} {headers}");
            let mut reader = AmazonReader::new(1000);
            reader.push(&bytes);
            assert!(reader.next().is_err() && reader.buffer.capacity() < 100);
        }
        for (total, headers) in [(16, 0), (100, 84), (1000, 0)] {
            assert_eq!(read([prelude(total, headers).as_slice()], 1000), (vec![], Ok(true)));
        }
    }

    #[test]
    fn consumed_messages_are_dropped() {
        let mut reader = AmazonReader::new(1000);
        let (mut one, mut events) = (Vec::new(), 0);
        write_amazon_event(&mut one, "contentBlockDelta", &[b' '; 100]);
        let (first, second) = one.split_at(50);
        for _ in 0..10_000 {
            for piece in [first, second] {
                reader.push(piece);
                while let Ok(Some(_)) = reader.next() {
                    events += 1;
                }
            }
        }
        assert_eq!((events, reader.buffered_bytes()), (10_000, 0));
        assert!(reader.buffer.capacity() < 2000);
    }

    /// Some events and exceptions, each with its bytes.
    fn messages() -> impl Strategy<Value = Vec<(String, Vec<u8>, Vec<u8>)>> {
        let payload = proptest::collection::vec(any::<u8>(), 0..40);
        let one =
            (any::<bool>(), "[a-zA-Z]{1,12}", payload).prop_map(|(is_event, name, payload)| {
                let mut bytes = Vec::new();
                if is_event {
                    write_amazon_event(&mut bytes, &name, &payload);
                } else {
                    write_amazon_exception(&mut bytes, &name, &payload);
                }
                (name, payload, bytes)
            });
        proptest::collection::vec(one, 1..5)
    }

    fn joined(messages: &[(String, Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        messages.iter().flat_map(|(_, _, bytes)| bytes.clone()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_split_decodes_the_same(messages in messages(), size in 1_usize..50) {
            let stream = joined(&messages);
            let expected: ReadEvents = messages.into_iter().map(|(name, data, _)| (name, data)).collect();
            prop_assert_eq!(read([stream.as_slice()], 4096), (expected.clone(), Ok(false)));
            prop_assert_eq!(read(stream.chunks(size), 4096), (expected.clone(), Ok(false)));
            prop_assert_eq!(read(stream.chunks(1), 4096), (expected, Ok(false)));
        }

        #[test]
        fn flipped_bit_is_an_error(messages in messages(), at in any::<prop::sample::Index>()) {
            let mut stream = joined(&messages);
            let bit = at.index(stream.len() * 8);
            stream[bit / 8] ^= 1 << (bit % 8);
            let (events, end) = read(stream.chunks(7), 4096);
            prop_assert!(events.len() < messages.len());
            prop_assert!(end.is_err(), "{:?}", end);
        }

        #[test]
        fn truncated_message_is_never_emitted(messages in messages(), at in any::<prop::sample::Index>()) {
            let stream = joined(&messages);
            let cut = at.index(stream.len());
            let (events, end) = read([&stream[..cut]], 4096);
            let whole = messages.iter().scan(0, |end, (_, _, bytes)| {
                *end += bytes.len();
                Some(*end)
            });
            let ends: Vec<usize> = whole.take_while(|end| *end <= cut).collect();
            prop_assert_eq!(events.len(), ends.len());
            prop_assert_eq!(end, Ok(ends.last().copied().unwrap_or(0) < cut));
        }

        #[test]
        fn arbitrary_bytes_never_panic(stream in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(stream.chunks(11), 100);
            let _ = read([message(&stream, b"").as_slice()], 1000);
        }
    }
}
