//! Bodies on their way in, from a client or a provider, and the minimum rate of a sender.

use std::time::Duration;

use crate::base::Instant;
use crate::http::{BodyDecoder, BodyError, Framing};
use crate::shard::Reader;

/// A body being received. Nothing of it is kept here.
pub(crate) struct BodyReader(BodyDecoder);

impl BodyReader {
    pub(crate) fn new(framing: Framing) -> Self {
        Self(BodyDecoder::new(framing))
    }

    /// Hands all body bytes that `reader` holds to `sink`; true once the body is complete. Bytes
    /// after its end stay with the reader.
    pub(crate) fn drain(
        &mut self,
        reader: &mut Reader,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<bool, BodyError> {
        while !self.0.is_done() {
            let bytes = reader.bytes();
            let piece = self.0.next(bytes)?;
            let end = piece.skip.saturating_add(piece.len);
            if let Some(run) = bytes.get(piece.skip..end).filter(|run| !run.is_empty()) {
                sink(run);
            }
            reader.consume(end);
            if end == 0 && !piece.done {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The sender has closed: was that the end of the body?
    pub(crate) fn finish(&self) -> Result<(), BodyError> {
        self.0.finish()
    }
}

/// The minimum rate of a sender: a grace, then so many bytes a second on average. A limit on each
/// single read would let one byte a second hold a connection for ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MinimumRate {
    started: Instant,
    bytes_per_second_min: u64,
}

/// How long a sender may be slower than that.
const GRACE: Duration = Duration::from_secs(10);

impl MinimumRate {
    pub(crate) fn new(bytes_per_second_min: u64) -> Self {
        Self { started: Instant::now(), bytes_per_second_min }
    }

    /// When the sender must have sent more, having sent `received` bytes.
    pub(crate) fn deadline(&self, received: u64) -> Instant {
        let earned = received.saturating_mul(1_000).checked_div(self.bytes_per_second_min);
        // At no speed at all the time earned is without end.
        let earned = earned.unwrap_or(u64::MAX);
        self.started.after(GRACE.saturating_add(Duration::from_millis(earned)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn received_bytes_extend_the_deadline() {
        let rate = MinimumRate::new(1_000);
        let left = |bytes| rate.deadline(bytes).since(rate.started);
        assert_eq!(left(0), Duration::from_secs(10));
        assert_eq!(left(5_000), Duration::from_secs(15));
        // One byte a second is cut soon after the grace.
        assert!(left(11) < Duration::from_secs(11));
        assert!(MinimumRate::new(0).deadline(0).elapsed() == Duration::ZERO);
        let unhurried = MinimumRate::new(0);
        assert!(unhurried.deadline(0).since(unhurried.started) > Duration::from_secs(1_000_000));
        assert!(left(u64::MAX) > Duration::from_secs(1_000_000));
    }

    #[test]
    fn bytes_after_the_body_are_kept() {
        let mut reader = Reader::from_bytes(b"3\r\nabc\r\n0\r\n\r\nnext".to_vec());
        let mut body = Vec::new();
        let mut body_reader = BodyReader::new(Framing::Chunked);
        let done = body_reader.drain(&mut reader, |run| body.extend_from_slice(run));
        assert_eq!((done.ok(), body.as_slice()), (Some(true), &b"abc"[..]));
        assert_eq!(reader.bytes(), b"next");
    }
}
