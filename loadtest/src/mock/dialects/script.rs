//! What is answered, in no dialect: derived from the user's last words.
//!
//! The words are commands apart by commas, full stops, `and`, `then` or line ends, so that tests need no state:
//! `think, then call the tools`. Words that hold no command are echoed. The same request always gives the same
//! script, whole or as a stream.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::chat_request::{ChatRequest, Choice, Format, Part, Tool};

/// Deepest schema that arguments are built from.
const SCHEMA_DEPTH_MAX: usize = 32;
/// Bytes of JSON arguments in one event of a stream.
const FRAGMENT_BYTES: usize = 6;
const THOUGHT: &str = "The user wants something. It can be done.";
const REFUSED: &str = "I cannot help with that.";
const CACHE_READ: u64 = 40;
const CACHE_WRITE_5M: u64 = 12;
const CACHE_WRITE_1H: u64 = 8;

/// An answer to give.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    pub pieces: Vec<Piece>,
    pub stop: Stop,
    pub usage: TokenUsage,
    pub ending: Ending,
    /// Answer with an error of this status instead.
    pub status: Option<u16>,
}

/// A part of an answer, in the order of sending.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    Thought(String),
    /// A thought that only the vendor can read.
    HiddenThinking,
    Text(String),
    /// `number` counts the calls of the conversation from 1, so that ids differ.
    Call {
        number: usize,
        name: String,
        arguments: Value,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Done,
    Calls,
    Length,
    Refused,
}

/// How the answer ends on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Whole,
    /// The connection breaks in the middle.
    Cut,
    /// The stream sends an error after two deltas.
    Error,
}

/// Tokens. `input` counts those of the cache too, `output` those of thoughts too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    pub input: u64,
    pub cache_read: u64,
    pub cache_write_5m: u64,
    pub cache_write_1h: u64,
    pub output: u64,
    pub thought: u64,
}

impl TokenUsage {
    pub fn cache_write(&self) -> u64 {
        self.cache_write_5m + self.cache_write_1h
    }

    /// Input beside the cache, as Anthropic and Bedrock count it.
    pub fn input_uncached(&self) -> u64 {
        self.input - self.cache_read - self.cache_write()
    }
}

/// What the user's last words command.
#[derive(Debug, Default, PartialEq, Eq)]
struct Commands {
    think: bool,
    think_in_secret: bool,
    explains: bool,
    calls: usize,
    refuse: bool,
    long: bool,
    cut: bool,
    error_in_stream: bool,
    cached: bool,
    describe: bool,
    status: Option<u16>,
}

impl Commands {
    fn of(words: &str) -> Self {
        let mut commands = Self::default();
        let lower = words.to_ascii_lowercase().replace(" and ", ",").replace(" then ", ",");
        for piece in lower.split([',', '.', ';', '\n']) {
            let piece = piece.trim();
            match piece.strip_prefix("then ").unwrap_or(piece) {
                "think" => commands.think = true,
                "think in secret" => commands.think_in_secret = true,
                "say why" => commands.explains = true,
                "call the tool" => commands.calls = 1,
                "call the tools" => commands.calls = 2,
                "refuse" => commands.refuse = true,
                "long" => commands.long = true,
                "break" => commands.cut = true,
                "error in stream" => commands.error_in_stream = true,
                "cached" => commands.cached = true,
                "describe" => commands.describe = true,
                other => {
                    let status = other.strip_prefix("error ").and_then(|code| code.parse().ok());
                    let status = status.filter(|status| (400..600).contains(status));
                    commands.status = commands.status.or(status);
                }
            }
        }
        commands
    }
}

impl Script {
    pub fn of(chat: &ChatRequest) -> Self {
        let words = chat.last_words();
        let commands = Commands::of(&words);
        let mut pieces = Vec::new();
        if commands.think_in_secret {
            pieces.push(Piece::HiddenThinking);
        }
        if commands.think {
            pieces.push(Piece::Thought(THOUGHT.to_owned()));
        }
        let calls = if commands.refuse { Vec::new() } else { calls(chat, &commands, &words) };
        let stop = match () {
            () if commands.refuse => Stop::Refused,
            () if commands.long => Stop::Length,
            () if !calls.is_empty() => Stop::Calls,
            () => Stop::Done,
        };
        if calls.is_empty() {
            pieces.push(Piece::Text(text(chat, &commands, &words)));
        } else if commands.explains {
            pieces.push(Piece::Text("I will ask the tool.".to_owned()));
        }
        pieces.extend(calls);
        let ending = match () {
            () if commands.cut => Ending::Cut,
            () if commands.error_in_stream => Ending::Error,
            () => Ending::Whole,
        };
        let usage = usage(chat, &pieces, commands.cached);
        Self { pieces, stop, usage, ending, status: commands.status }
    }

