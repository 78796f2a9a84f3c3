//! Header fields: what is meant for the gateway, what travels on to the provider, and what
//! comes back. Both ways go by allow-lists: a credential or a hop's own field never slips through.

use std::borrow::Cow;

use super::endpoint::{Endpoint, behind_version, dialect_of_path, percent_decoded};
use crate::http::RequestHead;
use crate::llm::Dialect;

/// The dialect in which the client called and the family of headers it used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientFormat {
    /// The request carried an `x-portkey-` field: answers carry both families.
    pub portkey: bool,
    /// It carried a field of either family, so that looking for one by name is worth while.
    pub has_gateway_headers: bool,
    /// Errors are wanted in the shape of this dialect.
    pub dialect: Dialect,
}

impl ClientFormat {
    /// Reads it off the request.
    pub(crate) fn of(head: &RequestHead) -> Self {
        let has = |prefix| head.fields().any(|(name, _)| name.starts_with(prefix));
        let portkey = has("x-portkey-");
        let mut dialect = dialect_of_path(head.path());
        // The one path that OpenAI and Anthropic share; its SDK sends the version with every call.
        let is_shared = head.path().starts_with("/v1/models");
        if is_shared && dialect == Dialect::OpenaiChat && head.get("anthropic-version").is_some() {
            dialect = Dialect::AnthropicMessages;
        }
        Self { portkey, has_gateway_headers: portkey || has("x-ringgate-"), dialect }
    }
}

/// A gateway field by its short name: `x-ringgate-NAME` wins over `x-portkey-NAME`.
pub(crate) fn gateway_header<'h>(head: &'h RequestHead, name: &str) -> Option<&'h str> {
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
pub(crate) fn presented_keys(head: &RequestHead) -> impl Iterator<Item = &[u8]> {
    const GATEWAY_HEADERS: [&str; 2] = ["x-ringgate-api-key", "x-portkey-api-key"];
    let of_gateway =
        GATEWAY_HEADERS.into_iter().filter_map(|name| head.get(name)).map(without_scheme);
    of_gateway.chain(vendor_keys(head))
}

/// The secrets that may be meant for a vendor: those in the headers that vendors use.
pub(crate) fn vendor_keys(head: &RequestHead) -> impl Iterator<Item = &[u8]> {
    const VENDORS: [&str; 4] = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];
    let keys = VENDORS.into_iter().filter_map(|name| head.get(name)).map(without_scheme);
    keys.chain(subprotocols(head).filter_map(key_in_subprotocol))
}

/// The WebSocket subprotocols that a client offers, in order.
pub(crate) fn subprotocols(head: &RequestHead) -> impl Iterator<Item = &[u8]> {
    let fields = head.fields().filter(|(name, _)| *name == "sec-websocket-protocol");
    let offered = fields.flat_map(|(_, value)| value.split(|byte| *byte == b','));
    offered.map(<[u8]>::trim_ascii).filter(|protocol| !protocol.is_empty())
}

/// The key in a subprotocol that is none: a page in a browser has no other place for it. OpenAI's
/// own clients write it so.
pub(crate) fn key_in_subprotocol(protocol: &[u8]) -> Option<&[u8]> {
    const PREFIX: &[u8] = b"openai-insecure-api-key.";
    let (prefix, key) = protocol.split_at_checked(PREFIX.len())?;
    prefix.eq_ignore_ascii_case(PREFIX).then_some(key)
}

/// The value without a leading `Bearer`, in any case. Of a signature of Amazon's the id of the access
/// key: its SDKs send a bearer token over TLS only.
pub(crate) fn without_scheme(value: &[u8]) -> &[u8] {
    const AMAZON: &[u8] = b"AWS4-HMAC-SHA256 Credential=";
    if let Some(credential) = value.strip_prefix(AMAZON) {
        return credential.split(|byte| *byte == b'/').next().unwrap_or_default();
    }
    match value.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer ") => rest.trim_ascii(),
        _ => value,
    }
}

/// A field of a request that travels on to a provider.
pub(crate) struct ClientField<'h> {
    pub name: &'h str,
    pub value: &'h [u8],
    /// It is on the allow-list; else it is one that `forward-headers` names.
    pub is_listed: bool,
    /// It names the account at the vendor, and is sent beside the client's own
    /// credential only.
    pub selects_account: bool,
}

