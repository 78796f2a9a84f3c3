//! Cohere's chat, embeddings and reranking, version 2 (docs.cohere.com/v2/reference, the `cohere` package's types).

use serde_json::{Value, json};

use super::chat_request::{ChatRequest, Choice, Format, Part, Role, Tool};
use super::cohere_vectors;
use super::frames::{EventFrames, named_sse};
use super::openai_messages::media;
use super::path::CohereCall;
use super::reading::{Flaw, Node, Refusal};
use super::script::{Piece, Script, Stop, TokenUsage, fragments_of, words_of};
use super::{Dialect, Headers, Reply, Request};

const MEMBERS: &[&str] = &[
    "citation_options",
    "documents",
    "frequency_penalty",
    "k",
    "logprobs",
    "max_tokens",
    "messages",
    "model",
    "p",
    "presence_penalty",
    "priority",
    "response_format",
    "safety_mode",
    "seed",
    "stop_sequences",
    "stream",
    "strict_tools",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
];
const ID: &str = "00000000-0000-4000-8000-000000000002";

/// One of the calls.
pub struct Cohere(pub CohereCall);

impl Dialect for Cohere {
    fn read(&self, _: &Request, body: &Value) -> Result<ChatRequest, Refusal> {
        let root = Node::root(body);
        root.only(MEMBERS)?;
        let mut chat = ChatRequest::new(root.need("model")?.text()?);
        chat.stream = root.get("stream").map_or(Ok(false), |flag| flag.flag())?;
        read_settings(&root, &mut chat)?;
        chat.tools = root.list("tools")?.iter().map(tool).collect::<Result<_, _>>()?;
        if let Some(choice) = root.get("tool_choice") {
            if chat.tools.is_empty() {
                return Err(choice.broken("tool_choice needs tools"));
            }
            chat.choice = match choice.one_of(&["REQUIRED", "NONE"])? {
                "NONE" => Choice::None,
                _ => Choice::Required,
            };
        }
        if chat.format != Format::Text && !chat.tools.is_empty() {
            return Err(Refusal::rule("response_format cannot be combined with tools"));
        }
        read_messages(&root.need("messages")?, &mut chat)?;
        Ok(chat)
    }

    fn refuse(&self, refusal: &Refusal) -> Reply {
        let path = &refusal.path;
        let (status, message) = match &refusal.flaw {
            Flaw::Missing => (400, format!("invalid request: {path} is required")),
            Flaw::Unknown => {
                let name = path.rsplit('.').next().unwrap_or_default();
                (422, format!("unknown field: parameter '{name}' is not a valid field"))
            }
            Flaw::Type(expected) => {
                (400, format!("invalid type: parameter {path} is not {expected}"))
            }
            Flaw::Rule(rule) if path.is_empty() => (400, format!("invalid request: {rule}")),
            Flaw::Rule(rule) => (400, format!("invalid request: {path}: {rule}")),
            Flaw::Unauthenticated => (401, "no api key supplied".to_owned()),
            Flaw::InvalidJson(error) => (400, format!("failed to parse the body as JSON: {error}")),
            Flaw::Scripted => {
                (refusal.status, format!("The mock was told to answer {}.", refusal.status))
            }
        };
        Reply::json(status, &json!({"id": ID, "message": message})).with_retry_after()
    }

    fn whole(&self, _: &ChatRequest, script: &Script) -> Value {
        let mut message = json!({"role": "assistant"});
        let mut content = Vec::new();
        for piece in &script.pieces {
            match piece {
                Piece::Thought(text) => content.push(json!({"type": "thinking", "thinking": text})),
                Piece::Text(text) if plans(script) => message["tool_plan"] = json!(text),
                Piece::Text(text) => content.push(json!({"type": "text", "text": text})),
                Piece::HiddenThinking | Piece::Call { .. } => {}
            }
        }
        let calls: Vec<_> = script
            .calls()
            .map(|(number, name, arguments)| call(number, name, &arguments.to_string()))
            .collect();
        if !calls.is_empty() {
            message["tool_calls"] = json!(calls);
        }
        if !content.is_empty() {
            message["content"] = json!(content);
        }
        json!({"id": ID, "finish_reason": finish(script.stop), "message": message, "usage": usage(&script.usage)})
    }

