//! Bedrock's Converse and ConverseStream (docs.aws.amazon.com/bedrock/latest/APIReference, the service model in
//! `botocore`). Unknown members are ignored, as the service does; a union must have exactly one known member.

use serde_json::{Value, json};

use super::bedrock_embeddings;
use super::bedrock_messages::{HIDDEN_THINKING, read_messages, text_of, union};
use super::chat_request::{ChatRequest, Choice, Format, Tool};
use super::frames::{EventFrames, binary};
use super::path::Endpoint;
use super::reading::{Flaw, Node, Refusal, is_name};
use super::script::{
    Piece, Script, Stop, TokenUsage, fragments_of, knows_tool, signature, words_of,
};
use super::{Dialect, Headers, Reply, Request};

/// What pads every event's payload, so that its length reveals nothing.
const PADDING: &str = "abcdefghijklm";

/// `converse` and `converse-stream` of a model.
pub struct Converse<'a> {
    pub model: &'a str,
    pub stream: bool,
}

impl Dialect for Converse<'_> {
    fn read(&self, _: &Request, body: &Value) -> Result<ChatRequest, Refusal> {
        let root = Node::root(body);
        root.object()?;
        let mut chat = ChatRequest::new(self.model);
        chat.stream = self.stream;
        for (index, block) in root.list("system")?.iter().enumerate() {
            match union(block, "SystemContentBlock", &["text", "guardContent", "cachePoint"])? {
                "text" => {
                    chat.system.push(text_of(
                        block,
                        &format!("system.{index}"),
                        "SystemContentBlock",
                    )?);
                }
                _ => continue,
            }
        }
        if let Some(config) = root.get("inferenceConfig") {
            read_config(&config, &mut chat)?;
        }
        if let Some(config) = root.get("toolConfig") {
            chat.tools = tools(&config)?;
            chat.choice = choice(&config, &chat.tools)?;
        }
        if let Some(fields) = root.get("additionalModelRequestFields") {
            fields.object()?;
            chat.reasoning = ["thinking", "reasoning_config", "reasoningConfig"]
                .iter()
                .find_map(|name| fields.get(name))
                .map(|node| node.value.clone());
        }
        chat.format = format(&root)?;
        read_messages(&root.need("messages")?, root.get("toolConfig").is_some(), &mut chat)?;
        Ok(chat)
    }

    fn refuse(&self, refusal: &Refusal) -> Reply {
        let kind = exception(refusal);
        Reply::json(refusal.status, &json!({"message": message(refusal)}))
            .with_field("x-amzn-requestid", "00000000-0000-4000-8000-000000000001")
            .with_field("x-amzn-errortype", kind)
            .with_retry_after()
    }

    fn whole(&self, _: &ChatRequest, script: &Script) -> Value {
        let content: Vec<_> = script.pieces.iter().map(block).collect();
        json!({
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": stop_reason(script.stop),
            "usage": usage(&script.usage),
            "metrics": {"latencyMs": 1},
        })
    }

    fn events(&self, _: &ChatRequest, script: &Script) -> EventFrames {
        let mut events = EventFrames::default();
        events.push(event("messageStart", json!({"role": "assistant"})));
        for (index, piece) in script.pieces.iter().enumerate() {
            // Only a call has a start event.
            if let Piece::Call { number, name, .. } = piece {
                let start = json!({"toolUse": {"toolUseId": call_id(*number), "name": name}});
                let payload = json!({"contentBlockIndex": index, "start": start});
                events.push(event("contentBlockStart", payload));
            }
            for delta in deltas(piece) {
                let payload = json!({"contentBlockIndex": index, "delta": delta});
                events.delta(event("contentBlockDelta", payload));
            }
            events.push(event("contentBlockStop", json!({"contentBlockIndex": index})));
        }
        events.push(event("messageStop", json!({"stopReason": stop_reason(script.stop)})));
        let metadata = json!({"usage": usage(&script.usage), "metrics": {"latencyMs": 1}});
        events.push(event("metadata", metadata));
        events
    }

    fn error_event(&self, _: &ChatRequest, _: usize) -> Vec<u8> {
        let headers = [
            (":exception-type", "modelStreamErrorException"),
            (":content-type", "application/json"),
            (":message-type", "exception"),
        ];
        let payload = json!({
            "message": "The mock was told to fail.",
            "originalStatusCode": 500,
            "originalMessage": "The mock was told to fail.",
        });
        binary(&headers, &payload)
    }

    fn stream_type(&self) -> &'static str {
        "application/vnd.amazon.eventstream"
    }

    fn fields(&self) -> String {
        "x-amzn-requestid: 00000000-0000-4000-8000-000000000001\r\n".to_owned()
    }

    fn authenticate(&self, headers: &Headers) -> Result<(), Refusal> {
        let signed = headers.get("authorization").is_some_and(|value| {
            let parts = ["Credential=", "SignedHeaders=", "Signature="];
            value.starts_with("AWS4-HMAC-SHA256 ") && parts.iter().all(|part| value.contains(part))
        });
        if headers.has_bearer() || (signed && headers.get("x-amz-date").is_some()) {
            return Ok(());
        }
        Err(Refusal::unauthenticated(403))
    }

    fn aside(&self, request: &Request, body: &Value) -> Option<Result<Value, Refusal>> {
        let invokes = matches!(request.endpoint, Endpoint::Invoke { .. });
        invokes.then(|| bedrock_embeddings::answer(self.model, body))
    }
}

