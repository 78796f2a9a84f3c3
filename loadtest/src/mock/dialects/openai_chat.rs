//! OpenAI's chat completions as OpenAI itself, Azure and compatible servers hold them
//! (developers.openai.com/api/reference, the `openai` package's types).
//!
//! OpenAI and Azure refuse unknown members and keep thoughts to themselves; compatible servers ignore what they do
//! not know and tell thoughts as `reasoning_content`.

use serde_json::{Value, json};

use super::chat_request::{ChatRequest, Choice, Format, Tool};
use super::frames::{EventFrames, sse};
use super::openai_messages::{model, read_messages};
use super::path::{Endpoint, OpenAiPlace};
use super::reading::{Node, Refusal, is_name};
use super::script::{Piece, Script, Stop, TokenUsage, fragments_of, knows_tool, words_of};
use super::{Dialect, Headers, Reply, Request, voyage};
use super::{openai_embeddings, openai_errors};

const MEMBERS: &[&str] = &[
    "messages",
    "model",
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "metadata",
    "modalities",
    "moderation",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
];
const ID: &str = "chatcmpl-mock000001";
const CREATED: u64 = 1_700_000_000;

/// `chat/completions`.
pub struct Chat<'a>(pub &'a OpenAiPlace);

impl Chat<'_> {
    fn returns_reasoning(&self) -> bool {
        *self.0 == OpenAiPlace::Compatible
    }

    fn usage(&self, usage: &TokenUsage, answers: usize) -> Value {
        let output = usage.output * answers as u64;
        json!({
            "prompt_tokens": usage.input,
            "completion_tokens": output,
            "total_tokens": usage.input + output,
            "prompt_tokens_details": {
                "cached_tokens": usage.cache_read,
                "cache_write_tokens": usage.cache_write(),
                "audio_tokens": 0,
            },
            "completion_tokens_details": {
                "reasoning_tokens": usage.thought * answers as u64,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        })
    }

    fn chunk(&self, chat: &ChatRequest, index: usize, delta: Value, finish: Option<&str>) -> Value {
        let mut chunk = json!({
            "id": ID,
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": chat.model,
            "service_tier": "default",
            "system_fingerprint": "fp_mock",
            "choices": [{"index": index, "delta": delta, "logprobs": null, "finish_reason": finish}],
        });
        if chat.include_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }

    fn choice_events(
        &self,
        chat: &ChatRequest,
        script: &Script,
        index: usize,
        events: &mut EventFrames,
    ) {
        let mut send_delta =
            |delta: Value| events.delta(sse(&self.chunk(chat, index, delta, None)));
        let content = if script.text().is_some() && script.stop != Stop::Refused {
            json!("")
        } else {
            Value::Null
        };
        send_delta(json!({"role": "assistant", "content": content, "refusal": null}));
        let mut call_index = 0;
        for piece in &script.pieces {
            match piece {
                Piece::Thought(text) if self.returns_reasoning() => {
                    words_of(text)
                        .iter()
                        .for_each(|word| send_delta(json!({"reasoning_content": word})));
                }
                Piece::Thought(_) | Piece::HiddenThinking => {}
                Piece::Text(text) => {
                    let member = if script.stop == Stop::Refused { "refusal" } else { "content" };
                    words_of(text).iter().for_each(|word| send_delta(json!({member: word})));
                }
                Piece::Call { number, name, arguments } => {
                    let function = json!({"name": name, "arguments": ""});
                    let start = json!({"index": call_index, "id": call_id(*number), "type": "function", "function": function});
                    send_delta(json!({"tool_calls": [start]}));
                    for fragment in fragments_of(&arguments.to_string()) {
                        let part =
                            json!({"index": call_index, "function": {"arguments": fragment}});
                        send_delta(json!({"tool_calls": [part]}));
                    }
                    call_index += 1;
                }
            }
        }
        events.push(sse(&self.chunk(chat, index, json!({}), Some(finish(script.stop)))));
    }
}