    /// The calls, in order: number, name, arguments.
    pub fn calls(&self) -> impl Iterator<Item = (usize, &str, &Value)> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Call { number, name, arguments } => Some((*number, name.as_str(), arguments)),
            _ => None,
        })
    }

    /// All text as one.
    pub fn text(&self) -> Option<String> {
        let texts = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.map(str::to_owned).reduce(|all, text| all + &text)
    }
}

/// The calls that the words command or the choice of tools forces; none after results of tools.
fn calls(chat: &ChatRequest, commands: &Commands, words: &str) -> Vec<Piece> {
    let forced = match &chat.choice {
        Choice::None => return Vec::new(),
        Choice::Auto => None,
        Choice::Required => chat.tools.first(),
        Choice::Named(name) => chat.tools.iter().find(|tool| tool.name == *name),
    };
    if chat.tools.is_empty() || words.is_empty() {
        return Vec::new();
    }
    let most = if chat.parallel { 2 } else { 1 };
    let wanted = commands.calls.max(usize::from(forced.is_some())).min(most);
    let before = chat.calls().count();
    let call = |index: usize| {
        let tool = match &chat.choice {
            Choice::Named(_) => forced,
            _ => chat.tools.get(index),
        };
        let tool = tool.or(chat.tools.first())?;
        let arguments = example(&tool.schema, &tool.schema, 0);
        let arguments = if arguments.is_object() { arguments } else { json!({}) };
        Some(Piece::Call { number: before + index + 1, name: tool.name.clone(), arguments })
    };
    (0..wanted).filter_map(call).collect()
}

fn text(chat: &ChatRequest, commands: &Commands, words: &str) -> String {
    if commands.refuse {
        return REFUSED.to_owned();
    }
    if commands.describe {
        return chat.description();
    }
    match &chat.format {
        Format::Schema(schema) => return example(schema, schema, 0).to_string(),
        Format::Json => return json!({"said": words}).to_string(),
        Format::Text => {}
    }
    let results = chat.parts().filter_map(|part| match part {
        Part::Result { text, is_error: true, .. } => Some(format!("The tool failed: {text}")),
        Part::Result { text, .. } => Some(format!("The tool said: {text}")),
        _ => None,
    });
    let echo = (!words.is_empty()).then(|| format!("You said: {words}"));
    let sentences: Vec<_> = echo.into_iter().chain(results).collect();
    if sentences.is_empty() { "You said nothing.".to_owned() } else { sentences.join(" ") }
}

fn usage(chat: &ChatRequest, pieces: &[Piece], cached: bool) -> TokenUsage {
    let (mut output, mut thought) = (0, 0);
    for piece in pieces {
        match piece {
            Piece::Thought(text) => thought += words_of(text).len() as u64,
            Piece::HiddenThinking => thought += 5,
            Piece::Text(text) => output += words_of(text).len() as u64,
            Piece::Call { arguments, .. } => {
                output += fragments_of(&arguments.to_string()).len() as u64 + 1;
            }
        }
    }
    let mut usage = TokenUsage { thought, output: output + thought, ..TokenUsage::default() };
    if cached {
        usage.cache_read = CACHE_READ;
        usage.cache_write_5m = CACHE_WRITE_5M;
        usage.cache_write_1h = CACHE_WRITE_1H;
    }
    usage.input = chat.input_tokens() + usage.cache_read + usage.cache_write();
    usage
}

/// The tokens of a text: its words, each with the blank after it.
pub fn words_of(text: &str) -> Vec<&str> {
    text.split_inclusive(' ').collect()
}

/// The pieces in which JSON arguments are streamed; they meet between characters, not between tokens of JSON.
pub fn fragments_of(json: &str) -> Vec<&str> {
    let mut fragments = Vec::new();
    let mut rest = json;
    while !rest.is_empty() {
        let (fragment, after) = rest.split_at(rest.ceil_char_boundary(FRAGMENT_BYTES));
        fragments.push(fragment);
        rest = after;
    }
    fragments
}

/// A value that a JSON Schema allows, in any spelling of its types.
fn example(schema: &Value, root: &Value, depth: usize) -> Value {
    if depth > SCHEMA_DEPTH_MAX {
        return Value::Null;
    }
    let inner = |schema: &Value| example(schema, root, depth + 1);
    if let Some(target) = schema["$ref"].as_str().and_then(|path| path.strip_prefix('#')) {
        return root.pointer(target).map_or(Value::Null, inner);
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    for union in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema[union].get(0) {
            return inner(first);
        }
    }
    let types = &schema["type"];
    let kind = types.as_str().or(types[0].as_str()).unwrap_or("object").to_ascii_lowercase();
    match kind.as_str() {
        "string" => json!("x"),
        "number" => json!(1.5),
        "integer" => json!(1),
        "boolean" => json!(true),
        "null" => Value::Null,
        "array" => json!([schema.get("items").map_or(json!("x"), inner)]),
        _ => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            let members = properties.map(|(name, schema)| (name.clone(), inner(schema)));
            Value::Object(members.collect::<Map<_, _>>())
        }
    }
}

