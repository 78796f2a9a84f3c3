//! Anthropic's messages and token counts, at Anthropic and at Vertex AI (platform.claude.com/docs/en/api/messages,
//! the `anthropic` package's types).
//!
//! Stricter than the vendor in one point: messages of one role in a row, which Anthropic joins and some of those who
//! serve its models refuse, are refused.

use serde_json::{Value, json};

use super::anthropic_messages::{HIDDEN_THINKING, read_messages, texts};
use super::chat_request::{ChatRequest, Choice, Format, Tool};
use super::frames::{EventFrames, named_sse};
use super::path::AnthropicPlace;
use super::reading::{Flaw, Node, Refusal, is_name};
use super::script::{
    Piece, Script, Stop, TokenUsage, fragments_of, knows_tool, signature, words_of,
};
use super::{Dialect, Headers, Reply, Request};

const MEMBERS: &[&str] = &[
    "cache_control",
    "container",
    "diagnostics",
    "inference_geo",
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "output_config",
    "service_tier",
    "speed",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
    "user_profile_id",
    "workspace_id",
];
const COUNT_MEMBERS: &[&str] = &[
    "cache_control",
    "messages",
    "model",
    "output_config",
    "speed",
    "system",
    "thinking",
    "tool_choice",
    "tools",
    "user_profile_id",
    "workspace_id",
];
const BETA_MEMBERS: &[&str] = &["context_management", "mcp_servers", "fallbacks"];
const CACHE_MARKS_MAX: usize = 4;
const THINKING_TOKENS_LEAST: i64 = 1024;

/// `messages`, wherever they are served.
pub struct Messages<'a>(pub &'a AnthropicPlace);

impl Messages<'_> {
    fn check_members(&self, request: &Request, root: &Node) -> Result<(), Refusal> {
        let mut known = match self.0 {
            AnthropicPlace::Count => COUNT_MEMBERS.to_vec(),
            _ => MEMBERS.to_vec(),
        };
        if let AnthropicPlace::Vertex { .. } = self.0 {
            known.retain(|name| *name != "model");
            known.extend(["anthropic_version", "anthropic_beta"]);
            root.need("anthropic_version")?.one_of(&["vertex-2023-10-16"])?;
        } else if request.headers.get("anthropic-version").is_none() {
            return Err(Refusal::rule("anthropic-version: header is required"));
        }
        let is_beta = request.headers.get("anthropic-beta").is_some();
        if is_beta || root.get("anthropic_beta").is_some() {
            known.extend(BETA_MEMBERS);
        }
        root.only(&known)
    }

    fn message(
        &self,
        chat: &ChatRequest,
        content: Value,
        stop: Option<&Script>,
        usage: Value,
    ) -> Value {
        json!({
            "id": "msg_mock000001",
            "type": "message",
            "role": "assistant",
            "model": chat.model,
            "content": content,
            "stop_reason": stop.map(stop_reason),
            "stop_sequence": null,
            "stop_details": stop.and_then(stop_details),
            "usage": usage,
        })
    }
}

