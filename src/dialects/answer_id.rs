//! Response ids in the format that a client's vendor uses.

use std::borrow::Cow;

/// The id prefixes of the vendors and of the gateway.
const PREFIXES: [&str; 8] =
    ["chatcmpl-", "chatcmpl_", "cmpl-", "msg_", "msg-", "resp_", "resp-", "gen-"];

/// The provider's `id` with the client's `prefix`. The rest is kept, so that the response can be found
/// at the provider.
pub(super) fn for_client<'i>(prefix: &str, id: &'i str) -> Cow<'i, str> {
    if id.is_empty() || id.starts_with(prefix) {
        return Cow::Borrowed(id);
    }
    let own = PREFIXES.iter().find_map(|known| id.strip_prefix(known)).filter(|it| !it.is_empty());
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '_' }
    };
    let own: String = own.unwrap_or(id).chars().map(plain).collect();
    Cow::Owned(format!("{prefix}{own}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_ids_keep_the_providers_suffix() {
        for (prefix, id, expected) in [
            ("msg_", "chatcmpl-123", "msg_123"),
            ("msg_", "msg_01X", "msg_01X"),
            ("msg_", "msg-7", "msg_7"),
            ("msg_", "gen-1-abc", "msg_1-abc"),
            ("msg_", "a:b/c", "msg_a_b_c"),
            ("chatcmpl-", "msg_01X", "chatcmpl-01X"),
            ("chatcmpl-", "resp_9", "chatcmpl-9"),
            ("chatcmpl-", "chatcmpl-1", "chatcmpl-1"),
            ("chatcmpl-", "mAitaLm4Kp", "chatcmpl-mAitaLm4Kp"),
            ("cmpl-", "chatcmpl-1", "cmpl-1"),
            ("msg_", "", ""),
            ("msg_", "chatcmpl-", "msg_chatcmpl-"),
        ] {
            assert_eq!(for_client(prefix, id), expected, "{prefix} {id}");
        }
    }
}