impl Dialect for Chat<'_> {
    fn read(&self, _: &Request, body: &Value) -> Result<ChatRequest, Refusal> {
        let root = Node::root(body);
        if self.returns_reasoning() {
            root.object().map(drop)?
        } else {
            root.only(MEMBERS)?
        }
        let mut chat = ChatRequest::new(&model(self.0, &root)?);
        let messages = root.need("messages")?.items()?;
        if messages.is_empty() {
            return Err(root.need("messages")?.broken("[] is too short - 'messages'"));
        }
        read_settings(&root, &mut chat)?;
        chat.tools = tools(&root)?;
        (chat.choice, chat.parallel) = choice(&root, &chat.tools)?;
        read_messages(&messages, &mut chat)?;
        let mentions_json = body["messages"].to_string().to_ascii_lowercase().contains("json");
        if chat.format == Format::Json && !mentions_json {
            return Err(root.need("messages")?.broken(
                "'messages' must contain the word 'json' in some form to use 'response_format' of type 'json_object'.",
            ));
        }
        Ok(chat)
    }

    fn refuse(&self, refusal: &Refusal) -> Reply {
        match self.0 {
            OpenAiPlace::Voyage => voyage::refuse(refusal),
            _ => openai_errors::reply(refusal),
        }
    }

    fn whole(&self, chat: &ChatRequest, script: &Script) -> Value {
        let refused = script.stop == Stop::Refused;
        let text = script.text();
        let mut message =
            json!({"role": "assistant", "content": text, "refusal": null, "annotations": []});
        if refused {
            message["refusal"] = message["content"].take();
        }
        let call = |(number, name, arguments): (usize, &str, &Value)| {
            let function = json!({"name": name, "arguments": arguments.to_string()});
            json!({"id": call_id(number), "type": "function", "function": function})
        };
        let calls: Vec<_> = script.calls().map(call).collect();
        if !calls.is_empty() {
            message["tool_calls"] = json!(calls);
        }
        for piece in &script.pieces {
            match piece {
                Piece::Thought(thought) if self.returns_reasoning() => {
                    message["reasoning_content"] = json!(thought);
                }
                _ => {}
            }
        }
        let choice = |index: usize| json!({"index": index, "message": message, "logprobs": null, "finish_reason": finish(script.stop)});
        json!({
            "id": ID,
            "object": "chat.completion",
            "created": CREATED,
            "model": chat.model,
            "choices": (0..chat.answers).map(choice).collect::<Vec<_>>(),
            "usage": self.usage(&script.usage, chat.answers),
            "service_tier": "default",
            "system_fingerprint": "fp_mock",
        })
    }

    fn events(&self, chat: &ChatRequest, script: &Script) -> EventFrames {
        let mut events = EventFrames::default();
        for index in 0..chat.answers {
            self.choice_events(chat, script, index, &mut events);
        }
        if chat.include_usage {
            let mut last = self.chunk(chat, 0, json!({}), None);
            last["choices"] = json!([]);
            last["usage"] = self.usage(&script.usage, chat.answers);
            events.push(sse(&last));
        }
        events.push(b"data: [DONE]\n\n".to_vec());
        events
    }

    fn error_event(&self, _: &ChatRequest, _: usize) -> Vec<u8> {
        sse(&json!({"error": openai_errors::body(&Refusal::scripted(500))}))
    }

    fn fields(&self) -> String {
        "x-request-id: req_mock000001\r\nopenai-processing-ms: 1\r\n".to_owned()
    }

    fn authenticate(&self, headers: &Headers) -> Result<(), Refusal> {
        openai_errors::authenticate(headers)
    }

    fn aside(&self, request: &Request, body: &Value) -> Option<Result<Value, Refusal>> {
        let embeds = matches!(request.endpoint, Endpoint::Embeddings(_));
        embeds.then(|| match self.0 {
            OpenAiPlace::Voyage => voyage::answer(body),
            place => openai_embeddings::answer(place, body),
        })
    }
}

fn call_id(number: usize) -> String {
    format!("call_mock{number:016}")
}

fn finish(stop: Stop) -> &'static str {
    match stop {
        Stop::Done | Stop::Refused => "stop",
        Stop::Calls => "tool_calls",
        Stop::Length => "length",
    }
}

fn read_settings(root: &Node, chat: &mut ChatRequest) -> Result<(), Refusal> {
    chat.stream = root.get("stream").map_or(Ok(false), |flag| flag.flag())?;
    if let Some(options) = root.get("stream_options") {
        if !chat.stream {
            return Err(
                options.broken("'stream_options' is only allowed when 'stream' is enabled.")
            );
        }
        chat.include_usage =
            options.get("include_usage").map_or(Ok(false), |usage| usage.flag())?;
    }
    root.range("temperature", 0.0, 2.0)?;
    root.range("top_p", 0.0, 1.0)?;
    root.range("n", 1.0, 128.0)?;
    root.range("presence_penalty", -2.0, 2.0)?;
    root.range("frequency_penalty", -2.0, 2.0)?;
    let limits = (root.get("max_tokens"), root.get("max_completion_tokens"));
    let limit = match limits {
        (Some(old), Some(_)) => {
            return Err(old.broken(
                "'max_tokens' and 'max_completion_tokens' cannot be set at the same time.",
            ));
        }
        (Some(old), None) if reasons(&chat.model) => {
            return Err(old.broken(
                "'max_tokens' is not supported with this model; use 'max_completion_tokens'.",
            ));
        }
        (old, new) => old.or(new),
    };
    chat.max_tokens = limit.map(|limit| limit.integer()).transpose()?;
    if chat.max_tokens.is_some_and(|tokens| tokens < 1) {
        return Err(root.broken("the most tokens of an answer must be at least 1"));
    }
    chat.temperature = root.get("temperature").map(|number| number.number()).transpose()?;
    chat.top_p = root.get("top_p").map(|number| number.number()).transpose()?;
    chat.answers = root.get("n").map_or(Ok(1), |number| number.integer())?.try_into().unwrap_or(1);
    chat.reasoning = root.get("reasoning_effort").map(|effort| effort.value.clone());
    if let Some(stop) = root.get("stop") {
        chat.stop = match stop.value {
            Value::String(one) => vec![one.clone()],
            _ => stop
                .items()?
                .iter()
                .map(|one| one.text().map(str::to_owned))
                .collect::<Result<_, _>>()?,
        };
        if chat.stop.len() > 4 {
            return Err(stop.broken("at most 4 stop sequences are allowed"));
        }
    }
    chat.format = format(root)?;
    Ok(())
}

