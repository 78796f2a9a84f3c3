//! Records of the cache on disk.
//!
//! A segment is a file: a magic, then records one behind the other, each its length (4 bytes, little
//! endian), 16 bytes of a keyed BLAKE3 over its payload, and the payload. The hash is under the
//! cache's secret, so that a record is neither damaged nor of another cache nor made by hand.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Entry, Key, Question};

/// What every segment begins with; the digit is the version of the format.
pub(super) const MAGIC: &[u8; 8] = b"RGCACHE2";

/// Longest payload that is believed.
const PAYLOAD_BYTES_MAX: usize = 256 * 1024 * 1024;

const HASH_BYTES: usize = 16;

/// A change of the cache.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) enum JournalRecord {
    /// An answer was stored, with its question if it can be found by that; the one that was there is
    /// gone.
    Put(Key, Arc<Entry>, Option<Box<Question>>),
    /// What was stored before this time is gone.
    Remove(Key, Duration),
    /// Two questions do not share an answer.
    Part(Key, Key),
}

/// Why reading a segment ended before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum SegmentError {
    /// The file does not begin as a segment does.
    #[error("not a segment of the cache")]
    Magic,
    /// What follows `whole_bytes` is torn, damaged or not ours.
    #[error("a bad record behind {whole_bytes} bytes")]
    Damaged {
        /// Length of the file up to there.
        whole_bytes: u64,
    },
}

fn hash(secret: &[u8; 32], payload: &[u8]) -> [u8; HASH_BYTES] {
    let hash = blake3::keyed_hash(secret, payload);
    std::array::from_fn(|index| hash.as_bytes().get(index).copied().unwrap_or_default())
}

/// Appends a record to `out`.
pub(super) fn append<T: Serialize>(record: &T, secret: &[u8; 32], out: &mut Vec<u8>) {
    // Writing to memory does not fail, and every type in a record has a length.
    let Ok(payload) = postcard::to_allocvec(record) else { return };
    let Ok(length) = u32::try_from(payload.len()) else { return };
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&hash(secret, &payload));
    out.extend_from_slice(&payload);
}

/// Calls `each` with the records of a segment, up to its end or the first bad one.
///
/// # Errors
/// See [`SegmentError`]; what was good before has been given.
pub(super) fn read(
    mut segment: impl Read,
    secret: &[u8; 32],
    mut each: impl FnMut(JournalRecord),
) -> Result<u64, SegmentError> {
    let mut magic = [0; MAGIC.len()];
    if !fill(&mut segment, &mut magic) || magic != *MAGIC {
        return Err(SegmentError::Magic);
    }
    let mut whole_bytes = MAGIC.len() as u64;
    let mut payload = Vec::new();
    loop {
        match read_record(&mut segment, secret, &mut payload) {
            Next::JournalRecord(record, bytes) => {
                whole_bytes += bytes;
                each(*record);
            }
            Next::End => return Ok(whole_bytes),
            Next::Bad => return Err(SegmentError::Damaged { whole_bytes }),
        }
    }
}

enum Next {
    JournalRecord(Box<JournalRecord>, u64),
    End,
    Bad,
}

fn read_record(segment: &mut impl Read, secret: &[u8; 32], payload: &mut Vec<u8>) -> Next {
    let mut length = [0; 4];
    match segment.read(&mut length) {
        Ok(0) => return Next::End,
        Ok(count) if count < length.len() => {
            let rest = length.get_mut(count..).unwrap_or_default();
            if !fill(segment, rest) {
                return Next::Bad;
            }
        }
        Ok(_) => {}
        Err(_) => return Next::Bad,
    }
    let length = u32::from_le_bytes(length) as usize;
    let mut expected = [0; HASH_BYTES];
    if length > PAYLOAD_BYTES_MAX || !fill(segment, &mut expected) {
        return Next::Bad;
    }
    payload.clear();
    // Not reserved ahead: the length may be a lie.
    let taken = segment.take(length as u64).read_to_end(payload);
    if taken.is_err() || payload.len() != length || hash(secret, payload) != expected {
        return Next::Bad;
    }
    let bytes = (4 + HASH_BYTES + length) as u64;
    postcard::from_bytes(payload)
        .map_or(Next::Bad, |record| Next::JournalRecord(Box::new(record), bytes))
}