/// Proof that `words` come from the mock; base64, as all vendors' signatures are.
pub fn signature(words: &str) -> String {
    STANDARD.encode(format!("loadtest-mock:{:08x}", crc32fast::hash(words.as_bytes())))
}

/// A text as base64.
pub fn base64_of(text: &str) -> String {
    STANDARD.encode(text)
}

/// True for base64 with its padding.
pub fn is_base64(text: &str) -> bool {
    STANDARD.decode(text).is_ok()
}

/// Finds the tool that a choice names.
pub fn knows_tool(tools: &[Tool], name: &str) -> bool {
    tools.iter().any(|tool| tool.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::dialects::chat_request::Role;

    fn chat(words: &str) -> ChatRequest {
        let mut chat = ChatRequest::new("m");
        chat.push(Role::User, vec![Part::Text(words.to_owned())]);
        for name in ["first", "second"] {
            let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
            chat.tools.push(Tool { name: name.into(), description: String::new(), schema });
        }
        chat
    }

    fn names(chat: &ChatRequest) -> Vec<String> {
        Script::of(chat).calls().map(|(number, name, _)| format!("{number}{name}")).collect()
    }

    #[test]
    fn words_are_commands_or_echoed() {
        let cases = [
            ("Hello there", "You said: Hello there"),
            ("Do you think so", "You said: Do you think so"),
            ("How long is it", "You said: How long is it"),
            ("refuse", REFUSED),
        ];
        for (words, text) in cases {
            let script = Script::of(&chat(words));
            assert_eq!(script.pieces, [Piece::Text(text.to_owned())], "{words}");
        }
        let script = Script::of(&chat("Hello. Think, then call the tools and break."));
        assert_eq!((script.pieces.len(), script.stop), (3, Stop::Calls));
        assert_eq!(script.ending, Ending::Cut);
        let statuses = [("error 429", Some(429)), ("error 200", None), ("Error 529.", Some(529))];
        for (words, status) in statuses {
            assert_eq!(Script::of(&chat(words)).status, status, "{words}");
        }
    }

    #[test]
    fn tools_are_called_as_the_choice_allows() {
        let mut chat = chat("call the tools");
        assert_eq!(names(&chat), ["1first", "2second"]);
        chat.parallel = false;
        assert_eq!(names(&chat), ["1first"]);
        chat.choice = Choice::Named("second".into());
        assert_eq!(names(&chat), ["1second"]);
        chat.choice = Choice::None;
        assert!(names(&chat).is_empty());
        let call = Part::Call { id: "a".into(), name: "first".into(), arguments: json!({}) };
        chat.push(Role::Assistant, vec![call]);
        let result = Part::Result { id: "a".into(), text: "7".into(), is_error: false };
        chat.push(Role::User, vec![result]);
        chat.choice = Choice::Required;
        assert_eq!(Script::of(&chat).text().unwrap(), "The tool said: 7");
        chat.push(Role::User, vec![Part::Text("call the tool".into())]);
        assert_eq!(names(&chat), ["2first"]);
    }

    #[test]
    fn arguments_follow_the_schema() {
        let cases = [
            (json!({"type": "string"}), json!("x")),
            (json!({"type": ["number", "null"]}), json!(1.5)),
            (json!({"type": "INTEGER"}), json!(1)),
            (json!({"enum": ["b", "a"]}), json!("b")),
            (json!({"type": "array", "items": {"type": "boolean"}}), json!([true])),
            (json!({"anyOf": [{"const": 3}]}), json!(3)),
            (
                json!({"$defs": {"p": {"type": "string"}}, "properties": {"a": {"$ref": "#/$defs/p"}}}),
                json!({"a": "x"}),
            ),
            (json!({}), json!({})),
        ];
        for (schema, expected) in cases {
            assert_eq!(example(&schema, &schema, 0), expected, "{schema}");
        }
        let endless = json!({"properties": {"self": {"$ref": "#"}}});
        assert!(example(&endless, &endless, 0).is_object());
    }

    #[test]
    fn fragments_keep_all_text() {
        for text in ["", "é", "{\"a\":\"ééééé\"}", "a b  c "] {
            assert_eq!(fragments_of(text).concat(), text);
            assert_eq!(words_of(text).concat(), text);
        }
    }
}
