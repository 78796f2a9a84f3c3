//! The opening handshake of RFC 6455 on both sides: the client's request, the request to the provider,
//! and its response.
//!
//! The client's nonce travels on, so that one answer is right for both; it is checked where it comes
//! from the provider and computed again for the client. Of the subprotocols one may be a key, which
//! stays here, as do parameters of the query that could name another model or credential.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::auth::auth_fields;
use super::request::UpstreamRequest;
use super::request_fields::write_fields;
use crate::gateway::context::{
    Endpoint, GatewayError, RequestContext, client_query, key_in_subprotocol, percent_decoded,
    query_parameters, subprotocols,
};
use crate::http::{
    Framing, Method, RequestHead, ResponseHead, Version, end_head, is_token, write_field,
    write_request_line,
};
use crate::llm::{decode_base64, encode_base64};
use crate::providers::{Origin, PathParts, Payload};

/// What the server appends to the nonce (RFC 6455 section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The only version there is (RFC 6455 section 4.1).
const VERSION: &[u8] = b"13";

const NONCE_BYTES: usize = 16;

/// Parameters of the query that are not forwarded: the gateway writes the model itself, and keys stay
/// here.
const GATEWAY_PARAMETERS: [&str; 6] =
    ["model", "deployment", "api-key", "api_key", "apikey", "key"];

/// The handshake of a client.
#[derive(Debug)]
pub(crate) struct Handshake<'h> {
    /// As it came: base64 of 16 bytes.
    nonce: &'h [u8],
    /// Without the one that is a key.
    protocols: Vec<&'h [u8]>,
}

impl<'h> Handshake<'h> {
    /// Reads it off the request.
    pub(crate) fn read(head: &'h RequestHead) -> Result<Self, GatewayError> {
        // An upgrade of HTTP/1.0 is to be ignored (RFC 9110 section 7.8).
        let is_upgrade = head.method() == Method::Get
            && head.version() == Version::Http11
            && has_token(head.fields(), "connection", b"upgrade")
            && has_token(head.fields(), "upgrade", b"websocket")
            && only(head.fields(), "sec-websocket-version") == Some(VERSION);
        if !is_upgrade {
            return Err(GatewayError::UpgradeRequired);
        }
        let invalid = |text: &'static str| GatewayError::Invalid(text.into());
        if !matches!(head.framing(), Framing::None | Framing::Length(0)) {
            return Err(invalid("a WebSocket handshake has no body"));
        }
        let is_nonce = |text: &&[u8]| {
            let text = std::str::from_utf8(text).ok();
            let bytes = text.filter(|text| text.len() == 24).and_then(decode_base64);
            bytes.is_some_and(|bytes| bytes.len() == NONCE_BYTES)
        };
        let nonce = only(head.fields(), "sec-websocket-key").filter(is_nonce);
        let nonce = nonce.ok_or_else(|| {
            invalid("expected one `sec-websocket-key`, the base64 of 16 random bytes")
        })?;
        let mut protocols: Vec<_> = subprotocols(head).collect();
        if !protocols.iter().all(|protocol| is_token(protocol)) {
            return Err(invalid("expected `sec-websocket-protocol` to be a list of tokens"));
        }
        protocols.retain(|protocol| key_in_subprotocol(protocol).is_none());
        Ok(Self { nonce, protocols })
    }

    /// What proves that a server has understood the handshake.
    pub(crate) fn accept(&self) -> String {
        let text = [self.nonce, GUID].concat();
        encode_base64(digest(&SHA1_FOR_LEGACY_USE_ONLY, &text).as_ref())
    }

    /// The subprotocol that the provider chose, if its 101 is a response to this (RFC 6455
    /// section 4.1); else what is wrong with it.
    pub(crate) fn check_answer(
        &self,
        head: &ResponseHead,
    ) -> Result<Option<&'h [u8]>, &'static str> {
        let is_switched = has_token(head.fields(), "connection", b"upgrade")
            && only(head.fields(), "upgrade")
                .is_some_and(|it| it.eq_ignore_ascii_case(b"websocket"));
        if !is_switched {
            return Err("it switches to another protocol than WebSocket");
        }
        if only(head.fields(), "sec-websocket-accept") != Some(self.accept().as_bytes()) {
            return Err("its `sec-websocket-accept` is wrong");
        }
        if head.get("sec-websocket-extensions").is_some() {
            return Err("it uses a WebSocket extension that was not offered");
        }
        if head.get("sec-websocket-protocol").is_none() {
            return Ok(None);
        }
        let chosen = only(head.fields(), "sec-websocket-protocol");
        let offered = self.protocols.iter().find(|it| Some(**it) == chosen);
        offered.map(|it| Some(*it)).ok_or("it chose a subprotocol that was not offered")
    }
}

/// The model that the query names.
pub(crate) fn requested_model(head: &RequestHead) -> Result<Option<String>, GatewayError> {
    let mut models =
        query_parameters(head.query().unwrap_or_default()).filter(|(name, _)| name == "model");
    let model = models
        .next()
        .map(|(_, pair)| percent_decoded(pair.split_once('=').map_or("", |(_, value)| value)));
    if models.next().is_some() {
        return Err(GatewayError::Invalid("`model` stands in the query more than once".into()));
    }
    Ok(model.filter(|model| !model.is_empty()))
}