/// Fills `buffer`; false at the end of the file or after an error of it.
fn fill(segment: &mut impl Read, buffer: &mut [u8]) -> bool {
    segment.read_exact(buffer).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::profile::Profile;
    use super::super::question::Vector;
    use super::super::{Cache, CacheLimits, EntryLabels};
    use super::*;
    use crate::base::IdSource;
    use crate::inference::DIMENSIONS;

    const SECRET: [u8; 32] = [3; 32];

    fn records() -> Vec<JournalRecord> {
        let cache = Cache::in_memory(&CacheLimits::default(), SECRET);
        let key = |name: &str| cache.key().part(name.as_bytes()).finish();
        let entry = |text: &str| Entry {
            id: IdSource::from_seed(1).next_id(),
            body: text.as_bytes().to_vec(),
            id_at: Some(2..5),
            labels: EntryLabels { key: Some("k".into()), ..EntryLabels::default() },
            stored_at: Duration::from_millis(1_500),
            expires_at: Duration::from_secs(9),
            wording: 5,
            partition: Some(key("p")),
        };
        let question = |text: &str| Question {
            partition: key("p"),
            vector: Vector::of(&[-0.05; DIMENSIONS]),
            profile: Profile::of(text),
        };
        vec![
            JournalRecord::Put(
                key("a"),
                Arc::new(entry("one")),
                Some(Box::new(question("What is it?"))),
            ),
            JournalRecord::Put(key("b"), Arc::new(entry("")), None),
            JournalRecord::Part(key("a"), key("b")),
            JournalRecord::Remove(key("a"), Duration::from_secs(2)),
        ]
    }

    fn segment(records: &[JournalRecord]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        records.iter().for_each(|record| append(record, &SECRET, &mut bytes));
        bytes
    }

    fn read_all(
        bytes: &[u8],
        secret: &[u8; 32],
    ) -> (Vec<JournalRecord>, Result<u64, SegmentError>) {
        let mut found = Vec::new();
        let end = read(bytes, secret, |record| found.push(record));
        (found, end)
    }

    #[test]
    fn records_round_trip() {
        let bytes = segment(&records());
        let (found, end) = read_all(&bytes, &SECRET);
        assert_eq!(found, records());
        assert_eq!(end.expect("whole"), bytes.len() as u64);
        assert!(read_all(MAGIC, &SECRET).1.is_ok(), "an empty segment");
    }

    #[test]
    fn truncated_file_keeps_complete_records() {
        let records = records();
        let bytes = segment(&records);
        let ends: Vec<usize> = (0..=records.len()).map(|n| segment(&records[..n]).len()).collect();
        for cut in 0..bytes.len() {
            let (found, end) = read_all(&bytes[..cut], &SECRET);
            let whole = ends.iter().rposition(|end| *end <= cut);
            assert_eq!(found.len(), whole.unwrap_or(0), "cut at {cut}");
            match (end, whole) {
                (Ok(bytes), Some(whole)) => assert_eq!(bytes as usize, ends[whole]),
                (Err(SegmentError::Damaged { whole_bytes }), Some(whole)) => {
                    assert_eq!(whole_bytes as usize, ends[whole], "cut at {cut}");
                }
                (Err(SegmentError::Magic), None) => {}
                (end, _) => panic!("cut at {cut}: {end:?}"),
            }
        }
    }

    #[test]
    fn corruption_or_wrong_secret_ends_reading() {
        let bytes = segment(&records());
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            let (found, end) = read_all(&bad, &SECRET);
            assert!(end.is_err() && found.len() < 4, "flipped at {at}");
            assert!(records().starts_with(&found), "flipped at {at}");
        }
        assert!(read_all(&bytes, &[4; 32]).0.is_empty());
    }
}