impl Dialect for Messages<'_> {
    fn read(&self, request: &Request, body: &Value) -> Result<ChatRequest, Refusal> {
        let root = Node::root(body);
        self.check_members(request, &root)?;
        let model = match self.0 {
            AnthropicPlace::Vertex { model, .. } => model.as_str(),
            _ => root.need("model")?.text()?,
        };
        let mut chat = ChatRequest::new(model);
        let streams = root.get("stream").map_or(Ok(false), |flag| flag.flag())?;
        chat.stream = match self.0 {
            AnthropicPlace::Vertex { stream, .. } => *stream || streams,
            _ => streams,
        };
        if *self.0 != AnthropicPlace::Count {
            read_limits(&root, &mut chat)?;
        }
        check_cache_marks(&root)?;
        if let Some(system) = root.get("system") {
            chat.system = texts(&system)?;
        }
        chat.tools = tools(&root)?;
        (chat.choice, chat.parallel) = choice(&root, &chat.tools)?;
        check_thinking(&root, &mut chat)?;
        chat.format = format(&root)?;
        let thinks = body["thinking"]["type"] == json!("enabled");
        read_messages(&root.need("messages")?, thinks, &mut chat)?;
        Ok(chat)
    }

    fn refuse(&self, refusal: &Refusal) -> Reply {
        let vertex = matches!(self.0, AnthropicPlace::Vertex { .. });
        if vertex && refusal.flaw == Flaw::Unauthenticated {
            let error = json!({"code": 401, "message": "Request is missing required authentication credential.", "status": "UNAUTHENTICATED"});
            return Reply::json(401, &json!({"error": error}));
        }
        let error = json!({"type": error_kind(refusal.status), "message": error_message(refusal)});
        let body = json!({"type": "error", "error": error, "request_id": "req_mock000001"});
        Reply::json(refusal.status, &body)
            .with_field("request-id", "req_mock000001")
            .with_retry_after()
    }

    fn whole(&self, chat: &ChatRequest, script: &Script) -> Value {
        let content: Vec<_> = script.pieces.iter().map(|piece| block(piece, true)).collect();
        self.message(chat, json!(content), Some(script), usage(&script.usage))
    }

    fn events(&self, chat: &ChatRequest, script: &Script) -> EventFrames {
        let mut events = EventFrames::default();
        let mut begun = usage(&script.usage);
        begun["output_tokens"] = json!(1);
        let message = self.message(chat, json!([]), None, begun);
        events.push(named_sse(&json!({"type": "message_start", "message": message})));
        for (index, piece) in script.pieces.iter().enumerate() {
            events.push(named_sse(&json!({"type": "content_block_start", "index": index, "content_block": block(piece, false)})));
            if index == 0 {
                events.push(named_sse(&json!({"type": "ping"})));
            }
            for delta in deltas(piece) {
                events.delta(named_sse(
                    &json!({"type": "content_block_delta", "index": index, "delta": delta}),
                ));
            }
            events.push(named_sse(&json!({"type": "content_block_stop", "index": index})));
        }
        let mut ended = usage(&script.usage);
        for name in ["cache_creation", "service_tier"] {
            ended.as_object_mut().map(|members| members.remove(name));
        }
        let delta = json!({"stop_reason": stop_reason(script), "stop_sequence": null, "stop_details": stop_details(script)});
        events.push(named_sse(&json!({"type": "message_delta", "delta": delta, "usage": ended})));
        events.push(named_sse(&json!({"type": "message_stop"})));
        events
    }

    fn error_event(&self, _: &ChatRequest, _: usize) -> Vec<u8> {
        let error = json!({"type": "overloaded_error", "message": "Overloaded"});
        named_sse(&json!({"type": "error", "error": error, "request_id": "req_mock000001"}))
    }

    fn fields(&self) -> String {
        "request-id: req_mock000001\r\n".to_owned()
    }

    fn authenticate(&self, headers: &Headers) -> Result<(), Refusal> {
        let vertex = matches!(self.0, AnthropicPlace::Vertex { .. });
        if headers.has_bearer() || (!vertex && headers.get("x-api-key").is_some()) {
            return Ok(());
        }
        Err(Refusal::unauthenticated(401))
    }

    fn aside(&self, request: &Request, body: &Value) -> Option<Result<Value, Refusal>> {
        let count = |chat: ChatRequest| json!({"input_tokens": chat.input_tokens()});
        (*self.0 == AnthropicPlace::Count).then(|| self.read(request, body).map(count))
    }
}

fn error_kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

fn error_message(refusal: &Refusal) -> String {
    let path = &refusal.path;
    match &refusal.flaw {
        Flaw::Missing => format!("{path}: Field required"),
        Flaw::Unknown => format!("{path}: Extra inputs are not permitted"),
        Flaw::Type(expected) => format!("{path}: Input should be {expected}"),
        Flaw::Rule(rule) if path.is_empty() => rule.clone(),
        Flaw::Rule(rule) => format!("{path}: {rule}"),
        Flaw::Unauthenticated => "x-api-key header is required".to_owned(),
        Flaw::InvalidJson(error) => format!("The request body is not valid JSON: {error}"),
        Flaw::Scripted => format!("The mock was told to answer {}.", refusal.status),
    }
}

fn stop_reason(script: &Script) -> &'static str {
    match script.stop {
        Stop::Done => "end_turn",
        Stop::Calls => "tool_use",
        Stop::Length => "max_tokens",
        Stop::Refused => "refusal",
    }
}