/// Writes the handshake as the provider gets it.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    context: &RequestContext<'_>,
    upstream_request: &UpstreamRequest,
    hops: u32,
) -> Result<(), GatewayError> {
    let handshake = Handshake::read(context.head)?;
    let provider = &upstream_request.upstream.provider;
    // The built-in provider is refused before it comes to this.
    let Origin::Http(base) = &provider.origin else { return Ok(()) };
    let model = upstream_request.model.as_deref();
    let path = provider.path(&PathParts { path: "/realtime", model, stream: false });
    let query = client_query(context.head, Some(Endpoint::Realtime)).unwrap_or_default();
    let target = [&*base.path, &*target(&path, &query, model)];
    write_request_line(out, Method::Get, &target);
    write_field(out, "host", base.authority.as_bytes());
    let proof = auth_fields(context.head, upstream_request, base, &target, Payload::Whole(&[]))?;
    write_fields(out, context, upstream_request, &proof, hops);
    write_upgrade_fields(out);
    write_field(out, "sec-websocket-key", handshake.nonce);
    if !handshake.protocols.is_empty() {
        write_field(out, "sec-websocket-protocol", &handshake.protocols.join(&b", "[..]));
    }
    end_head(out);
    Ok(())
}

/// The fields that name the protocol: in a handshake, and in the response to a request that is none.
pub(crate) fn write_upgrade_fields(out: &mut Vec<u8>) {
    write_field(out, "connection", b"upgrade");
    write_field(out, "upgrade", b"websocket");
    write_field(out, "sec-websocket-version", VERSION);
}

/// Path and query at the provider: the model under the provider's name for it, the parameters of the path, and the
/// client's other parameters.
fn target(path: &str, query: &str, model: Option<&str>) -> String {
    let set: Vec<_> =
        path.split_once('?').map(|(_, set)| query_parameters(set).collect()).unwrap_or_default();
    let is_set = |name: &str| set.iter().any(|(known, _)| known == name);
    let mut all = Vec::new();
    if let Some(model) = model.filter(|_| !is_set("deployment")) {
        all.push(format!("model={}", escaped(model)));
    }
    let others = query_parameters(query)
        .filter(|(name, _)| !GATEWAY_PARAMETERS.contains(&name.as_str()) && !is_set(name));
    all.extend(others.map(|(_, pair)| pair.to_owned()));
    let separator = match all.is_empty() {
        true => "",
        false if path.contains('?') => "&",
        false => "?",
    };
    format!("{path}{separator}{}", all.join("&"))
}

