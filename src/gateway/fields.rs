//! Header fields: what the client tells the gateway, what travels on to the provider, and what
//! comes back. Both ways go by allow-lists: a credential or a hop's own field never slips through.

use super::endpoint::{dialect_of_path, percent_decoded};
use crate::http::RequestHead;
use crate::llm::Dialect;

/// The dialect in which the client called and the family of headers it used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialled {
    /// The request carried an `x-portkey-` field: answers carry both families.
    pub portkey: bool,
    /// It carried a field of either family, so that looking for one by name is worth while.
    pub ours: bool,
    /// Errors are wanted in the shape of this dialect.
    pub dialect: Dialect,
}

impl Dialled {
    /// Reads it off the request.
    pub(super) fn of(head: &RequestHead) -> Self {
        let has = |prefix| head.fields().any(|(name, _)| name.starts_with(prefix));
        let portkey = has("x-portkey-");
        let mut dialect = dialect_of_path(head.path());
        // The one path that OpenAI and Anthropic share; its SDK sends the version with every call.
        let is_shared = head.path().starts_with("/v1/models");
        if is_shared && dialect == Dialect::OpenaiChat && head.get("anthropic-version").is_some() {
            dialect = Dialect::AnthropicMessages;
        }
        Self { portkey, ours: portkey || has("x-ringgate-"), dialect }
    }
}

/// A gateway field by its short name: `x-ringgate-NAME` wins over `x-portkey-NAME`.
pub(super) fn ours<'h>(head: &'h RequestHead, name: &str) -> Option<&'h str> {
    let mut found = None;
    for (field, value) in head.fields() {
        let family = field.strip_prefix("x-ringgate-").filter(|rest| *rest == name);
        if family.is_some() {
            return Some(text(value));
        }
        if field.strip_prefix("x-portkey-").is_some_and(|rest| rest == name) && found.is_none() {
            found = Some(text(value));
        }
    }
    found
}

/// Bytes that are no text stay present, as what they are: nothing that means anything here.
fn text(value: &[u8]) -> &str {
    std::str::from_utf8(value).unwrap_or("\u{fffd}")
}

/// The secrets a request presents, most specific first: each may be the virtual key. One path for
/// every key header, so that no check can be walked around by choosing another header.
pub(super) fn presented_keys(head: &RequestHead) -> impl Iterator<Item = &[u8]> {
    const OURS: [&str; 2] = ["x-ringgate-api-key", "x-portkey-api-key"];
    let ours = OURS.into_iter().filter_map(|name| head.get(name)).map(without_scheme);
    ours.chain(vendor_keys(head))
}

/// The secrets that may be meant for a vendor: those in the headers that vendors use.
pub(super) fn vendor_keys(head: &RequestHead) -> impl Iterator<Item = &[u8]> {
    const VENDORS: [&str; 4] = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];
    let keys = VENDORS.into_iter().filter_map(|name| head.get(name)).map(without_scheme);
    keys.chain(subprotocols(head).filter_map(key_in_subprotocol))
}

/// The WebSocket subprotocols that a client offers, in order.
pub(super) fn subprotocols(head: &RequestHead) -> impl Iterator<Item = &[u8]> {
    let fields = head.fields().filter(|(name, _)| *name == "sec-websocket-protocol");
    let offered = fields.flat_map(|(_, value)| value.split(|byte| *byte == b','));
    offered.map(<[u8]>::trim_ascii).filter(|protocol| !protocol.is_empty())
}

/// The key in a subprotocol that is none: a page in a browser has no other place for it. OpenAI's
/// own clients write it so.
pub(super) fn key_in_subprotocol(protocol: &[u8]) -> Option<&[u8]> {
    const PREFIX: &[u8] = b"openai-insecure-api-key.";
    let (prefix, key) = protocol.split_at_checked(PREFIX.len())?;
    prefix.eq_ignore_ascii_case(PREFIX).then_some(key)
}

/// The value without a leading `Bearer`, in any case.
pub(super) fn without_scheme(value: &[u8]) -> &[u8] {
    match value.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer ") => rest.trim_ascii(),
        _ => value,
    }
}

/// A query of Google's API without the credential that it may hold. Ours travels in a field.
pub(super) fn without_credentials(query: &str) -> String {
    const NAMES: [&str; 3] = ["key", "access_token", "oauth_token"];
    let goes = |parameter: &&str| {
        let name = parameter.split('=').next().unwrap_or_default();
        !NAMES.contains(&percent_decoded(name).as_str())
    };
    query.split('&').filter(goes).collect::<Vec<_>>().join("&")
}