fn stop_details(script: &Script) -> Option<Value> {
    let refused = script.stop == Stop::Refused;
    refused.then(|| json!({"type": "refusal", "category": null, "explanation": null}))
}

fn usage(usage: &TokenUsage) -> Value {
    json!({
        "input_tokens": usage.input_uncached(),
        "cache_creation_input_tokens": usage.cache_write(),
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"thinking_tokens": usage.thought},
        "service_tier": "standard",
    })
}

/// A content block, whole or as it begins.
fn block(piece: &Piece, whole: bool) -> Value {
    match piece {
        Piece::Thought(text) if whole => {
            json!({"type": "thinking", "thinking": text, "signature": signature(text)})
        }
        Piece::Thought(_) => json!({"type": "thinking", "thinking": "", "signature": ""}),
        Piece::HiddenThinking => {
            json!({"type": "redacted_thinking", "data": signature(HIDDEN_THINKING)})
        }
        Piece::Text(text) => json!({"type": "text", "text": if whole { text } else { "" }}),
        Piece::Call { number, name, arguments } => {
            let input = if whole { arguments.clone() } else { json!({}) };
            json!({"type": "tool_use", "id": format!("toolu_mock{number:016}"), "name": name, "input": input})
        }
    }
}

fn deltas(piece: &Piece) -> Vec<Value> {
    match piece {
        Piece::Thought(text) => {
            let words = words_of(text).into_iter();
            let thought = words.map(|word| json!({"type": "thinking_delta", "thinking": word}));
            let sealed = json!({"type": "signature_delta", "signature": signature(text)});
            thought.chain([sealed]).collect()
        }
        Piece::HiddenThinking => Vec::new(),
        Piece::Text(text) => {
            let words = words_of(text).into_iter();
            words.map(|word| json!({"type": "text_delta", "text": word})).collect()
        }
        Piece::Call { arguments, .. } => {
            let written = arguments.to_string();
            // An empty piece comes first, and is all there is for a call without arguments.
            let fragments = if written == "{}" { Vec::new() } else { fragments_of(&written) };
            let all = [""].into_iter().chain(fragments);
            all.map(|part| json!({"type": "input_json_delta", "partial_json": part})).collect()
        }
    }
}

fn read_limits(root: &Node, chat: &mut ChatRequest) -> Result<(), Refusal> {
    let most = root.need("max_tokens")?;
    // 0 fills the cache and answers nothing; the mock answers all the same.
    if most.integer()? < 0 {
        return Err(most.broken("Input should be greater than or equal to 0"));
    }
    chat.max_tokens = Some(most.integer()?);
    root.range("temperature", 0.0, 1.0)?;
    root.range("top_p", 0.0, 1.0)?;
    root.range("top_k", 0.0, f64::MAX)?;
    chat.temperature = root.get("temperature").map(|number| number.number()).transpose()?;
    chat.top_p = root.get("top_p").map(|number| number.number()).transpose()?;
    let newer = ["-4-1", "-4-5", "-4-6", "-4-7"].iter().any(|mark| chat.model.contains(mark));
    if newer && chat.temperature.is_some() && chat.top_p.is_some() {
        return Err(Refusal::rule(
            "`temperature` and `top_p` cannot both be specified for this model.",
        ));
    }
    for stop in root.list("stop_sequences")? {
        if stop.text()?.trim().is_empty() {
            return Err(stop.broken("each stop sequence must contain non-whitespace"));
        }
        chat.stop.push(stop.text()?.to_owned());
    }
    if let Some(metadata) = root.get("metadata") {
        metadata.only(&["user_id"])?;
    }
    root.get("service_tier").map_or(Ok(""), |tier| tier.one_of(&["auto", "standard_only"]))?;
    Ok(())
}

fn check_cache_marks(root: &Node) -> Result<(), Refusal> {
    fn count(value: &Value) -> usize {
        match value {
            Value::Array(items) => items.iter().map(count).sum(),
            Value::Object(members) => {
                let own = members.get("cache_control").is_some_and(Value::is_object);
                usize::from(own) + members.values().map(count).sum::<usize>()
            }
            _ => 0,
        }
    }
    let marks: usize =
        ["system", "tools", "messages"].iter().map(|name| count(&root.value[name])).sum();
    if marks > CACHE_MARKS_MAX {
        return Err(Refusal::rule(format!(
            "A maximum of {CACHE_MARKS_MAX} blocks with cache_control may be provided. Found {marks}."
        )));
    }
    Ok(())
}

