//! Short replacements for names and ids that a vendor rejects. They are deterministic, so that a call
//! matches its result, and a conversation that is sent again hits its cache.

use std::borrow::Cow;

/// Length of Mistral's call ids, which consist of letters and digits (the vendor's error 3280).
const MISTRAL_ID_BYTES: usize = 9;

/// The first `digits` hexadecimal digits of a hash of `text`, at most 64.
pub(super) fn digest(text: &str, digits: usize) -> String {
    blake3::hash(text.as_bytes()).to_hex().chars().take(digits).collect()
}

/// A call id that Mistral accepts: unchanged if possible.
pub(super) fn mistral_call_id(id: &str) -> Cow<'_, str> {
    let fits = id.len() == MISTRAL_ID_BYTES && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if fits { id.into() } else { digest(id, MISTRAL_ID_BYTES).into() }
}