/// True for request fields that travel on to the provider as they are.
pub(super) fn goes_upstream(name: &str) -> bool {
    matches!(
        name,
        "accept"
            | "accept-language"
            | "content-type"
            | "idempotency-key"
            | "if-match"
            | "if-modified-since"
            | "if-none-match"
            | "range"
            | "traceparent"
            | "tracestate"
            | "user-agent"
    ) || name.starts_with("openai-")
        || name.starts_with("anthropic-")
}

/// True for those of them that mean the same to a provider of another dialect.
pub(super) fn goes_to_any_dialect(name: &str) -> bool {
    matches!(name, "traceparent" | "tracestate" | "user-agent" | "idempotency-key")
}

/// True for request fields that a client may name in `forward-headers`. Credentials, framing and
/// the gateway's own fields stay here whatever it asks.
pub(super) fn may_be_forwarded(head: &RequestHead, name: &str) -> bool {
    const NEVER: [&str; 13] = [
        "authorization",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "proxy-authorization",
        "cookie",
        "host",
        "content-length",
        "content-encoding",
        "accept-encoding",
        "expect",
        "upgrade",
        "via",
    ];
    !NEVER.contains(&name)
        && !name.starts_with("sec-websocket-")
        && !name.starts_with("x-ringgate-")
        && !name.starts_with("x-portkey-")
        && !head.is_hop_by_hop(name)
}

/// True for answer fields that travel on to the client as they are.
pub(super) fn goes_downstream(name: &str) -> bool {
    const NAMES: [&str; 17] = [
        "accept-ranges",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-range",
        "content-type",
        "date",
        "etag",
        "last-modified",
        "location",
        "retry-after",
        "retry-after-ms",
        "x-ms-retry-after-ms",
        "x-request-id",
        "request-id",
        "x-should-retry",
    ];
    const PREFIXES: [&str; 5] = ["x-ratelimit-", "ratelimit", "openai-", "anthropic-", "x-groq-"];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HeadLimits;

    fn head(fields: &str) -> RequestHead {
        let mut head = RequestHead::default();
        let text = format!("GET /v1/models HTTP/1.1\r\nhost: h\r\n{fields}\r\n");
        head.parse(text.as_bytes(), &HeadLimits::default()).expect("a legal head");
        head
    }

    #[test]
    fn our_family_wins() {
        let head = head("x-portkey-config: a\r\nx-ringgate-config: b\r\nX-Portkey-Trace-Id: t\r\n");
        assert_eq!(ours(&head, "config"), Some("b"));
        assert_eq!(ours(&head, "trace-id"), Some("t"));
        assert_eq!(ours(&head, "provider"), None);
        assert!(Dialled::of(&head).portkey);
    }

    #[test]
    fn credentials_never_travel() {
        let head = head("connection: x-mine\r\nx-mine: 1\r\nx-free: 2\r\n");
        for name in
            ["authorization", "x-api-key", "api-key", "cookie", "x-portkey-api-key", "x-mine"]
        {
            assert!(!goes_upstream(name), "{name}");
            assert!(!may_be_forwarded(&head, name), "{name}");
        }
        assert!(may_be_forwarded(&head, "x-free"));
        // It may hold a key.
        assert!(!may_be_forwarded(&head, "sec-websocket-protocol"));
        for name in ["set-cookie", "server", "connection", "transfer-encoding", "authorization"] {
            assert!(!goes_downstream(name), "{name}");
        }
    }

    #[test]
    fn a_subprotocol_may_be_a_key() {
        let offered = head(
            "sec-websocket-protocol: realtime, openai-insecure-api-key.one\r\n\
             sec-websocket-protocol: OpenAI-Insecure-Api-Key.two,,openai-beta.realtime-v1\r\n",
        );
        assert_eq!(presented_keys(&offered).collect::<Vec<_>>(), [b"one", b"two"]);
        let beside = head(
            "sec-websocket-protocol: openai-insecure-api-key.one\r\nauthorization: Bearer own\r\n",
        );
        assert_eq!(presented_keys(&beside).collect::<Vec<_>>(), [b"own", b"one"]);
        for protocol in ["realtime", "openai-insecure-api-key", "", "openai-beta.realtime-v1"] {
            assert_eq!(key_in_subprotocol(protocol.as_bytes()), None, "{protocol}");
        }
    }

    #[test]
    fn queries_of_google_hold_no_credential() {
        for (query, expected) in [
            ("key=test-credential", ""),
            ("alt=json&key=test-credential&pageSize=2", "alt=json&pageSize=2"),
            ("%6Bey=test-credential&access_token=t&keys=1", "keys=1"),
            ("pageToken=key", "pageToken=key"),
        ] {
            assert_eq!(without_credentials(query), expected, "{query}");
        }
    }

    #[test]
    fn schemes() {
        assert_eq!(without_scheme(b"Bearer abc"), b"abc");
        assert_eq!(without_scheme(b"bearer  abc"), b"abc");
        assert_eq!(without_scheme(b"abc"), b"abc");
    }
}
