//! Forms: any split gives the same parts and error; framing and data together are the input.
//!
//! The first byte of the input says how long the reads are; the boundary is one letter.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringgate::http::{FormError, FormEvent, FormReader};

fuzz_target!(|data: &[u8]| {
    let [step, input @ ..] = data else { return };
    let whole = read(input, input.len().max(1));
    let cut = read(input, usize::from(*step).max(1));
    assert_eq!(whole.outcome, cut.outcome);
    if whole.outcome.is_ok() {
        assert_eq!(whole, cut);
        assert_eq!(whole.passed, input, "nothing is lost or made up");
    }
});

#[derive(Debug, PartialEq)]
struct ParsedForm {
    /// Framing and data in their order.
    passed: Vec<u8>,
    /// Name and data of each part.
    parts: Vec<(String, Vec<u8>)>,
    outcome: Result<(), FormError>,
}

fn read(input: &[u8], step: usize) -> ParsedForm {
    let (mut passed, mut parts) = (Vec::new(), Vec::<(String, Vec<u8>)>::new());
    let mut visit = |event: FormEvent<'_>| match event {
        FormEvent::Framing(bytes) => passed.extend_from_slice(bytes),
        FormEvent::Begin(head) => parts.push((head.name.clone(), Vec::new())),
        FormEvent::Data(bytes) => {
            passed.extend_from_slice(bytes);
            parts.last_mut().expect("data is in a part").1.extend_from_slice(bytes);
        }
        FormEvent::End | FormEvent::Last => {}
    };
    let mut reader = FormReader::new(b"X");
    let outcome = input
        .chunks(step)
        .try_for_each(|piece| reader.push(piece, &mut visit))
        .and_then(|()| reader.finish(&mut visit));
    ParsedForm { passed, parts, outcome }
}
