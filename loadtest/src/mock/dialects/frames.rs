//! Events of a stream as bytes: server-sent events, and the binary frames of `application/vnd.amazon.eventstream`.

use serde_json::Value;

/// The events of one answer, in order.
#[derive(Default)]
pub struct EventFrames {
    pub frames: Vec<Vec<u8>>,
    /// Which of the frames carry a piece of the answer.
    deltas: Vec<usize>,
}

impl EventFrames {
    /// Adds an event without content.
    pub fn push(&mut self, frame: Vec<u8>) {
        self.frames.push(frame);
    }

    /// Adds a piece of the answer.
    pub fn delta(&mut self, frame: Vec<u8>) {
        self.deltas.push(self.frames.len());
        self.frames.push(frame);
    }

    /// Keeps everything up to the second delta.
    pub fn keep_two_deltas(&mut self) {
        if let Some(last) = self.deltas.get(1).or(self.deltas.first()) {
            self.frames.truncate(last + 1);
        }
    }
}

/// A server-sent event without a name.
pub fn sse(data: &Value) -> Vec<u8> {
    format!("data: {data}\n\n").into_bytes()
}

/// A server-sent event named by the `type` of its data.
pub fn named_sse(data: &Value) -> Vec<u8> {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default()).into_bytes()
}

/// A message of an event stream: lengths, their CRC, headers, payload, CRC of all.
///
/// Every header's value is a string (type 7), as in all frames of Bedrock.
pub fn binary(headers: &[(&str, &str)], payload: &Value) -> Vec<u8> {
    const PRELUDE_BYTES: usize = 12;
    const CRC_BYTES: usize = 4;
    const STRING: u8 = 7;

    let mut fields = Vec::new();
    for (name, value) in headers {
        fields.push(name.len() as u8);
        fields.extend_from_slice(name.as_bytes());
        fields.push(STRING);
        fields.extend_from_slice(&(value.len() as u16).to_be_bytes());
        fields.extend_from_slice(value.as_bytes());
    }
    let payload = payload.to_string();
    let total = PRELUDE_BYTES + fields.len() + payload.len() + CRC_BYTES;
    let mut frame = Vec::with_capacity(total);
    frame.extend_from_slice(&(total as u32).to_be_bytes());
    frame.extend_from_slice(&(fields.len() as u32).to_be_bytes());
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(&fields);
    frame.extend_from_slice(payload.as_bytes());
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn frame_follows_the_specified_layout() {
        // The smallest message of the specification's test vectors: no headers, no payload but `null` here.
        let frame = binary(&[("a", "bc")], &json!(null));
        let number =
            |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().expect("four bytes"));
        assert_eq!((number(0) as usize, number(4)), (frame.len(), 7));
        assert_eq!(number(8), crc32fast::hash(&frame[..8]));
        assert_eq!(&frame[12..19], b"\x01a\x07\x00\x02bc");
        assert_eq!(&frame[19..23], b"null");
        assert_eq!(number(23), crc32fast::hash(&frame[..23]));
    }

    #[test]
    fn two_deltas_are_kept() {
        let mut events = EventFrames::default();
        events.push(vec![0]);
        for byte in 1..5 {
            events.delta(vec![byte]);
            events.push(vec![9]);
        }
        events.keep_two_deltas();
        assert_eq!(events.frames, [vec![0], vec![1], vec![9], vec![2]]);
    }
}