fn exception(refusal: &Refusal) -> &'static str {
    match refusal.status {
        403 if refusal.flaw == Flaw::Unauthenticated => "MissingAuthenticationTokenException",
        _ if matches!(refusal.flaw, Flaw::InvalidJson(_) | Flaw::Type(_)) => {
            "SerializationException"
        }
        401 | 403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 => "ModelTimeoutException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        503 => "ServiceUnavailableException",
        500.. => "InternalServerException",
        _ => "ValidationException",
    }
}

fn message(refusal: &Refusal) -> String {
    let path = &refusal.path;
    match &refusal.flaw {
        Flaw::Missing => format!(
            "1 validation error detected: Value null at '{path}' failed to satisfy constraint: Member must not be null"
        ),
        Flaw::Unknown => format!("extraneous key [{path}] is not permitted"),
        Flaw::Type(expected) => format!("{path}: expected {expected}"),
        Flaw::Rule(rule) if path.is_empty() => rule.clone(),
        Flaw::Rule(rule) => format!(
            "1 validation error detected: Value at '{path}' failed to satisfy constraint: {rule}"
        ),
        Flaw::Unauthenticated => "Missing Authentication Token".to_owned(),
        Flaw::InvalidJson(error) => error.clone(),
        Flaw::Scripted => format!("The mock was told to answer {}.", refusal.status),
    }
}

fn call_id(number: usize) -> String {
    format!("tooluse_mock{number:010}")
}

fn stop_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::Done => "end_turn",
        Stop::Calls => "tool_use",
        Stop::Length => "max_tokens",
        Stop::Refused => "content_filtered",
    }
}

/// The total counts what was read from and written to a cache too.
fn usage(usage: &TokenUsage) -> Value {
    let mut details = Vec::new();
    for (ttl, tokens) in [("1h", usage.cache_write_1h), ("5m", usage.cache_write_5m)] {
        if tokens > 0 {
            details.push(json!({"ttl": ttl, "inputTokens": tokens}));
        }
    }
    json!({
        "inputTokens": usage.input_uncached(),
        "outputTokens": usage.output,
        "totalTokens": usage.input + usage.output,
        "cacheReadInputTokens": usage.cache_read,
        "cacheWriteInputTokens": usage.cache_write(),
        "cacheDetails": details,
    })
}

fn block(piece: &Piece) -> Value {
    match piece {
        Piece::Thought(text) => {
            let thinking = json!({"text": text, "signature": signature(text)});
            json!({"reasoningContent": {"reasoningText": thinking}})
        }
        Piece::HiddenThinking => {
            json!({"reasoningContent": {"redactedContent": signature(HIDDEN_THINKING)}})
        }
        Piece::Text(text) => json!({"text": text}),
        Piece::Call { number, name, arguments } => {
            json!({"toolUse": {"toolUseId": call_id(*number), "name": name, "input": arguments}})
        }
    }
}

