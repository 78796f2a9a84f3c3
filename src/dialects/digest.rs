//! Short stand-ins for names and ids that a vendor does not take: the same each time, so that a call
//! and its result agree, and a conversation that is sent again hits its cache.

use std::borrow::Cow;

/// Length of Mistral's ids of calls, which are of letters and digits alone (the vendor's error 3280).
const MISTRAL_ID_BYTES: usize = 9;

/// The first `digits` hexadecimal digits of a hash of `text`, 64 at most.
pub(super) fn digest(text: &str, digits: usize) -> String {
    blake3::hash(text.as_bytes()).to_hex().chars().take(digits).collect()
}

/// The id of a call as Mistral takes it: as it is if it can be.
pub(super) fn mistral_call_id(id: &str) -> Cow<'_, str> {
    let fits = id.len() == MISTRAL_ID_BYTES && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if fits { id.into() } else { digest(id, MISTRAL_ID_BYTES).into() }
}