/// The fields that travel on, as the request has them, with those that `is_named` in a route or by the
/// client. Both the request to a provider and the cache key are made from it, so that nothing travels
/// that does not distinguish two requests.
pub(crate) fn client_fields<'h>(
    head: &'h RequestHead,
    is_named: impl Fn(&str) -> bool,
) -> impl Iterator<Item = ClientField<'h>> {
    head.fields().filter_map(move |(name, value)| {
        let passage = passage(name);
        let is_listed = passage != Passage::Closed && !head.is_hop_by_hop(name);
        if is_listed {
            let selects_account = passage == Passage::WithAccount;
            return Some(ClientField { name, value, is_listed, selects_account });
        }
        (is_named(name) && may_be_forwarded(head, name)).then(|| ClientField {
            name,
            value,
            is_listed,
            selects_account: selects_account(name),
        })
    })
}

/// The query to forward, if any: without credentials, which are sent in a field. Path and query of
/// Google's `generateContent` are composed by the gateway.
pub(crate) fn client_query(head: &RequestHead, endpoint: Option<Endpoint>) -> Option<Cow<'_, str>> {
    let query = head.query().filter(|_| endpoint != Some(Endpoint::GenerateContent))?;
    let query = without_parameters(Cow::Borrowed(query), is_credential_parameter);
    (!query.is_empty()).then_some(query)
}

/// The path as it travels on where no other is made for it. Every path in the pipeline begins with a
/// version, for which the base URL stands.
pub(crate) fn client_path(head: &RequestHead) -> &str {
    behind_version(head.path()).unwrap_or(head.path())
}

/// Each parameter of a query: its name, unescaped and in lower case, and all of it as it stands.
pub(crate) fn query_parameters(query: &str) -> impl Iterator<Item = (String, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        (percent_decoded(name).to_ascii_lowercase(), pair)
    })
}

/// The query without the parameters that `is_refused` by name.
pub(crate) fn without_parameters<'q>(
    query: Cow<'q, str>,
    is_refused: impl Fn(&str) -> bool,
) -> Cow<'q, str> {
    if !query_parameters(&query).any(|(name, _)| is_refused(&name)) {
        return query;
    }
    let kept = query_parameters(&query).filter(|(name, _)| !is_refused(name));
    Cow::Owned(kept.map(|(_, pair)| pair).collect::<Vec<_>>().join("&"))
}

fn is_credential_parameter(name: &str) -> bool {
    const NAMES: [&str; 9] = [
        "access_token",
        "api-key",
        "api_key",
        "apikey",
        "authorization",
        "key",
        "oauth_token",
        "subscription-key",
        "x-goog-user-project",
    ];
    NAMES.contains(&name)
}

/// Whether a request field travels on to the provider as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passage {
    Closed,
    Open,
    /// Only beside the client's own credential.
    WithAccount,
}

fn passage(name: &str) -> Passage {
    let is_common = matches!(
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
    );
    match name {
        _ if is_common => Passage::Open,
        _ if !(name.starts_with("openai-") || name.starts_with("anthropic-")) => Passage::Closed,
        _ if is_credential(name) => Passage::Closed,
        _ if selects_account(name) => Passage::WithAccount,
        _ => Passage::Open,
    }
}

/// True for request fields that travel on to the provider as they are, if the credential is the
/// client's.
pub(crate) fn goes_upstream(name: &str) -> bool {
    passage(name) != Passage::Closed
}

/// True for those of them that mean the same to a provider of another dialect.
pub(crate) fn goes_to_any_dialect(name: &str) -> bool {
    matches!(name, "traceparent" | "tracestate" | "user-agent" | "idempotency-key")
}

/// True for fields by which a vendor decides which account, organization or project is billed. A client
/// does not choose that for the operator's credential.
fn selects_account(name: &str) -> bool {
    const VENDORS: [&str; 9] = [
        "openai-",
        "anthropic-",
        "chatgpt-",
        "x-openai-",
        "x-anthropic-",
        "x-goog-",
        "x-amz-",
        "x-amzn-",
        "x-ms-",
    ];
    const WORDS: [&str; 18] = [
        "account",
        "authority",
        "authorization",
        "billing",
        "customer",
        "iam",
        "key",
        "org",
        "organisation",
        "organization",
        "project",
        "quota",
        "secret",
        "subscription",
        "team",
        "tenant",
        "token",
        "workspace",
    ];
    VENDORS.iter().any(|vendor| name.starts_with(vendor))
        && name.split('-').any(|word| WORDS.contains(&word))
}

