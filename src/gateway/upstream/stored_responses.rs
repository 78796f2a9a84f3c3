//! What a client of OpenAI's responses refers to by id where its provider is another vendor's: items and
//! answers that the gateway has translated and keeps for a while.
//!
//! A reference becomes what it stands for before the request is read, so that no dialect needs to know
//! of it. An answer is known to the key that requested it and to no other. A client that says
//! `"store": false` sends all itself, and nothing of it is kept. Absent: requests that a provider of
//! the responses API answers, whose references are its own.

use std::collections::HashMap;

use bytes::Bytes;

use super::client_request;
use super::edits::BodyEdit;
use super::resolve::ResolvedProvider;
use super::translation::{ChatTranslation, StoredInput};
use crate::base::unix_now;
use crate::cache::{Key, StoredResponse};
use crate::dialects::{ClientCodec, response_name, response_name_of_item};
use crate::gateway::context::{
    Body, Endpoint, Exchange, GatewayError, Request, RequestContext, bounded, presented_keys,
};
use crate::gateway::downstream::local::LocalResponse;
use crate::http::Method;
use crate::llm::{ArrayWriter, ChatRequest, Dialect, Json, Node, write_array, write_object};

/// Answers that one conversation may go back, at most.
const CHAIN_MAX: usize = 1024;

/// The path that answers are below.
const FOLDER: &str = "/v1/responses/";

/// Members that point to state which only their provider has.
const ONLY_THERE: [&str; 3] = ["background", "conversation", "prompt"];

/// Something in `input`.
enum InputItem {
    Whole(Json),
    Reference(String),
}

/// Items of answers, by the answer's name.
#[derive(Default)]
struct ReferencedItems(HashMap<String, Vec<(String, Json)>>);

/// The request, with `edits` made to it and its references replaced.
pub(crate) fn read(
    context: &RequestContext<'_>,
    request: &Request,
    edits: &[BodyEdit],
    client: &dyn ClientCodec,
) -> Result<ChatRequest, GatewayError> {
    let chat_request = client_request::read(context, request, edits, client)?;
    let state = chat_request.needs_state.as_deref();
    if !matches!(state, Some("item_reference" | "previous_response_id")) {
        return Ok(chat_request);
    }
    let read = |root: Node<'_>| (previous_of(root), items_of(root));
    let read = client_request::read_with(context, request, edits, |root, _| Ok(read(root)));
    let (previous, own) = read?;
    let mut json = Vec::new();
    write_array(&mut json, |array| {
        let mut found = ReferencedItems::default();
        for response in chain(context, previous)?.iter().rev() {
            let input = [b"{\"input\":", &*response.input, b"}"].concat();
            let input =
                context.worker.scanner().read(&input, items_of).map_err(GatewayError::Json)?;
            append(context, input, &mut found, array)?;
            output_of(context, response).iter().for_each(|(_, item)| array.raw(item));
        }
        append(context, own, &mut found, array)
    })?;
    let limit = context.snapshot.settings.server.body_bytes_max as u64;
    if json.len() as u64 > limit {
        return Err(GatewayError::BodyTooLarge { limit });
    }
    let mut edits = edits.to_vec();
    edits.push(BodyEdit::Set { key: "input".to_owned(), json });
    let mut chat_request = client_request::read(context, request, &edits, client)?;
    let other =
        chat_request.extra_fields.iter().find(|(key, _)| ONLY_THERE.contains(&key.as_str()));
    chat_request.needs_state = other.map(|(key, _)| key.clone());
    Ok(chat_request)
}

fn previous_of(root: Node<'_>) -> Option<String> {
    root.get("previous_response_id").and_then(Node::text).map(str::to_owned)
}

fn items_of(root: Node<'_>) -> Vec<InputItem> {
    let Some(input) = root.get("input") else { return Vec::new() };
    if let Some(text) = input.text() {
        let mut message = Vec::new();
        write_object(&mut message, |object| {
            object.text("role", "user");
            object.text("content", text);
        });
        return Json::parse(&String::from_utf8_lossy(&message))
            .map(InputItem::Whole)
            .into_iter()
            .collect();
    }
    let item = |item: Node<'_>| {
        let is_bare = item.get("type").is_none() && item.get("role").is_none();
        let id = item.get("id").and_then(Node::text);
        match id.filter(|_| is_bare || item.text_of("type") == "item_reference") {
            Some(id) => InputItem::Reference(id.to_owned()),
            None => InputItem::Whole(item.json()),
        }
    };
    input.items().map(item).collect()
}

/// The answers before this request, the latest first.
fn chain(
    context: &RequestContext<'_>,
    mut previous: Option<String>,
) -> Result<Vec<std::sync::Arc<StoredResponse>>, GatewayError> {
    let mut found = Vec::new();
    while let Some(id) = previous {
        let key = key(context, response_name(&id));
        let response = context.worker.responses().find(key, unix_now());
        let response = response.filter(|_| found.len() < CHAIN_MAX);
        let response = response.ok_or_else(|| unknown("previous_response_id", &id))?;
        previous = response.previous.clone();
        found.push(response);
    }
    Ok(found)
}

/// Appends items, those that are referred to in place of their references.
fn append(
    context: &RequestContext<'_>,
    items: Vec<InputItem>,
    found: &mut ReferencedItems,
    array: &mut ArrayWriter<'_>,
) -> Result<(), GatewayError> {
    for item in items {
        match item {
            InputItem::Whole(json) => array.raw(&json),
            InputItem::Reference(id) => {
                let item =
                    found.item(context, &id).ok_or_else(|| unknown("item_reference", &id))?;
                array.raw(item);
            }
        }
    }
    Ok(())
}

