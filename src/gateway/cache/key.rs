//! The key of an answer: everything that could make it another one.
//!
//! The client, the route and what it edits, the providers there are and what each is sent besides, the
//! path, the query and the headers that travel on (all from the same lists as the request to the
//! provider, in `fields.rs`), every member of the body but those that only choose the form of the
//! answer. For the semantic tier all of
//! it but the words of the last user turn makes the partition, which nothing fuzzy crosses.

use std::ops::Range;

use super::format::StoredRequest;
use crate::cache::{
    Key, KeyBuilder, SemanticQuery, is_foreign, is_time_bound, normalize, stands_alone,
};
use crate::gateway::context::{
    Endpoint, Exchange, client_fields, client_path, client_query, presented_keys,
};
use crate::llm::{Dialect, LastTurn, Outline, without_history};
use crate::routing::{Attributes, CacheMode, CacheRule, CacheScope, Route};

/// Members of a body that change the form of an answer or name the end user, not its content.
const FORM_MEMBERS: [&[u8]; 3] = [b"stream", b"stream_options", b"user"];

/// Headers that are forwarded and do not affect the answer.
const NEUTRAL_HEADERS: [&str; 3] = ["traceparent", "tracestate", "user-agent"];

/// Headers that do not affect the answer with the value that client libraries send, in lower
/// case; any other value makes another request.
const USUAL_HEADERS: [(&str, &[&[u8]]); 3] = [
    ("accept", &[b"*/*", b"application/json", b"text/event-stream"]),
    ("anthropic-version", &[b"2023-06-01"]),
    ("content-type", &[b"application/json", b"application/json; charset=utf-8"]),
];

/// A longer request is not taken apart for its last turn.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// What an answer is stored under.
pub(crate) struct CacheKeys {
    /// Its own.
    pub key: Key,
    /// The question, if the answer may be found by meaning.
    pub query: Option<SemanticQuery>,
    /// A hash of the question as it was written; 0 where that is all in the key.
    pub wording: u64,
    /// True if the answer will soon be another one.
    pub is_time_bound: bool,
}

/// A question in the body.
struct QuestionMember {
    /// The member it stands in.
    member: &'static [u8],
    turn: LastTurn,
    /// Where the messages stand that count, if it stands alone and the route ignores its history.
    alone: Option<Vec<Range<usize>>>,
}