/// True for fields that carry a credential.
fn is_credential(name: &str) -> bool {
    const NAMES: [&str; 3] = ["cookie", "cookie2", "set-cookie"];
    const ENDS: [&str; 4] = ["authorization", "api-key", "apikey", "subscription-key"];
    NAMES.contains(&name) || ENDS.iter().any(|end| name.ends_with(end))
}

/// True for request fields that a client may name in `forward-headers`. Credentials, framing and
/// the gateway's own fields stay here whatever it names.
pub(crate) fn may_be_forwarded(head: &RequestHead, name: &str) -> bool {
    const NEVER: [&str; 8] = [
        "host",
        "content-length",
        "content-type",
        "content-encoding",
        "accept-encoding",
        "expect",
        "upgrade",
        "via",
    ];
    !NEVER.contains(&name)
        && !is_credential(name)
        && !name.starts_with("sec-websocket-")
        && !name.starts_with("x-ringgate-")
        && !name.starts_with("x-portkey-")
        && !head.is_hop_by_hop(name)
}

/// True for response fields that travel on to the client as they are.
pub(crate) fn goes_downstream(name: &str) -> bool {
    const NAMES: [&str; 18] = [
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
        // The kind of an error of Amazon's, which its bodies leave out.
        "x-amzn-errortype",
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
    fn gateway_header_family_takes_precedence() {
        let head = head("x-portkey-config: a\r\nx-ringgate-config: b\r\nX-Portkey-Trace-Id: t\r\n");
        assert_eq!(gateway_header(&head, "config"), Some("b"));
        assert_eq!(gateway_header(&head, "trace-id"), Some("t"));
        assert_eq!(gateway_header(&head, "provider"), None);
        assert!(ClientFormat::of(&head).portkey);
    }

    #[test]
    fn credentials_are_not_forwarded() {
        let head = head("connection: x-mine\r\nx-mine: 1\r\nx-free: 2\r\n");
        for name in [
            "authorization",
            "x-api-key",
            "api-key",
            "cookie",
            "x-portkey-api-key",
            "x-mine",
            "xi-api-key",
            "ocp-apim-subscription-key",
            "cf-aig-authorization",
            "cookie2",
        ] {
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
    fn subprotocol_may_contain_a_key() {
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
    fn credentials_are_removed_from_queries() {
        for (query, expected) in [
            ("key=test-credential", None),
            ("alt=json&key=test-credential&pageSize=2", Some("alt=json&pageSize=2")),
            ("%6Bey=test-credential&access_token=t&keys=1", Some("keys=1")),
            ("API-Key=k&api_key=k&ApiKey=k&subscription-key=k", None),
            ("pageToken=key", Some("pageToken=key")),
            ("a=1&&b", Some("a=1&&b")),
            ("", None),
        ] {
            let mut head = RequestHead::default();
            let text = format!("GET /v1/files?{query} HTTP/1.1\r\nhost: h\r\n\r\n");
            head.parse(text.as_bytes(), &HeadLimits::default()).expect("a legal head");
            let found = client_query(&head, Some(Endpoint::PassThrough));
            assert_eq!(found.as_deref(), expected, "{query}");
        }
    }

    #[test]
    fn account_headers_need_the_clients_credential() {
        for (name, expected) in [
            ("openai-organization", Passage::WithAccount),
            ("openai-project", Passage::WithAccount),
            ("anthropic-organization-id", Passage::WithAccount),
            ("anthropic-workspace-id", Passage::WithAccount),
            ("openai-api-key", Passage::Closed),
            ("anthropic-proxy-authorization", Passage::Closed),
            ("openai-beta", Passage::Open),
            ("anthropic-beta", Passage::Open),
            ("anthropic-version", Passage::Open),
            ("anthropic-dangerous-direct-browser-access", Passage::Open),
            ("x-goog-user-project", Passage::Closed),
        ] {
            assert_eq!(passage(name), expected, "{name}");
        }
        for (name, expected) in [
            ("x-goog-user-project", true),
            ("chatgpt-account-id", true),
            ("x-amz-security-token", true),
            ("x-goog-api-client", false),
            ("x-team", false),
            ("x-project", false),
        ] {
            assert_eq!(selects_account(name), expected, "{name}");
        }
    }

    #[test]
    fn authorization_schemes_are_parsed() {
        assert_eq!(without_scheme(b"Bearer abc"), b"abc");
        assert_eq!(without_scheme(b"bearer  abc"), b"abc");
        assert_eq!(without_scheme(b"abc"), b"abc");
    }
}