impl ReferencedItems {
    fn item(&mut self, context: &RequestContext<'_>, id: &str) -> Option<&Json> {
        let name = response_name_of_item(id)?;
        if !self.0.contains_key(name) {
            let response = context.worker.responses().find(key(context, name), unix_now())?;
            self.0.insert(name.to_owned(), output_of(context, &response));
        }
        self.0.get(name)?.iter().find(|(known, _)| known == id).map(|(_, item)| item)
    }
}

/// The items of an answer with their ids.
fn output_of(context: &RequestContext<'_>, response: &StoredResponse) -> Vec<(String, Json)> {
    let items = |root: Node<'_>| {
        let output = root.get("output").into_iter().flat_map(Node::items);
        output.map(|item| (item.text_of("id").to_owned(), item.json())).collect()
    };
    // It is the gateway's own writing.
    context.worker.scanner().read(&response.answer, items).unwrap_or_default()
}

fn unknown(what: &str, id: &str) -> GatewayError {
    let text = format!(
        "`{what}` names `{}`, which is not kept here (any more): the provider keeps no answers, and the \
         gateway does so for half an hour after their last use; send the whole conversation with \
         `store: false`",
        bounded(id)
    );
    GatewayError::Invalid(text.into())
}

/// The name of an answer in the store: its owner's and its own.
fn key(context: &RequestContext<'_>, name: &str) -> Key {
    let mut key = context.worker.cache().key();
    key.part(b"response");
    let ring = &context.snapshot.settings.keys;
    let found = presented_keys(context.head).find_map(|secret| ring.find(secret));
    key.optional(found.map(|found| found.name.as_bytes()));
    if found.is_none() {
        // Without virtual keys, clients are distinguished by the secrets that they present.
        for secret in presented_keys(context.head) {
            key.part(secret);
        }
    }
    key.part(name.as_bytes()).finish()
}

/// What is kept of a request beside its answer; none where the client wants nothing kept.
pub(crate) fn stored_input(request: &Request, chat_request: &ChatRequest) -> Option<StoredInput> {
    let is_responses = request.endpoint == Endpoint::Responses;
    let (Body::Json { bytes, outline }, true) = (&request.body, is_responses) else { return None };
    let member = |name: &str| chat_request.extra_fields.iter().find(|(key, _)| key == name);
    if member("store").is_some_and(|(_, it)| it.json.text() == "false") {
        return None;
    }
    let previous = member("previous_response_id");
    let previous = previous.and_then(|(_, it)| serde_json::from_str(it.json.text()).ok());
    let input = outline.value(bytes, "input").unwrap_or(b"[]");
    Some(StoredInput { input: Bytes::copy_from_slice(input), previous })
}

/// Keeps a whole answer as the client got it.
pub(crate) fn keep_whole(exchange: &Exchange<'_>, chat: &ChatTranslation, answer: &[u8]) {
    if chat.stored_input.is_some() {
        keep(exchange, chat, answer);
    }
}

/// Keeps the answer of a stream, which its last event holds.
pub(crate) fn keep_streamed(exchange: &Exchange<'_>, chat: &ChatTranslation, events: &[u8]) {
    if chat.stored_input.is_none() {
        return;
    }
    let data = events.rsplit(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"data: "));
    let whole = |root: Node<'_>| root.get("response").map(Node::json);
    let read = data.and_then(|data| exchange.worker.scanner().read(data, whole).ok().flatten());
    if let Some(answer) = read {
        keep(exchange, chat, answer.text().as_bytes());
    }
}

fn keep(exchange: &Exchange<'_>, chat: &ChatTranslation, answer: &[u8]) {
    let Some(StoredInput { input, previous }) = &chat.stored_input else { return };
    let id = |root: Node<'_>| root.text_of("id").to_owned();
    let Ok(id) = exchange.worker.scanner().read(answer, id) else { return };
    let response = StoredResponse {
        previous: previous.clone(),
        input: input.clone(),
        answer: Bytes::copy_from_slice(answer),
    };
    let key = key(exchange.context, response_name(&id));
    exchange.worker.responses().keep(key, response, unix_now());
}

/// The gateway's own answer to a path below [`FOLDER`] where the provider has no such API: an answer
/// that is kept, or that it was forgotten. None for other requests.
pub(crate) fn answer(
    context: &RequestContext<'_>,
    request: &Request,
    resolved: &ResolvedProvider,
) -> Result<Option<LocalResponse>, GatewayError> {
    let rest = context.head.path().strip_prefix(FOLDER);
    let Some(rest) = rest.filter(|_| request.endpoint == Endpoint::PassThrough) else {
        return Ok(None);
    };
    let provider = &resolved.upstream.provider;
    let dialect = provider.dialect_toward(Dialect::OpenaiResponses, resolved.model.as_deref());
    if matches!(dialect, Dialect::OpenaiResponses | Dialect::Passthrough) {
        return Ok(None);
    }
    let key = || key(context, response_name(rest));
    let responses = context.worker.responses();
    match context.head.method() {
        Method::Get | Method::Head => {
            if let Some(response) = responses.find(key(), unix_now()) {
                return Ok(Some(LocalResponse::json(200, response.answer.to_vec())));
            }
        }
        Method::Delete if responses.forget(key()) => {
            let mut body = Vec::new();
            write_object(&mut body, |root| {
                root.text("id", rest);
                root.text("object", "response");
                root.flag("deleted", true);
            });
            return Ok(Some(LocalResponse::json(200, body)));
        }
        _ => {}
    }
    let text = format!(
        "`{FOLDER}{}` is for providers with OpenAI's responses API, and provider `{}` speaks {}",
        bounded(rest),
        provider.name,
        dialect.name()
    );
    Err(GatewayError::Invalid(text.into()))
}
