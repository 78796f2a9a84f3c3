//! Request heads: any split gives the same result, and what is accepted has one reading.
//!
//! The first byte of the input says how long the reads are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringgate::http::{
    Framing, HeadError, HeadLimits, RequestHead, end_head, is_field_value, is_target, is_token,
    write_field, write_request_line,
};

const LIMITS: HeadLimits = HeadLimits { head_bytes_max: 600, target_bytes_max: 60, fields_max: 12 };

fuzz_target!(|data: &[u8]| {
    let Some((step, input)) = data.split_first() else { return };
    let whole = parse(input, input.len().max(1));
    let split = parse(input, usize::from(*step).max(1));
    let (taken, head) = match (whole, split) {
        (Ok(Some(whole)), Ok(Some(split))) => {
            assert_eq!(whole.0, split.0);
            assert_eq!(shown(&whole.1), shown(&split.1));
            whole
        }
        (Ok(None), Ok(None)) => return,
        (Err(whole), Err(split)) => return assert_eq!(whole, split),
        (whole, split) => panic!("whole {whole:?}, split {split:?}"),
    };
    assert!(taken <= input.len() && taken <= LIMITS.head_bytes_max);
    check(&head);
    // What follows a head is none of its business.
    let alone = parse(&input[..taken], taken).expect("accepted before").expect("complete");
    assert_eq!((alone.0, shown(&alone.1)), (taken, shown(&head)));
    // Encoded again, it parses the same.
    let mut out = Vec::new();
    let query = head.query().map(|query| ["?", query].concat()).unwrap_or_default();
    write_request_line(&mut out, head.method(), &[head.path(), &query]);
    for (name, value) in head.fields() {
        write_field(&mut out, name, value);
    }
    end_head(&mut out);
    let limits = HeadLimits { head_bytes_max: 10_000, ..LIMITS };
    let mut again = RequestHead::default();
    let taken_again = again.parse(&out, &limits);
    if head.version() == again.version() {
        assert_eq!(taken_again, Ok(Some(out.len())));
        assert_eq!(shown(&again), shown(&head));
    }
});

/// Reads as a connection does: more and more of the same bytes.
fn parse(input: &[u8], step: usize) -> Result<Option<(usize, RequestHead)>, HeadError> {
    let mut head = RequestHead::default();
    for end in (0..input.len()).step_by(step).chain([input.len()]) {
        if let Some(taken) = head.parse(&input[..end], &LIMITS)? {
            return Ok(Some((taken, head)));
        }
    }
    Ok(None)
}

fn shown(head: &RequestHead) -> String {
    let fields: Vec<_> = head.fields().collect();
    format!(
        "{:?} {:?} {:?} {:?} {} {} {:?} {fields:?}",
        head.method(),
        head.path(),
        head.query(),
        head.framing(),
        head.keep_alive(),
        head.expects_continue(),
        head.version(),
    )
}

fn check(head: &RequestHead) {
    assert!(head.path().starts_with('/') && is_target(head.path().as_bytes()));
    assert_ne!(head.framing(), Framing::UntilClose);
    let mut lengths = 0;
    for (name, value) in head.fields() {
        assert!(is_token(name.as_bytes()) && !name.bytes().any(|byte| byte.is_ascii_uppercase()));
        assert!(is_field_value(value), "{name}: {value:?}");
        lengths += usize::from(name == "content-length");
    }
    match head.framing() {
        Framing::Chunked => assert_eq!(lengths, 0, "two ways to find the end"),
        Framing::Length(_) => assert!(lengths > 0),
        _ => assert_eq!(lengths, 0),
    }
}
