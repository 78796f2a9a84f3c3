//! Event streams: any split gives the same events; what is written is read back.
//!
//! The first byte of the input says how long the reads are, the second how large events may be.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringgate::http::{SseEvent, EventReader, write_event};

/// An event with memory of its own: name, id, data, comment, retry.
type OwnedEvent = (Option<String>, Option<String>, Vec<u8>, Option<Vec<u8>>, Option<u64>);

fuzz_target!(|data: &[u8]| {
    let [step, limit, input @ ..] = data else { return };
    // A byte order mark is held back before it is an event's.
    let event_bytes_max = 4 * usize::from(*limit) + 3;
    let (events, failed, partial) = read(input, input.len().max(1), event_bytes_max);
    let split = read(input, usize::from(*step).max(1), event_bytes_max);
    assert_eq!((&events, failed), (&split.0, split.1));
    assert!(failed || partial == split.2);
    let data_bytes: usize = events.iter().map(|event| event.2.len()).sum();
    assert!(data_bytes <= input.len());

    let mut written = Vec::new();
    for (name, id, data, comment, retry) in &events {
        let (name, id, comment) = (name.as_deref(), id.as_deref(), comment.as_deref());
        write_event(&mut written, &SseEvent { name, id, data, comment, retry: *retry });
    }
    let (again, failed, partial) = read(&written, 7, usize::MAX);
    assert_eq!((again, failed, partial), (events, false, false));
});

fn read(input: &[u8], step: usize, event_bytes_max: usize) -> (Vec<OwnedEvent>, bool, bool) {
    let mut reader = EventReader::new(event_bytes_max);
    let mut events = Vec::new();
    for piece in input.chunks(step) {
        reader.push(piece);
        loop {
            match reader.next() {
                Ok(Some(event)) => events.push((
                    event.name.map(str::to_owned),
                    event.id.map(str::to_owned),
                    event.data.to_vec(),
                    event.comment.map(<[u8]>::to_vec),
                    event.retry,
                )),
                Ok(None) => break,
                Err(_) => return (events, true, true),
            }
        }
        assert!(reader.buffered_bytes() <= event_bytes_max);
    }
    (events, false, reader.has_partial())
}
