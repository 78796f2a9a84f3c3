//! Splits a provider's stream into events, in the framing of its dialect.

use super::amazon_stream::AmazonReader;
use super::codec::{Frame, StreamDecodeError};
use crate::http::EventReader;

/// An incremental reader of one stream.
#[derive(Debug)]
pub enum Cutter {
    /// An event stream (WHATWG HTML).
    Events(Box<EventReader>),
    /// Amazon's binary event stream.
    Amazon(Box<AmazonReader>),
}

impl Cutter {
    /// A reader whose events have at most `event_bytes_max` bytes.
    #[must_use]
    pub fn new(frame: Frame, event_bytes_max: usize) -> Self {
        match frame {
            Frame::Events => Self::Events(Box::new(EventReader::new(event_bytes_max))),
            Frame::Amazon => Self::Amazon(Box::new(AmazonReader::new(event_bytes_max))),
        }
    }

    /// Appends the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::Events(reader) => reader.push(bytes),
            Self::Amazon(reader) => reader.push(bytes),
        }
    }

    /// Calls `take` with the name and the data of each complete event. Events without data are skipped.
    ///
    /// # Errors
    /// Those of `take`, and if the framing is invalid or an event too large.
    pub fn each(
        &mut self,
        mut take: impl FnMut(Option<&str>, &[u8]) -> Result<(), StreamDecodeError>,
    ) -> Result<(), StreamDecodeError> {
        match self {
            Self::Events(reader) => {
                while let Some(event) = reader.next().map_err(|_| StreamDecodeError)? {
                    if !event.data.is_empty() {
                        take(event.name, event.data)?;
                    }
                }
            }
            Self::Amazon(reader) => {
                while let Some(event) = reader.next().map_err(|_| StreamDecodeError)? {
                    take(Some(event.name), event.data)?;
                }
            }
        }
        Ok(())
    }
}
