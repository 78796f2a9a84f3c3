//! Response heads: any split gives the same result, and what is accepted has one reading.
//!
//! The first byte of the input says how long the reads are, its lowest bit to which method.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringgate::http::{
    Framing, HeadError, HeadLimits, Method, ResponseHead, is_field_value, is_token,
};

const LIMITS: HeadLimits = HeadLimits { head_bytes_max: 600, target_bytes_max: 0, fields_max: 12 };

fuzz_target!(|data: &[u8]| {
    let Some((step, input)) = data.split_first() else { return };
    let method = if step & 1 == 0 { Method::Post } else { Method::Head };
    let whole = parse(input, method, input.len().max(1));
    let split = parse(input, method, usize::from(*step).max(1));
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
    check(&head, method);
    let alone = parse(&input[..taken], method, taken).expect("accepted before").expect("complete");
    assert_eq!((alone.0, shown(&alone.1)), (taken, shown(&head)));
});

/// Reads as a connection does: more and more of the same bytes.
fn parse(
    input: &[u8],
    method: Method,
    step: usize,
) -> Result<Option<(usize, ResponseHead)>, HeadError> {
    let mut head = ResponseHead::default();
    for end in (0..input.len()).step_by(step).chain([input.len()]) {
        if let Some(taken) = head.parse(&input[..end], method, &LIMITS)? {
            return Ok(Some((taken, head)));
        }
    }
    Ok(None)
}

fn shown(head: &ResponseHead) -> String {
    let fields: Vec<_> = head.fields().collect();
    format!(
        "{} {:?} {:?} {} {fields:?}",
        head.status(),
        head.version(),
        head.framing(),
        head.keep_alive()
    )
}

fn check(head: &ResponseHead, method: Method) {
    assert!((100..600).contains(&head.status()));
    let (mut lengths, mut codings) = (0, 0);
    for (name, value) in head.fields() {
        assert!(is_token(name.as_bytes()) && !name.bytes().any(|byte| byte.is_ascii_uppercase()));
        assert!(is_field_value(value), "{name}: {value:?}");
        lengths += usize::from(name == "content-length");
        codings += usize::from(name == "transfer-encoding");
    }
    assert!(lengths == 0 || codings == 0, "two ways to find the end");
    if head.framing() == Framing::UntilClose {
        assert!(!head.keep_alive(), "a body without an end on a kept connection");
    }
    let bodiless = method == Method::Head || head.is_informational();
    if bodiless || [204, 304].contains(&head.status()) {
        assert_eq!(head.framing(), Framing::None);
    }
}
