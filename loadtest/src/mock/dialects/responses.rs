//! OpenAI's responses, with their numbered events (developers.openai.com/api/reference/resources/responses, the
//! `openai` package's types).

use serde_json::{Value, json};

use super::chat_request::{ChatRequest, Choice, Format, Tool};
use super::frames::{EventFrames, named_sse};
use super::openai_chat::{check_strict, tool};
use super::reading::{Node, Refusal};
use super::responses_items::read_input;
use super::script::{
    Piece, Script, Stop, TokenUsage, fragments_of, knows_tool, signature, words_of,
};
use super::{Dialect, Headers, Reply, Request, openai_errors};

const MEMBERS: &[&str] = &[
    "access_programs",
    "background",
    "background_options",
    "context_management",
    "conversation",
    "image",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "moderation",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];
const ID: &str = "resp_mock000001";
const CREATED: u64 = 1_700_000_000;

/// `responses`.
pub struct Responses;

impl Dialect for Responses {
    fn read(&self, _: &Request, body: &Value) -> Result<ChatRequest, Refusal> {
        let root = Node::root(body);
        root.only(MEMBERS)?;
        let mut chat = ChatRequest::new(root.need("model")?.text()?);
        chat.stream = root.get("stream").map_or(Ok(false), |flag| flag.flag())?;
        if let Some(previous) = root.get("previous_response_id") {
            let id = previous.text()?;
            return Err(previous.broken(format!("Previous response with id '{id}' not found.")));
        }
        if let Some(text) = root.get("instructions") {
            chat.system.push(text.text()?.to_owned());
        }
        root.range("temperature", 0.0, 2.0)?;
        root.range("top_p", 0.0, 1.0)?;
        if let Some(most) = root.get("max_output_tokens") {
            if most.integer()? < 16 {
                return Err(most.broken("integer below minimum value: expected at least 16"));
            }
            chat.max_tokens = Some(most.integer()?);
        }
        chat.temperature = root.get("temperature").map(|number| number.number()).transpose()?;
        chat.top_p = root.get("top_p").map(|number| number.number()).transpose()?;
        chat.reasoning = root.get("reasoning").map(|reasoning| reasoning.value.clone());
        chat.format = format(&root)?;
        chat.tools = tools(&root)?;
        chat.parallel =
            root.get("parallel_tool_calls").map_or(Ok(true), |parallel| parallel.flag())?;
        chat.choice = choice(&root, &chat.tools)?;
        read_input(&root.need("input")?, &mut chat)?;
        Ok(chat)
    }

    fn refuse(&self, refusal: &Refusal) -> Reply {
        openai_errors::reply(refusal)
    }

    fn whole(&self, chat: &ChatRequest, script: &Script) -> Value {
        let items = Item::all(script).iter().map(|item| item.value("completed")).collect();
        response(chat, script, end_status(script), items)
    }

    fn events(&self, chat: &ChatRequest, script: &Script) -> EventFrames {
        let mut writer = Writer::default();
        let begun = response(chat, script, "in_progress", Vec::new());
        writer.push("response.created", json!({"response": begun}));
        writer.push("response.in_progress", json!({"response": begun}));
        for (index, item) in Item::all(script).iter().enumerate() {
            writer.item(index, item);
        }
        let name =
            if script.stop == Stop::Length { "response.incomplete" } else { "response.completed" };
        writer.push(name, json!({"response": self.whole(chat, script)}));
        writer.events
    }

    fn error_event(&self, _: &ChatRequest, sent: usize) -> Vec<u8> {
        named_sse(&json!({
            "type": "error",
            "code": "server_error",
            "message": "The mock was told to fail.",
            "param": null,
            "sequence_number": sent,
        }))
    }

    fn fields(&self) -> String {
        "x-request-id: req_mock000001\r\nopenai-processing-ms: 1\r\n".to_owned()
    }

    fn authenticate(&self, headers: &Headers) -> Result<(), Refusal> {
        openai_errors::authenticate(headers)
    }
}

fn end_status(script: &Script) -> &'static str {
    if script.stop == Stop::Length { "incomplete" } else { "completed" }
}

fn format(root: &Node) -> Result<Format, Refusal> {
    let Some(format) = root.get("text").and_then(|text| text.get("format")) else {
        return Ok(Format::Text);
    };
    match format.need("type")?.one_of(&["text", "json_schema", "json_object"])? {
        "text" => Ok(Format::Text),
        "json_object" => Ok(Format::Json),
        _ => {
            format.need("name")?.text()?;
            let schema = format.need("schema")?;
            schema.object()?;
            if format.get("strict").is_some_and(|strict| *strict.value == json!(true)) {
                check_strict(&schema)?;
            }
            Ok(Format::Schema(schema.value.clone()))
        }
    }
}