fn escaped(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:/@".contains(byte);
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if plain(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

/// True if a list in the fields of that name holds the token, in any case.
fn has_token<'f>(
    fields: impl Iterator<Item = (&'f str, &'f [u8])>,
    name: &str,
    token: &[u8],
) -> bool {
    let mut values = fields.filter(|(field, _)| *field == name).map(|(_, value)| value);
    values.any(|value| {
        let mut items = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        items.any(|item| item.eq_ignore_ascii_case(token))
    })
}

/// The value of the field, if there is exactly one.
fn only<'f>(fields: impl Iterator<Item = (&'f str, &'f [u8])>, name: &str) -> Option<&'f [u8]> {
    let mut values = fields.filter(|(field, _)| *field == name).map(|(_, value)| value);
    let first = values.next();
    first.filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HeadLimits;

    const NONCE: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    /// Of the example in RFC 6455 section 1.3.
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn request(line: &str, fields: &str) -> RequestHead {
        let mut head = RequestHead::default();
        let text = format!("{line}\r\nhost: h\r\n{fields}\r\n");
        head.parse(text.as_bytes(), &HeadLimits::default()).expect("a legal head");
        head
    }

    fn good(more: &str) -> RequestHead {
        let fields = format!(
            "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: {NONCE}\r\n{more}"
        );
        request("GET /v1/realtime HTTP/1.1", &fields)
    }

    fn outcome(head: &RequestHead) -> (u16, Option<String>) {
        match Handshake::read(head) {
            Ok(handshake) => (101, Some(handshake.accept())),
            Err(failure) => (failure.spec().status, None),
        }
    }

    #[test]
    fn handshakes_are_recognized() {
        assert_eq!(outcome(&good("")), (101, Some(ACCEPT.to_owned())));
        let [connection, upgrade, version, key] = [
            "connection: upgrade\r\n",
            "upgrade: websocket\r\n",
            "sec-websocket-version: 13\r\n",
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        ];
        let get = "GET /v1/realtime HTTP/1.1";
        for (line, fields, status) in [
            (get, [connection, upgrade, version, key].concat(), 101),
            (get, ["connection: close\r\n", connection, upgrade, version, key].concat(), 101),
            (get, [connection, upgrade, version, key, "content-length: 0\r\n"].concat(), 101),
            (get, String::new(), 426),
            (get, [upgrade, version, key].concat(), 426),
            (get, [connection, version, key].concat(), 426),
            (get, [connection, "upgrade: h2c\r\n", version, key].concat(), 426),
            (get, [connection, upgrade, key].concat(), 426),
            (get, [connection, upgrade, "sec-websocket-version: 8\r\n", key].concat(), 426),
            (get, [connection, upgrade, version, version, key].concat(), 426),
            ("GET /v1/realtime HTTP/1.0", [connection, upgrade, version, key].concat(), 426),
            ("HEAD /v1/realtime HTTP/1.1", [connection, upgrade, version, key].concat(), 426),
            (get, [connection, upgrade, version].concat(), 400),
            (get, [connection, upgrade, version, key, key].concat(), 400),
            (get, [connection, upgrade, version, "sec-websocket-key: short\r\n"].concat(), 400),
            (get, [connection, upgrade, version, key, "content-length: 5\r\n"].concat(), 400),
            (
                get,
                [connection, upgrade, version, key, "sec-websocket-protocol: a b\r\n"].concat(),
                400,
            ),
        ] {
            assert_eq!(outcome(&request(line, &fields)).0, status, "{line} {fields}");
        }
    }

    #[test]
    fn only_matching_handshake_response_is_accepted() {
        let head = good(
            "sec-websocket-protocol: realtime, openai-insecure-api-key.k, openai-beta.realtime-v1\r\n",
        );
        let handshake = Handshake::read(&head).expect("a handshake");
        assert_eq!(handshake.protocols, [&b"realtime"[..], b"openai-beta.realtime-v1"]);
        let switch = "connection: Upgrade\r\nupgrade: websocket\r\n";
        let accept = format!("sec-websocket-accept: {ACCEPT}\r\n");
        for (fields, expected) in [
            (format!("{switch}{accept}"), Ok(None)),
            (
                format!("{switch}{accept}sec-websocket-protocol: realtime\r\n"),
                Ok(Some(&b"realtime"[..])),
            ),
            (format!("{switch}{accept}sec-websocket-protocol: other\r\n"), Err("subprotocol")),
            (
                format!("{switch}{accept}sec-websocket-protocol: openai-insecure-api-key.k\r\n"),
                Err("subprotocol"),
            ),
            (
                format!("{switch}{accept}sec-websocket-extensions: permessage-deflate\r\n"),
                Err("extension"),
            ),
            (switch.to_owned(), Err("accept")),
            (format!("{switch}{accept}{accept}"), Err("accept")),
            (format!("{switch}sec-websocket-accept: {NONCE}\r\n"), Err("accept")),
            (format!("upgrade: websocket\r\n{accept}"), Err("another protocol")),
            (format!("connection: upgrade\r\nupgrade: h2c\r\n{accept}"), Err("another protocol")),
        ] {
            let mut answer = ResponseHead::default();
            let text = format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n");
            let limits = HeadLimits::default();
            answer.parse(text.as_bytes(), Method::Get, &limits).expect("a legal head");
            match (handshake.check_answer(&answer), expected) {
                (Err(reason), Err(word)) => assert!(reason.contains(word), "{reason}: {fields}"),
                (found, expected) => assert_eq!(found, expected, "{fields}"),
            }
        }
    }

    #[test]
    fn model_is_read_and_replaced_in_query() {
        for (query, expected) in [
            ("?model=gpt-realtime", Ok(Some("gpt-realtime"))),
            ("?x=1&model=openai%2Fgpt-realtime&y", Ok(Some("openai/gpt-realtime"))),
            ("?%6dodel=m", Ok(Some("m"))),
            ("?model=", Ok(None)),
            ("?models=m", Ok(None)),
            ("", Ok(None)),
            ("?model=a&model=b", Err(())),
            ("?model=a&MODEL=b", Err(())),
        ] {
            let head = request(&format!("GET /v1/realtime{query} HTTP/1.1"), "");
            let found = requested_model(&head).map_err(|_| ());
            assert_eq!(found, expected.map(|model| model.map(str::to_owned)), "{query}");
        }
    }

    #[test]
    fn handshake_target_is_rewritten() {
        let azure = "/realtime?api-version=1&deployment=d";
        for (path, query, model, expected) in [
            ("/realtime", "model=p/m", Some("m"), "/realtime?model=m"),
            ("/realtime", "a=1&model=p/m&b", Some("m"), "/realtime?model=m&a=1&b"),
            ("/realtime", "model=x", Some("a b&c"), "/realtime?model=a%20b%26c"),
            ("/realtime", "intent=transcription", None, "/realtime?intent=transcription"),
            ("/realtime", "", None, "/realtime"),
            ("/realtime", "api-key=k&KEY=k&%61pikey=k&deployment=other", None, "/realtime"),
            (
                azure,
                "model=m&api-version=2&a=1",
                Some("m"),
                "/realtime?api-version=1&deployment=d&a=1",
            ),
        ] {
            assert_eq!(target(path, query, model), expected, "{query}");
        }
    }
}