fn tools(root: &Node) -> Result<Vec<Tool>, Refusal> {
    let mut tools: Vec<Tool> = Vec::new();
    for item in root.list("tools")? {
        if item.get("type").is_some_and(|kind| *kind.value != json!("custom")) {
            continue;
        }
        item.only(&[
            "type",
            "name",
            "description",
            "input_schema",
            "cache_control",
            "strict",
            "allowed_callers",
            "defer_loading",
            "eager_input_streaming",
            "input_examples",
        ])?;
        let name = item.need("name")?;
        if !is_name(name.text()?, 128, "_-") {
            return Err(name.broken("String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"));
        }
        if knows_tool(&tools, name.text()?) {
            return Err(Refusal::rule("tools: Tool names must be unique."));
        }
        let schema = item.need("input_schema")?;
        schema.need("type")?.one_of(&["object"])?;
        let description = item.get("description").map_or(Ok(""), |text| text.text())?.to_owned();
        let name = name.text()?.to_owned();
        tools.push(Tool { name, description, schema: schema.value.clone() });
    }
    Ok(tools)
}

fn choice(root: &Node, tools: &[Tool]) -> Result<(Choice, bool), Refusal> {
    let Some(node) = root.get("tool_choice") else { return Ok((Choice::Auto, true)) };
    if root.list("tools")?.is_empty() {
        return Err(node.broken("may only be specified while providing tools"));
    }
    let kind = node.need("type")?.one_of(&["auto", "any", "tool", "none"])?;
    node.only(match kind {
        "tool" => &["type", "name", "disable_parallel_tool_use"],
        "none" => &["type"],
        _ => &["type", "disable_parallel_tool_use"],
    })?;
    let single = node.get("disable_parallel_tool_use").map_or(Ok(false), |flag| flag.flag())?;
    let choice = match kind {
        "auto" => Choice::Auto,
        "any" => Choice::Required,
        "none" => Choice::None,
        _ => {
            let name = node.need("name")?.text()?.to_owned();
            if !knows_tool(tools, &name) {
                return Err(node.broken(format!("Tool '{name}' not found in provided tools")));
            }
            Choice::Named(name)
        }
    };
    Ok((choice, !single))
}

fn check_thinking(root: &Node, chat: &mut ChatRequest) -> Result<(), Refusal> {
    let Some(node) = root.get("thinking") else { return Ok(()) };
    let kinds = &["enabled", "disabled", "adaptive", "between_tools"];
    let kind = node.need("type")?.one_of(kinds)?;
    chat.reasoning = Some(node.value.clone());
    if kind != "enabled" {
        return node.only(&["type", "display"]);
    }
    node.only(&["type", "budget_tokens", "display"])?;
    let budget = node.need("budget_tokens")?;
    if budget.integer()? < THINKING_TOKENS_LEAST {
        return Err(budget.broken("Input should be greater than or equal to 1024"));
    }
    if chat.max_tokens.is_some_and(|most| most <= budget.value.as_i64().unwrap_or(0)) {
        return Err(Refusal::rule("`max_tokens` must be greater than `thinking.budget_tokens`."));
    }
    if chat.temperature.is_some_and(|temperature| temperature != 1.0) {
        return Err(Refusal::rule("`temperature` may only be set to 1 when thinking is enabled."));
    }
    if root.get("top_k").is_some() {
        return Err(Refusal::rule("`top_k` must be unset when thinking is enabled."));
    }
    if chat.top_p.is_some_and(|top_p| top_p < 0.95) {
        return Err(Refusal::rule(
            "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.",
        ));
    }
    if matches!(chat.choice, Choice::Required | Choice::Named(_)) {
        return Err(Refusal::rule("Thinking may not be enabled when tool_choice forces tool use."));
    }
    Ok(())
}

fn format(root: &Node) -> Result<Format, Refusal> {
    let Some(config) = root.get("output_config") else { return Ok(Format::Text) };
    config.only(&["effort", "format", "task_budget"])?;
    let Some(format) = config.get("format") else { return Ok(Format::Text) };
    format.need("type")?.one_of(&["json_schema"])?;
    let schema = format.need("schema")?;
    schema.object()?;
    Ok(Format::Schema(schema.value.clone()))
}