/// Models that think and so know no `max_tokens`.
fn reasons(model: &str) -> bool {
    ["o1", "o3", "o4", "gpt-5"].iter().any(|family| model.starts_with(family))
}

fn format(root: &Node) -> Result<Format, Refusal> {
    let Some(format) = root.get("response_format") else { return Ok(Format::Text) };
    match format.need("type")?.one_of(&["json_object", "json_schema", "text"])? {
        "json_object" => Ok(Format::Json),
        "text" => Ok(Format::Text),
        _ => {
            let wanted = format.need("json_schema")?;
            let name = wanted.need("name")?;
            if !is_name(name.text()?, 64, "_-") {
                return Err(name.broken("expected 1 to 64 of a-z, A-Z, 0-9, '_' and '-'"));
            }
            let Some(schema) = wanted.get("schema") else { return Ok(Format::Json) };
            schema.object()?;
            if wanted.get("strict").is_some_and(|strict| *strict.value == json!(true)) {
                check_strict(&schema)?;
            }
            Ok(Format::Schema(schema.value.clone()))
        }
    }
}

/// A strict schema closes every object and requires all its members.
pub fn check_strict(schema: &Node) -> Result<(), Refusal> {
    if let Some(properties) = schema.get("properties") {
        if schema.value["additionalProperties"] != json!(false) {
            return Err(
                schema.broken("'additionalProperties' is required to be supplied and to be false")
            );
        }
        let required = schema.value["required"].as_array().cloned().unwrap_or_default();
        for name in properties.object()?.keys() {
            if !required.contains(&json!(name)) {
                return Err(
                    schema.broken(format!("'required' must hold every key; missing '{name}'"))
                );
            }
            if let Some(property) = properties.get(name) {
                check_strict(&property)?;
            }
        }
    }
    schema.get("items").map_or(Ok(()), |items| check_strict(&items))
}

fn tools(root: &Node) -> Result<Vec<Tool>, Refusal> {
    let Some(list) = root.get("tools") else { return Ok(Vec::new()) };
    let items = list.items()?;
    if items.is_empty() {
        return Err(list.broken("[] is too short - 'tools'"));
    }
    let mut tools = Vec::new();
    for item in items {
        if item.need("type")?.one_of(&["function", "custom"])? == "custom" {
            continue;
        }
        let function = item.need("function")?;
        function.only(&["name", "description", "parameters", "strict"])?;
        tools.push(tool(&function)?);
    }
    Ok(tools)
}

/// A function, as it stands in both of OpenAI's dialects.
pub fn tool(function: &Node) -> Result<Tool, Refusal> {
    let name = function.need("name")?;
    if !is_name(name.text()?, 64, "_-") {
        return Err(name.broken("expected a string that matches ^[a-zA-Z0-9_-]+$ of at most 64"));
    }
    let schema = match function.get("parameters") {
        Some(schema) => {
            schema.object()?;
            if schema.value.get("type").is_some_and(|kind| *kind != json!("object")) {
                return Err(schema.broken("schema must be a JSON Schema of 'type: \"object\"'"));
            }
            if function.get("strict").is_some_and(|strict| *strict.value == json!(true)) {
                check_strict(&schema)?;
            }
            schema.value.clone()
        }
        None => json!({"type": "object", "properties": {}}),
    };
    let description = function.get("description").map_or(Ok(""), |text| text.text())?.to_owned();
    Ok(Tool { name: name.text()?.to_owned(), description, schema })
}

fn choice(root: &Node, tools: &[Tool]) -> Result<(Choice, bool), Refusal> {
    let parallel = root.get("parallel_tool_calls");
    if let Some(node) = parallel.as_ref().filter(|_| tools.is_empty()) {
        return Err(
            node.broken("'parallel_tool_calls' is only allowed when 'tools' are specified.")
        );
    }
    let parallel = parallel.map_or(Ok(true), |flag| flag.flag())?;
    let Some(node) = root.get("tool_choice") else { return Ok((Choice::Auto, parallel)) };
    let choice = match node.value {
        Value::String(_) => match node.one_of(&["none", "auto", "required"])? {
            "none" => Choice::None,
            "auto" => Choice::Auto,
            _ => Choice::Required,
        },
        _ => {
            let name = node.need("function")?.need("name")?.text()?.to_owned();
            if !tools.is_empty() && !knows_tool(tools, &name) {
                return Err(node.broken(format!("Tool choice '{name}' not found in 'tools'.")));
            }
            Choice::Named(name)
        }
    };
    if tools.is_empty() && choice != Choice::None {
        return Err(node.broken("'tool_choice' is only allowed when 'tools' are specified."));
    }
    Ok((choice, parallel))
}