    fn events(&self, _: &ChatRequest, script: &Script) -> EventFrames {
        let mut events = EventFrames::default();
        let start = json!({"message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}});
        events.push(named_sse(&json!({"id": ID, "type": "message-start", "delta": start})));
        let (mut contents, mut calls) = (0, 0);
        for piece in &script.pieces {
            match piece {
                Piece::HiddenThinking => {}
                Piece::Text(text) if plans(script) => {
                    for word in words_of(text) {
                        let delta = json!({"message": {"tool_plan": word}});
                        events
                            .delta(named_sse(&json!({"type": "tool-plan-delta", "delta": delta})));
                    }
                }
                Piece::Thought(text) | Piece::Text(text) => {
                    let kind = if matches!(piece, Piece::Text(_)) { "text" } else { "thinking" };
                    content_events(&mut events, contents, kind, text);
                    contents += 1;
                }
                Piece::Call { number, name, arguments } => {
                    call_events(
                        &mut events,
                        calls,
                        call(*number, name, ""),
                        &arguments.to_string(),
                    );
                    calls += 1;
                }
            }
        }
        let end = json!({"finish_reason": finish(script.stop), "usage": usage(&script.usage)});
        events.push(named_sse(&json!({"type": "message-end", "id": ID, "delta": end})));
        events.push(b"data: [DONE]\n\n".to_vec());
        events
    }

    fn error_event(&self, _: &ChatRequest, _: usize) -> Vec<u8> {
        let delta = json!({"finish_reason": "ERROR", "error": "The mock was told to fail."});
        named_sse(&json!({"type": "message-end", "id": ID, "delta": delta}))
    }

    fn authenticate(&self, headers: &Headers) -> Result<(), Refusal> {
        if headers.has_bearer() { Ok(()) } else { Err(Refusal::unauthenticated(401)) }
    }

    fn aside(&self, _: &Request, body: &Value) -> Option<Result<Value, Refusal>> {
        match self.0 {
            CohereCall::Chat => None,
            CohereCall::Embed => Some(cohere_vectors::embed(body)),
            CohereCall::Rerank => Some(cohere_vectors::rerank(body)),
        }
    }
}

/// Text before calls is the plan to call them.
fn plans(script: &Script) -> bool {
    script.calls().next().is_some()
}

fn call(number: usize, name: &str, arguments: &str) -> Value {
    let function = json!({"name": name, "arguments": arguments});
    json!({"id": format!("{name}_mock{number:06}"), "type": "function", "function": function})
}

fn content_events(events: &mut EventFrames, index: usize, kind: &str, text: &str) {
    let content = json!({"message": {"content": {"type": kind, kind: ""}}});
    events.push(named_sse(&json!({"type": "content-start", "index": index, "delta": content})));
    for word in words_of(text) {
        let delta = json!({"message": {"content": {kind: word}}});
        events.delta(named_sse(&json!({"type": "content-delta", "index": index, "delta": delta})));
    }
    events.push(named_sse(&json!({"type": "content-end", "index": index})));
}

fn call_events(events: &mut EventFrames, index: usize, start: Value, arguments: &str) {
    let delta = json!({"message": {"tool_calls": start}});
    events.push(named_sse(&json!({"type": "tool-call-start", "index": index, "delta": delta})));
    for fragment in fragments_of(arguments) {
        let delta = json!({"message": {"tool_calls": {"function": {"arguments": fragment}}}});
        events
            .delta(named_sse(&json!({"type": "tool-call-delta", "index": index, "delta": delta})));
    }
    events.push(named_sse(&json!({"type": "tool-call-end", "index": index})));
}

fn finish(stop: Stop) -> &'static str {
    match stop {
        Stop::Done | Stop::Refused => "COMPLETE",
        Stop::Calls => "TOOL_CALL",
        Stop::Length => "MAX_TOKENS",
    }
}

fn usage(usage: &TokenUsage) -> Value {
    json!({
        "billed_units": {"input_tokens": usage.input, "output_tokens": usage.output},
        "tokens": {"input_tokens": usage.input, "output_tokens": usage.output},
        "cached_tokens": usage.cache_read,
    })
}

fn read_settings(root: &Node, chat: &mut ChatRequest) -> Result<(), Refusal> {
    root.range("temperature", 0.0, f64::MAX)?;
    root.range("p", 0.01, 0.99)?;
    root.range("k", 0.0, 500.0)?;
    root.range("frequency_penalty", 0.0, 1.0)?;
    root.range("presence_penalty", 0.0, 1.0)?;
    root.range("max_tokens", 0.0, f64::MAX)?;
    chat.max_tokens = root.get("max_tokens").map(|most| most.integer()).transpose()?;
    chat.temperature = root.get("temperature").map(|number| number.number()).transpose()?;
    chat.top_p = root.get("p").map(|number| number.number()).transpose()?;
    let stops = root.list("stop_sequences")?;
    if stops.len() > 5 {
        return Err(Refusal::rule("at most 5 stop_sequences are allowed"));
    }
    chat.stop =
        stops.iter().map(|stop| stop.text().map(str::to_owned)).collect::<Result<_, _>>()?;
    if let Some(thinking) = root.get("thinking") {
        thinking.only(&["type", "token_budget"])?;
        thinking.need("type")?.one_of(&["enabled", "disabled"])?;
        chat.reasoning = Some(thinking.value.clone());
    }
    if let Some(format) = root.get("response_format") {
        format.only(&["type", "json_schema", "schema"])?;
        chat.format = match format.need("type")?.one_of(&["text", "json_object"])? {
            "text" => Format::Text,
            _ => match format.get("json_schema").or_else(|| format.get("schema")) {
                Some(schema) => Format::Schema(schema.object().map(|_| schema.value.clone())?),
                None => Format::Json,
            },
        };
    }
    Ok(())
}

fn tool(item: &Node) -> Result<Tool, Refusal> {
    item.only(&["type", "function"])?;
    item.need("type")?.one_of(&["function"])?;
    let function = item.need("function")?;
    function.only(&["name", "description", "parameters"])?;
    let schema = function.need("parameters")?;
    schema.object()?;
    Ok(Tool {
        name: function.need("name")?.text()?.to_owned(),
        description: function.get("description").map_or(Ok(""), |text| text.text())?.to_owned(),
        schema: schema.value.clone(),
    })
}

fn read_messages(messages: &Node, chat: &mut ChatRequest) -> Result<(), Refusal> {
    let items = messages.items()?;
    if items.is_empty() {
        return Err(messages.broken("at least one message is required"));
    }
    let mut open: Vec<String> = Vec::new();
    for message in &items {
        let role = message.need("role")?.one_of(&["user", "assistant", "system", "tool"])?;
        if role != "tool" && !open.is_empty() {
            return Err(
                message.broken(format!("tool calls without a tool message: {}", open.join(", ")))
            );
        }
        match role {
            "system" => {
                message.only(&["role", "content"])?;
                chat.system.extend(
                    parts(&message.need("content")?, &["text"])?.into_iter().filter_map(text),
                );
            }
            "user" => {
                message.only(&["role", "content"])?;
                let parts = parts(&message.need("content")?, &["text", "image_url"])?;
                chat.push(Role::User, parts);
            }
            "assistant" => {
                let parts = assistant(message)?;
                open.extend(parts.iter().filter_map(|part| match part {
                    Part::Call { id, .. } => Some(id.clone()),
                    _ => None,
                }));
                chat.push(Role::Assistant, parts);
            }
            _ => {
                message.only(&["role", "tool_call_id", "content"])?;
                let id = message.need("tool_call_id")?.text()?;
                let Some(at) = open.iter().position(|open| open == id) else {
                    return Err(
                        message.broken(format!("no tool call of the turn before has the id {id}"))
                    );
                };
                open.remove(at);
                let parts = parts(&message.need("content")?, &["text", "document"])?;
                let text = parts.into_iter().filter_map(text).collect::<String>();
                chat.push(
                    Role::User,
                    vec![Part::Result { id: id.to_owned(), text, is_error: false }],
                );
            }
        }
    }
    if open.is_empty() {
        Ok(())
    } else {
        Err(Refusal::rule(format!("tool calls without a tool message: {}", open.join(", "))))
    }
}

fn text(part: Part) -> Option<String> {
    match part {
        Part::Text(text) => Some(text),
        _ => None,
    }
}

fn parts(content: &Node, kinds: &[&str]) -> Result<Vec<Part>, Refusal> {
    if let Value::String(text) = content.value {
        return Ok(vec![Part::Text(text.clone())]);
    }
    let part = |block: Node| {
        let kind = block.need("type")?.one_of(kinds)?;
        let inner = block.need(kind)?;
        Ok(match kind {
            "image_url" => media(&inner.need("url")?, "image")?,
            "thinking" => Part::Thought(inner.text()?.to_owned()),
            "document" => match &inner.need("data")?.value["snippet"] {
                Value::String(snippet) => Part::Text(snippet.clone()),
                _ => Part::Text(inner.need("data")?.value.to_string()),
            },
            _ => Part::Text(inner.text()?.to_owned()),
        })
    };
    content.items()?.into_iter().map(part).collect()
}

fn assistant(message: &Node) -> Result<Vec<Part>, Refusal> {
    message.only(&["role", "content", "tool_calls", "tool_plan", "citations"])?;
    let mut all = Vec::new();
    if let Some(plan) = message.get("tool_plan") {
        all.push(Part::Text(plan.text()?.to_owned()));
    }
    if let Some(content) = message.get("content") {
        all.extend(parts(&content, &["text", "thinking"])?);
    }
    for call in message.list("tool_calls")? {
        call.only(&["id", "type", "function"])?;
        call.need("type")?.one_of(&["function"])?;
        let function = call.need("function")?;
        let written = function.need("arguments")?;
        let arguments: Value = serde_json::from_str(written.text()?)
            .map_err(|_| written.broken("expected a JSON object as a string"))?;
        let name = function.need("name")?.text()?.to_owned();
        all.push(Part::Call { id: call.need("id")?.text()?.to_owned(), name, arguments });
    }
    if all.is_empty() {
        return Err(message.broken("an assistant message needs content or tool_calls"));
    }
    Ok(all)
}