/// The keys of the answer to a request. None where the route wants a user and the request names none.
pub(crate) fn cache_keys(
    exchange: &Exchange<'_>,
    route: &Route,
    rule: &CacheRule,
    (stored, attributes): (&StoredRequest<'_>, &dyn Attributes),
) -> Option<CacheKeys> {
    let (outline, bytes) = (stored.outline.as_ref(), stored.bytes.as_ref());
    let question = question(exchange, rule, stored.endpoint, (outline, bytes));
    let mut key = exchange.worker.cache().key();
    key.part(stored.endpoint.name().as_bytes());
    key.part(route.name.as_bytes())
        .part(&rule.fingerprint)
        .part(exchange.snapshot.providers_fingerprint());
    key.optional(exchange.gateway_header("cache-namespace").map(str::as_bytes));
    add_scope(&mut key, exchange, rule.scope, outline)?;
    add_target(&mut key, exchange, route);
    add_headers(&mut key, exchange, route);
    add_fields(&mut key, attributes, route);
    add_body(&mut key, outline, bytes, question.as_ref());
    let Some(QuestionMember { turn, .. }) = question else {
        return Some(CacheKeys {
            key: key.finish(),
            query: None,
            wording: 0,
            is_time_bound: false,
        });
    };
    let partition = key.partition();
    let own = key.clone().part(normalize(&turn.text).as_bytes()).finish();
    let wording = key.part(turn.text.as_bytes()).finish().bits();
    let is_time_bound = is_time_bound(&turn.text);
    // Only English has tables that distinguish near questions.
    let query =
        (!is_foreign(&turn.text)).then_some(SemanticQuery { key: own, partition, text: turn.text });
    Some(CacheKeys { key: own, query, wording, is_time_bound })
}

/// Who shares the answer. None where the route wants a user and the request names none.
fn add_scope(
    key: &mut KeyBuilder,
    exchange: &Exchange<'_>,
    scope: CacheScope,
    outline: &Outline,
) -> Option<()> {
    if scope == CacheScope::Shared {
        key.part(b"shared");
        return Some(());
    }
    key.part(b"key").optional(exchange.record.key.as_deref().map(str::as_bytes));
    if exchange.record.key.is_none() {
        // Without virtual keys, clients are distinguished by the secrets that they present.
        presented_keys(exchange.head).for_each(|secret| {
            key.part(secret);
        });
    }
    if scope == CacheScope::User {
        let named = user_of_key(exchange).or_else(|| user_of_metadata(exchange));
        let named = named.or_else(|| outline.user.clone());
        key.part(b"user").part(named.filter(|user| !user.is_empty())?.as_bytes());
    }
    Some(())
}

/// `_user` of the key's metadata, which takes precedence over the request's.
fn user_of_key(exchange: &Exchange<'_>) -> Option<String> {
    exchange.record.metadata.as_ref()?.get("_user").cloned()
}

/// `_user` of the metadata header, Portkey's place for it.
fn user_of_metadata(exchange: &Exchange<'_>) -> Option<String> {
    let metadata: serde_json::Value =
        serde_json::from_str(exchange.gateway_header("metadata")?).ok()?;
    metadata.get("_user")?.as_str().map(str::to_owned)
}

/// Headers that choose the provider or travel on to it.
fn add_headers(key: &mut KeyBuilder, exchange: &Exchange<'_>, route: &Route) {
    for name in ["provider", "virtual-key", "custom-host", "forward-headers"] {
        key.optional(exchange.gateway_header(name).map(str::as_bytes));
    }
    let forwarded = exchange.gateway_header("forward-headers").unwrap_or_default();
    let is_named = |name: &str| {
        route.targets.iter().flat_map(|it| &*it.forward_headers).any(|it| it == name)
            || forwarded.split(',').any(|it| it.trim().eq_ignore_ascii_case(name))
    };
    for field in client_fields(exchange.head, is_named) {
        let (name, value) = (field.name, field.value);
        let is_usual = USUAL_HEADERS.iter().any(|(known, values)| {
            *known == name && values.iter().any(|usual| value.eq_ignore_ascii_case(usual))
        });
        if !is_usual && !NEUTRAL_HEADERS.contains(&name) {
            key.part(name.as_bytes()).part(value);
        }
    }
}

/// Path and query as far as they travel on. The path of a conversation follows from its endpoint, so that
/// those of all dialects share their answers; so is that of ranks unless a provider takes it as it is.
fn add_target(key: &mut KeyBuilder, exchange: &Exchange<'_>, route: &Route) {
    let endpoint = exchange.record.endpoint;
    let is_conversation = endpoint.and_then(Endpoint::chat_dialect).is_some();
    let is_made_anew = endpoint == Some(Endpoint::Rerank) && !may_forward_rerank(exchange, route);
    let path = (!is_conversation && !is_made_anew).then(|| client_path(exchange.head).as_bytes());
    key.optional(path);
    key.optional(client_query(exchange.head, endpoint).as_deref().map(str::as_bytes));
}

/// True if a provider that takes the path of ranks as it comes may be asked, or one that the settings do
/// not name.
fn may_forward_rerank(exchange: &Exchange<'_>, route: &Route) -> bool {
    let takes = |dialect| matches!(dialect, Dialect::CohereChat | Dialect::Passthrough);
    let snapshot = &exchange.snapshot;
    let of_route = route.targets.iter().filter_map(|target| target.provider.as_deref());
    let of_client =
        ["provider", "virtual-key"].into_iter().filter_map(|name| exchange.gateway_header(name));
    let is_unlisted = |name: &str| snapshot.upstream(name.trim_start_matches('@')).is_none();
    snapshot.settings.providers.iter().any(|provider| takes(provider.dialect))
        || of_route.chain(of_client).any(is_unlisted)
}

/// What decides where the request goes: conditions on the client send others to other models.
fn add_fields(key: &mut KeyBuilder, attributes: &dyn Attributes, route: &Route) {
    for field in &route.fields {
        let value = attributes.value(field).map(|value| value.to_string());
        key.optional(value.as_deref().map(str::as_bytes));
    }
}

/// Every member of the body as it is written, whatever their order.
fn add_body(
    key: &mut KeyBuilder,
    outline: &Outline,
    body: &[u8],
    question: Option<&QuestionMember>,
) {
    let is_neutral = |name: &[u8], value: &[u8]| {
        // What the provider is not to keep is answered alike.
        FORM_MEMBERS.contains(&name) || (name == b"store" && value == b"false")
    };
    let mut members: Vec<_> =
        outline.members(body).filter(|(name, value)| !is_neutral(name, value)).collect();
    members.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    for (name, value) in members {
        key.part(if name.as_ref() == b"max_completion_tokens" { b"max_tokens" } else { &name });
        match question.filter(|question| question.member == name.as_ref()) {
            None => {
                key.part(value);
            }
            Some(QuestionMember { turn, alone, .. }) => {
                let part = |range: Range<usize>| value.get(range).unwrap_or_default();
                let LastTurn { span: Range { start, end }, .. } = *turn;
                let Some((last, instructions)) = alone.as_ref().and_then(|it| it.split_last())
                else {
                    key.part(b"question").part(part(0..start)).part(part(end..value.len()));
                    continue;
                };
                key.part(b"question alone");
                for instruction in instructions {
                    key.part(part(instruction.clone()));
                }
                key.part(part(last.start..start)).part(part(end..last.end));
            }
        }
    }
}

/// The question of a request whose answer may be found by meaning: its last turn is one text, short
/// enough and in words, and it wants one answer without tools.
fn question(
    exchange: &Exchange<'_>,
    rule: &CacheRule,
    endpoint: Endpoint,
    (outline, body): (&Outline, &[u8]),
) -> Option<QuestionMember> {
    let limits = &exchange.snapshot.settings.semantic_cache;
    let member: &[u8] = match endpoint {
        Endpoint::ChatCompletions => b"messages",
        Endpoint::Completions => b"prompt",
        _ => return None,
    };
    if rule.mode == CacheMode::Simple || !limits.enabled || body.len() > BODY_BYTES_MAX {
        return None;
    }
    let mut value = None;
    for (name, bytes) in outline.members(body) {
        match name.as_ref() {
            b"n" if bytes != b"1" => return None,
            b"tools" | b"functions" | b"audio" | b"suffix" if bytes != b"null" => return None,
            name if name == member => value = Some(bytes),
            _ => {}
        }
    }
    let turn = match endpoint {
        Endpoint::Completions => LastTurn::of_prompt(value?)?,
        _ => LastTurn::of_messages(value?)?,
    };
    let is_text = turn.text.contains(char::is_alphabetic)
        && !turn.text.contains(|it: char| it.is_control() && it != '\n' && it != '\t');
    let fits = turn.text.len() <= limits.text_bytes_max;
    if !fits || !is_text {
        return None;
    }
    let is_compared_alone = matches!(rule.mode, CacheMode::Semantic { standalone_turns: true, .. });
    let alone =
        if is_compared_alone && endpoint == Endpoint::ChatCompletions && stands_alone(&turn.text) {
            without_history(value?)
        } else {
            None
        };
    Some(QuestionMember { member, turn, alone })
}
