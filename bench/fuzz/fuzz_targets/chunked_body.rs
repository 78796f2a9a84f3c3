//! Bodies: any split gives the same body, end and error; what is written is read back.
//!
//! The first byte of the input says how long the reads are, the second which framing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringgate::http::{BodyDecoder, BodyError, Framing, LAST_CHUNK, write_chunk};

fuzz_target!(|data: &[u8]| {
    let [step, kind, input @ ..] = data else { return };
    let step = usize::from(*step).max(1);
    let framing = match kind % 8 {
        0 => Framing::Length(u64::from(kind / 8)),
        1 => Framing::UntilClose,
        _ => Framing::Chunked,
    };
    let whole = decode(framing, input, input.len().max(1));
    assert_eq!(whole, decode(framing, input, step));
    assert!(whole.body.len() <= input.len());
    // What is left over is what came behind the end.
    if whole.finished == Ok(()) && framing != Framing::UntilClose {
        let taken = input.len() - whole.left.len();
        let alone = decode(framing, &input[..taken], step);
        assert_eq!((&alone.body, &alone.left[..]), (&whole.body, &[][..]));
    }
    let mut written = Vec::new();
    for piece in input.chunks(step) {
        write_chunk(&mut written, piece);
    }
    written.extend_from_slice(LAST_CHUNK);
    written.extend_from_slice(b"next");
    let read = decode(Framing::Chunked, &written, 1 + usize::from(*kind));
    assert_eq!((&read.body[..], &read.left[..], read.finished), (input, &b"next"[..], Ok(())));
});

#[derive(Debug, PartialEq)]
struct DecodedBody {
    body: Vec<u8>,
    /// What lies behind the end; all that is not read after an error.
    left: Vec<u8>,
    finished: Result<(), BodyError>,
}

fn decode(framing: Framing, input: &[u8], step: usize) -> DecodedBody {
    let mut decoder = BodyDecoder::new(framing);
    let (mut body, mut at) = (Vec::new(), 0);
    for end in (0..input.len()).step_by(step).chain([input.len()]) {
        loop {
            let held = &input[at..end];
            let piece = match decoder.next(held) {
                Ok(piece) => piece,
                Err(error) => {
                    assert_eq!(decoder.next(held), Err(error.clone()), "an error stays");
                    return DecodedBody { body, left: Vec::new(), finished: Err(error) };
                }
            };
            assert!(piece.skip + piece.len <= held.len());
            body.extend_from_slice(&held[piece.skip..piece.skip + piece.len]);
            at += piece.skip + piece.len;
            assert_eq!(piece.done, decoder.is_done());
            if piece.done {
                return DecodedBody { body, left: input[at..].to_vec(), finished: Ok(()) };
            }
            if piece.skip + piece.len == 0 {
                break;
            }
        }
    }
    DecodedBody { body, left: input[at..].to_vec(), finished: decoder.finish() }
}