fn deltas(piece: &Piece) -> Vec<Value> {
    match piece {
        Piece::Thought(text) => {
            let words = words_of(text).into_iter();
            let pieces = words.map(|word| json!({"reasoningContent": {"text": word}}));
            pieces.chain([json!({"reasoningContent": {"signature": signature(text)}})]).collect()
        }
        Piece::HiddenThinking => {
            vec![json!({"reasoningContent": {"redactedContent": signature(HIDDEN_THINKING)}})]
        }
        Piece::Text(text) => words_of(text).into_iter().map(|word| json!({"text": word})).collect(),
        Piece::Call { arguments, .. } => {
            let written = arguments.to_string();
            // A call without arguments streams none.
            let fragments = if written == "{}" { vec![""] } else { fragments_of(&written) };
            fragments.into_iter().map(|part| json!({"toolUse": {"input": part}})).collect()
        }
    }
}

fn event(name: &str, mut payload: Value) -> Vec<u8> {
    payload["p"] = json!(PADDING);
    let headers =
        [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")];
    binary(&headers, &payload)
}

fn read_config(config: &Node, chat: &mut ChatRequest) -> Result<(), Refusal> {
    config.range("temperature", 0.0, 1.0)?;
    config.range("topP", 0.0, 1.0)?;
    config.range("maxTokens", 1.0, f64::from(u32::MAX))?;
    chat.max_tokens = config.get("maxTokens").map(|most| most.integer()).transpose()?;
    chat.temperature = config.get("temperature").map(|number| number.number()).transpose()?;
    chat.top_p = config.get("topP").map(|number| number.number()).transpose()?;
    for stop in config.list("stopSequences")? {
        if stop.text()?.is_empty() {
            return Err(stop.broken("Member must have length greater than or equal to 1"));
        }
        chat.stop.push(stop.text()?.to_owned());
    }
    Ok(())
}

fn tools(config: &Node) -> Result<Vec<Tool>, Refusal> {
    let list = config.need("tools")?;
    let items = list.items()?;
    if items.is_empty() {
        return Err(list.broken("Member must have length greater than or equal to 1"));
    }
    let mut tools: Vec<Tool> = Vec::new();
    for item in items {
        if union(&item, "Tool", &["toolSpec", "systemTool", "cachePoint"])? != "toolSpec" {
            continue;
        }
        let spec = item.need("toolSpec")?;
        let name = spec.need("name")?;
        if !is_name(name.text()?, 64, "_-") {
            return Err(name.broken(
                "Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+ and have length less than or equal to 64",
            ));
        }
        if knows_tool(&tools, name.text()?) {
            return Err(Refusal::rule(format!(
                "The toolConfig.tools field contains the duplicate tool name {}.",
                name.text()?
            )));
        }
        let description = spec.get("description");
        if let Some(empty) = description.as_ref().filter(|text| *text.value == json!("")) {
            return Err(empty.broken("Member must have length greater than or equal to 1"));
        }
        let schema = spec.need("inputSchema")?.need("json")?;
        if schema.object()?.get("type") != Some(&json!("object")) {
            return Err(Refusal::rule(format!(
                "The value at {}.type must be one of the following: object.",
                schema.path
            )));
        }
        let description = description.map_or(Ok(""), |text| text.text())?.to_owned();
        let name = name.text()?.to_owned();
        tools.push(Tool { name, description, schema: schema.value.clone() });
    }
    Ok(tools)
}

fn choice(config: &Node, tools: &[Tool]) -> Result<Choice, Refusal> {
    let Some(node) = config.get("toolChoice") else { return Ok(Choice::Auto) };
    match union(&node, "ToolChoice", &["auto", "any", "tool"])? {
        "auto" => Ok(Choice::Auto),
        "any" => Ok(Choice::Required),
        _ => {
            let name = node.need("tool")?.need("name")?.text()?.to_owned();
            if !knows_tool(tools, &name) {
                return Err(Refusal::rule(format!(
                    "The toolChoice names {name}, which toolConfig.tools does not hold."
                )));
            }
            Ok(Choice::Named(name))
        }
    }
}

fn format(root: &Node) -> Result<Format, Refusal> {
    let text_format = root.get("outputConfig").and_then(|config| config.get("textFormat"));
    let Some(wanted) = text_format else { return Ok(Format::Text) };
    wanted.need("type")?.one_of(&["json_schema"])?;
    let schema = wanted.need("structure")?.need("jsonSchema")?.need("schema")?;
    // The schema is itself written as a string.
    serde_json::from_str(schema.text()?)
        .map(Format::Schema)
        .map_err(|error| schema.broken(format!("no JSON schema: {error}")))
}