/// The functions among the tools; others are the vendor's own and not played here.
fn tools(root: &Node) -> Result<Vec<Tool>, Refusal> {
    let mut tools = Vec::new();
    for item in root.list("tools")? {
        if item.need("type")?.text()? == "function" {
            item.only(&[
                "type",
                "name",
                "description",
                "parameters",
                "strict",
                "defer_loading",
                "allowed_callers",
                "output_schema",
            ])?;
            tools.push(tool(&item)?);
        }
    }
    Ok(tools)
}

fn choice(root: &Node, tools: &[Tool]) -> Result<Choice, Refusal> {
    let Some(node) = root.get("tool_choice") else { return Ok(Choice::Auto) };
    if node.value.is_string() {
        return Ok(match node.one_of(&["none", "auto", "required"])? {
            "none" => Choice::None,
            "auto" => Choice::Auto,
            _ => Choice::Required,
        });
    }
    if node.need("type")?.text()? != "function" {
        return Ok(Choice::Auto);
    }
    let name = node.need("name")?.text()?.to_owned();
    if !knows_tool(tools, &name) {
        return Err(node.broken(format!("Tool choice '{name}' not found in 'tools' parameter.")));
    }
    Ok(Choice::Named(name))
}

/// An item of the output.
enum Item<'a> {
    Reasoning { id: String, summary: Option<&'a str> },
    Message { id: String, text: &'a str, refused: bool, cut: bool },
    Call { number: usize, name: &'a str, arguments: String },
}

impl<'a> Item<'a> {
    fn all(script: &'a Script) -> Vec<Self> {
        let item = |(index, piece): (usize, &'a Piece)| match piece {
            Piece::Thought(text) => {
                Self::Reasoning { id: format!("rs_mock{index:06}"), summary: Some(text) }
            }
            Piece::HiddenThinking => {
                Self::Reasoning { id: format!("rs_mock{index:06}"), summary: None }
            }
            Piece::Text(text) => Self::Message {
                id: format!("msg_mock{index:06}"),
                text,
                refused: script.stop == Stop::Refused,
                cut: script.stop == Stop::Length,
            },
            Piece::Call { number, name, arguments } => {
                Self::Call { number: *number, name, arguments: arguments.to_string() }
            }
        };
        script.pieces.iter().enumerate().map(item).collect()
    }

    fn id(&self) -> String {
        match self {
            Self::Reasoning { id, .. } | Self::Message { id, .. } => id.clone(),
            Self::Call { number, .. } => format!("fc_mock{number:06}"),
        }
    }

    /// The item as it ends, or, `in_progress`, as it begins.
    fn value(&self, status: &str) -> Value {
        let begins = status == "in_progress";
        match self {
            Self::Reasoning { id, summary } => {
                let summary = summary.filter(|_| !begins);
                let summary = summary.map(|text| json!({"type": "summary_text", "text": text}));
                let summary: Vec<_> = summary.into_iter().collect();
                json!({"id": id, "type": "reasoning", "summary": summary, "encrypted_content": self.sealed()})
            }
            Self::Message { id, cut, .. } => {
                let status = if *cut && !begins { "incomplete" } else { status };
                let content = if begins { Vec::new() } else { vec![self.part(false)] };
                json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": content})
            }
            Self::Call { number, name, arguments } => {
                let arguments = if begins { "" } else { arguments };
                json!({
                    "id": self.id(),
                    "type": "function_call",
                    "status": status,
                    "call_id": format!("call_mock{number:016}"),
                    "name": name,
                    "arguments": arguments,
                })
            }
        }
    }

    /// What proves that a thought came from here.
    fn sealed(&self) -> String {
        signature(&self.id())
    }

    /// The one part of a message, empty as it begins.
    fn part(&self, begins: bool) -> Value {
        match self {
            Self::Message { text, refused, .. } => {
                let text = if begins { "" } else { text };
                if *refused {
                    json!({"type": "refusal", "refusal": text})
                } else {
                    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
                }
            }
            _ => Value::Null,
        }
    }
}

/// Numbers events as they are written.
#[derive(Default)]
struct Writer {
    events: EventFrames,
}

impl Writer {
    fn number(&self, name: &str, mut members: Value) -> Vec<u8> {
        members["type"] = json!(name);
        members["sequence_number"] = json!(self.events.frames.len());
        named_sse(&members)
    }

    fn push(&mut self, name: &str, members: Value) {
        let frame = self.number(name, members);
        self.events.push(frame);
    }

    fn delta(&mut self, name: &str, members: Value) {
        let frame = self.number(name, members);
        self.events.delta(frame);
    }

    fn item(&mut self, index: usize, item: &Item) {
        let added = json!({"output_index": index, "item": item.value("in_progress")});
        self.push("response.output_item.added", added);
        let id = item.id();
        let place = || json!({"item_id": id, "output_index": index});
        match item {
            Item::Reasoning { summary, .. } => {
                if let Some(text) = summary {
                    self.reasoning(place, text);
                }
            }
            Item::Message { text, refused, .. } => self.message(place, item, text, *refused),
            Item::Call { arguments, .. } => {
                for fragment in fragments_of(arguments) {
                    let members = with(place(), "delta", json!(fragment));
                    self.delta("response.function_call_arguments.delta", members);
                }
                let done = with(place(), "arguments", json!(arguments));
                self.push("response.function_call_arguments.done", done);
            }
        }
        let done = json!({"output_index": index, "item": item.value("completed")});
        self.push("response.output_item.done", done);
    }

    fn reasoning(&mut self, place: impl Fn() -> Value, text: &str) {
        let place = || with(place(), "summary_index", json!(0));
        let part = |text: &str| json!({"type": "summary_text", "text": text});
        self.push("response.reasoning_summary_part.added", with(place(), "part", part("")));
        for word in words_of(text) {
            let members = with(place(), "delta", json!(word));
            self.delta("response.reasoning_summary_text.delta", members);
        }
        let done = with(place(), "text", json!(text));
        self.push("response.reasoning_summary_text.done", done);
        self.push("response.reasoning_summary_part.done", with(place(), "part", part(text)));
    }

    fn message(&mut self, place: impl Fn() -> Value, item: &Item, text: &str, refused: bool) {
        let place = || with(place(), "content_index", json!(0));
        let (name, member) = if refused { ("refusal", "refusal") } else { ("output_text", "text") };
        self.push("response.content_part.added", with(place(), "part", item.part(true)));
        let logged = |members: Value| {
            if refused { members } else { with(members, "logprobs", json!([])) }
        };
        for word in words_of(text) {
            let members = logged(with(place(), "delta", json!(word)));
            self.delta(&format!("response.{name}.delta"), members);
        }
        let done = logged(with(place(), member, json!(text)));
        self.push(&format!("response.{name}.done"), done);
        self.push("response.content_part.done", with(place(), "part", item.part(false)));
    }
}

fn with(mut members: Value, name: &str, value: Value) -> Value {
    members[name] = value;
    members
}

fn response(chat: &ChatRequest, script: &Script, status: &str, output: Vec<Value>) -> Value {
    let ended = status != "in_progress";
    let incomplete = (status == "incomplete").then(|| json!({"reason": "max_output_tokens"}));
    let tools = chat.tools.iter().map(|tool| {
        json!({"type": "function", "name": tool.name, "description": tool.description, "parameters": tool.schema, "strict": false})
    });
    let choice = match &chat.choice {
        Choice::Auto => json!("auto"),
        Choice::None => json!("none"),
        Choice::Required => json!("required"),
        Choice::Named(name) => json!({"type": "function", "name": name}),
    };
    json!({
        "id": ID,
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": false,
        "completed_at": ended.then_some(CREATED),
        "error": null,
        "incomplete_details": incomplete,
        "instructions": chat.system.first(),
        "max_output_tokens": chat.max_tokens,
        "metadata": {},
        "model": chat.model,
        "output": output,
        "parallel_tool_calls": chat.parallel,
        "previous_response_id": null,
        "reasoning": {"effort": null, "summary": null},
        "service_tier": "default",
        "store": true,
        "temperature": chat.temperature.unwrap_or(1.0),
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": choice,
        "tools": tools.collect::<Vec<_>>(),
        "top_logprobs": 0,
        "top_p": chat.top_p.unwrap_or(1.0),
        "truncation": "disabled",
        "usage": ended.then(|| usage(&script.usage)),
        "user": null,
    })
}

fn usage(usage: &TokenUsage) -> Value {
    json!({
        "input_tokens": usage.input,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write(),
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.thought},
        "total_tokens": usage.input + usage.output,
    })
}
