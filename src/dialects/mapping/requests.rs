//! The members of requests: each probe adds one member to a plain request, and what a dialect then
//! writes in addition is its name for that member.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use super::cases::attempt;
use super::notes::MappingNotes;
use super::{dialect_name, table, vendors};
use crate::llm::{
    CachePoint, ChatRequest, Content, Dialect, File, Format, Function, Image, Json, Media,
    MediaSource, Part, Reasoning, ReasoningSettings, Role, Signature, Tool, ToolCall, ToolChoice,
    ToolResult, Turn, WebSearch,
};

/// A text to find a probe by in a request.
const WORD: &str = "probe";

/// A schema that can be found.
const SCHEMA: &str = r#"{"type":"object","title":"probe","properties":{"x":{"type":"string"}},"required":["x"],"additionalProperties":false}"#;

/// A schema with a limit.
const BOUNDED: &str = r#"{"type":"object","properties":{"x":{"type":"integer","maximum":777}},"required":["x"],"additionalProperties":false}"#;

/// Names in the probes themselves, at the end of a path.
const OWN_NAMES: [&str; 3] = [".title", ".team", ".x"];

/// A base64 text for probes.
const BYTES: &str = "cHJvYmU=";

/// The end of most warnings. They need no note.
const NO_SUCH: &str = "has no such setting";

/// The content of a cell.
#[derive(Clone, Copy)]
enum Cell {
    /// The path of this text, or of one of several separated by `|`.
    Path(&'static str),
    /// What is written in addition, with its values.
    Value,
}

/// One member of a request.
struct Probe {
    name: &'static str,
    cell: Cell,
    without: ChatRequest,
    with: Box<dyn Fn(Dialect) -> ChatRequest>,
}

fn turn_of(role: Role, content: Vec<Content>) -> Turn {
    Turn::new(role, content.into_iter().map(Part::new).collect())
}

fn text(text: &str) -> Content {
    Part::text(text).content
}

fn hello() -> ChatRequest {
    let turns = vec![turn_of(Role::User, vec![text("Hello")])];
    ChatRequest { turns, max_tokens: Some(20_000), ..ChatRequest::default() }
}

/// A probe that changes `hello`.
fn setting(name: &'static str, cell: Cell, change: fn(&mut ChatRequest)) -> Probe {
    from(hello(), name, cell, change)
}

fn from(
    without: ChatRequest,
    name: &'static str,
    cell: Cell,
    change: fn(&mut ChatRequest),
) -> Probe {
    let base = without.clone();
    let with = move |_| {
        let mut request = base.clone();
        change(&mut request);
        request
    };
    Probe { name, cell, without, with: Box::new(with) }
}

/// A probe in a user message.
fn shown(name: &'static str, mark: &'static str, content: fn() -> Content) -> Probe {
    let with = move |_| {
        let mut request = hello();
        request.turns = vec![turn_of(Role::User, vec![text("Hello"), content()])];
        request
    };
    Probe { name, cell: Cell::Path(mark), without: hello(), with: Box::new(with) }
}

fn bounds() -> Vec<Probe> {
    use Cell::{Path, Value};
    vec![
        setting("bound of the answer", Path("777"), |it| it.max_tokens = Some(777)),
        setting("texts that end it", Path(WORD), |it| it.stop = vec![WORD.to_owned()]),
        setting("several answers", Path("2"), |it| it.n = Some(2)),
        setting("temperature", Path("0.625"), |it| it.sampling.temperature = Some(0.625)),
        setting("top_p", Path("0.875"), |it| it.sampling.top_p = Some(0.875)),
        setting("top_k", Path("40"), |it| it.sampling.top_k = Some(40)),
        setting("min_p", Path("0.125"), |it| it.sampling.min_p = Some(0.125)),
        setting("frequency penalty", Path("0.375"), |it| {
            it.sampling.frequency_penalty = Some(0.375);
        }),
        setting("presence penalty", Path("0.375"), |it| {
            it.sampling.presence_penalty = Some(0.375);
        }),
        setting("seed", Path("777"), |it| it.sampling.seed = Some(777)),
        setting("biases of tokens", Path("77"), |it| {
            it.sampling.logit_bias = Json::parse(r#"{"50256":77}"#);
        }),
        setting("log-probabilities", Value, |it| it.top_logprobs = Some(3)),
        setting("a stream", Value, |it| it.stream = true),
    ]
}

fn answers() -> Vec<Probe> {
    use Cell::{Path, Value};
    vec![
        setting("any JSON object", Value, |it| it.format = Some(Format::JsonObject)),
        setting("JSON by a schema", Path(WORD), |it| {
            it.format = Some(Format::JsonSchema {
                name: None,
                description: None,
                schema: Json::of_written(SCHEMA.to_owned()),
                strict: Some(true),
            });
        }),
        setting("name of the schema", Path(WORD), |it| {
            it.format = Some(Format::JsonSchema {
                name: Some(WORD.to_owned()),
                description: None,
                schema: Json::of_written(BOUNDED.to_owned()),
                strict: None,
            });
        }),
        setting("bound in the schema", Path("777"), |it| {
            it.format = Some(Format::JsonSchema {
                name: None,
                description: None,
                schema: Json::of_written(BOUNDED.to_owned()),
                strict: Some(true),
            });
        }),
        setting("verbosity", Path("low"), |it| it.verbosity = Some("low".to_owned())),
        setting("sound as an answer", Value, |it| it.modalities = vec!["audio".to_owned()]),
        setting("expected answer", Path(WORD), |it| it.prediction = Some(WORD.to_owned())),
        setting("end user", Path(WORD), |it| it.user = Some(WORD.to_owned())),
        setting("labels", Path(WORD), |it| {
            it.metadata = vec![("team".to_owned(), WORD.to_owned())];
        }),
        setting("class of service `priority`", Value, |it| {
            it.service_tier = Some("priority".to_owned());
        }),
        setting("class of service `flex`", Value, |it| {
            it.service_tier = Some("flex".to_owned());
        }),
    ]
}

fn conversation() -> Vec<Probe> {
    use Cell::Path;
    let of_turns = |name, turns: fn() -> Vec<Turn>| Probe {
        name,
        cell: Path(WORD),
        without: hello(),
        with: Box::new(move |_| ChatRequest { turns: turns(), ..hello() }),
    };
    vec![
        of_turns("instructions (system)", || {
            vec![turn_of(Role::System, vec![text(WORD)]), turn_of(Role::User, vec![text("Hello")])]
        }),
        of_turns("instructions (developer)", || {
            vec![
                turn_of(Role::Developer, vec![text(WORD)]),
                turn_of(Role::User, vec![text("Hello")]),
            ]
        }),
        of_turns("instructions further down", || {
            let hello = || turn_of(Role::User, vec![text("Hello")]);
            vec![hello(), turn_of(Role::System, vec![text(WORD)]), hello()]
        }),
        of_turns("words of the user", || vec![turn_of(Role::User, vec![text(WORD)])]),
        of_turns("words of the model", || {
            let hello = || turn_of(Role::User, vec![text("Hello")]);
            vec![hello(), turn_of(Role::Assistant, vec![text(WORD)]), hello()]
        }),
        of_turns("its refusal", || {
            let hello = || turn_of(Role::User, vec![text("Hello")]);
            let refusal = Content::Refusal(WORD.to_owned());
            vec![hello(), turn_of(Role::Assistant, vec![refusal]), hello()]
        }),
        of_turns("name of the speaker", || {
            let turn = turn_of(Role::User, vec![text("Hello")]);
            vec![Turn { name: Some(WORD.to_owned()), ..turn }]
        }),
        cached("cache point", CachePoint::Default),
        cached("cache point of an hour", CachePoint::Hour),
    ]
}

fn cached(name: &'static str, point: CachePoint) -> Probe {
    let turns = move |cache| {
        let part = Part { cache, ..Part::text("Hello") };
        ChatRequest { turns: vec![Turn::new(Role::User, vec![part])], ..hello() }
    };
    let with = Box::new(move |_| turns(Some(point)));
    let mark = if point == CachePoint::Hour { "1h" } else { "ephemeral|default" };
    Probe { name, cell: Cell::Path(mark), without: turns(None), with }
}

fn media() -> Vec<Probe> {
    vec![
        shown("picture, base64", BYTES, || {
            Content::Image(Image { media: Media::base64("image/png", BYTES), detail: None })
        }),
        shown("picture, by address", WORD, || {
            Content::Image(Image {
                media: Media::of_url("https://a.example/probe.png"),
                detail: None,
            })
        }),
        shown("how closely to look", "high", || {
            let media = Media::base64("image/png", BYTES);
            Content::Image(Image { media, detail: Some("high".to_owned()) })
        }),
        shown("PDF, base64", BYTES, || document(Media::base64("application/pdf", BYTES), None)),
        shown("PDF, by address", WORD, || {
            let mut media = Media::of_url("https://a.example/probe");
            media.media_type = Some("application/pdf".to_owned());
            document(media, None)
        }),
        shown("file kept at the vendor", WORD, || {
            document(Media { media_type: None, source: MediaSource::Id(WORD.to_owned()) }, None)
        }),
        shown("its name", "probe.pdf|probe-pdf", || {
            document(Media::base64("application/pdf", BYTES), Some("probe.pdf".to_owned()))
        }),
        shown("plain text as a file", WORD, || document(Media::plain_text(WORD), None)),
        shown("sound, base64", BYTES, || Content::Audio(Media::base64("audio/wav", BYTES))),
        shown("video, base64", BYTES, || Content::Video(Media::base64("video/mp4", BYTES))),
        shown("video, by address", WORD, || {
            let mut media = Media::of_url("https://a.example/probe");
            media.media_type = Some("video/mp4".to_owned());
            Content::Video(media)
        }),
    ]
}

fn document(media: Media, name: Option<String>) -> Content {
    Content::File(File { media, name, context: None, with_citations: false })
}

fn function(change: fn(&mut Function)) -> Vec<Tool> {
    let parameters =
        Json::parse(r#"{"type":"object","properties":{},"additionalProperties":false}"#);
    let mut function = Function { name: "f".to_owned(), parameters, ..Function::default() };
    change(&mut function);
    vec![Tool::Function(function)]
}

fn with_tool() -> ChatRequest {
    ChatRequest { tools: function(|_| {}), ..hello() }
}

/// A call and its result, changed by `change`.
fn called(change: fn(&mut ToolCall, &mut ToolResult)) -> ChatRequest {
    let mut call = ToolCall {
        id: "call_1".to_owned(),
        name: "f".to_owned(),
        arguments: r#"{"x":1}"#.to_owned(),
        signature: None,
    };
    let mut result = ToolResult {
        id: "call_1".to_owned(),
        name: Some("f".to_owned()),
        parts: vec![Part::text("18")],
        is_error: false,
    };
    change(&mut call, &mut result);
    let turns = vec![
        turn_of(Role::User, vec![text("Hello")]),
        turn_of(Role::Assistant, vec![Content::ToolCall(call)]),
        turn_of(Role::Tool, vec![Content::ToolResult(result)]),
    ];
    ChatRequest { turns, ..with_tool() }
}

fn tools() -> Vec<Probe> {
    use Cell::{Path, Value};
    let choice = |name, choice: fn(&mut ChatRequest)| from(with_tool(), name, Value, choice);
    let calling = |name, mark, change| Probe {
        name,
        cell: Path(mark),
        without: called(|_, _| {}),
        with: Box::new(move |_| called(change)),
    };
    vec![
        setting("function: name", Path(WORD), |it| {
            it.tools = function(|it| WORD.clone_into(&mut it.name));
        }),
        setting("function: what it does", Path(WORD), |it| {
            it.tools = function(|it| it.description = Some(WORD.to_owned()));
        }),
        setting("function: schema", Path(WORD), |it| {
            it.tools = function(|it| {
                it.parameters = Json::parse(SCHEMA);
            });
        }),
        from(with_tool(), "function: strict", Value, |it| {
            it.tools = function(|it| it.strict = Some(true));
        }),
        choice("call as it likes", |it| it.tool_choice = Some(ToolChoice::Auto)),
        choice("call nothing", |it| it.tool_choice = Some(ToolChoice::None)),
        choice("call something", |it| it.tool_choice = Some(ToolChoice::Required)),
        choice("call this function", |it| {
            it.tool_choice = Some(ToolChoice::Function("f".to_owned()));
        }),
        choice("one call at a time", |it| it.parallel_tool_calls = Some(false)),
        calling("call: id", "call_probe", |call, result| {
            "call_probe".clone_into(&mut call.id);
            "call_probe".clone_into(&mut result.id);
        }),
        calling("call: arguments", WORD, |call, _| {
            r#"{"x":"probe"}"#.clone_into(&mut call.arguments);
        }),
        calling("result", WORD, |_, result| result.parts = vec![Part::text(WORD)]),
        Probe {
            name: "result that is an error",
            cell: Value,
            without: called(|_, _| {}),
            with: Box::new(|_| called(|_, result| result.is_error = true)),
        },
        calling("picture in a result", BYTES, |_, result| {
            let media = Media::base64("image/png", BYTES);
            result.parts.push(Part::new(Content::Image(Image { media, detail: None })));
        }),
        setting("search of the web", Value, |it| {
            it.tools = vec![Tool::WebSearch(WebSearch::default())];
        }),
        setting("search: only these sites", Path(WORD), |it| {
            let allowed_domains = vec![WORD.to_owned()];
            it.tools = vec![Tool::WebSearch(WebSearch { allowed_domains, ..WebSearch::default() })];
        }),
        setting("search: not these sites", Path(WORD), |it| {
            let blocked_domains = vec![WORD.to_owned()];
            it.tools = vec![Tool::WebSearch(WebSearch { blocked_domains, ..WebSearch::default() })];
        }),
        setting("search: at most so many", Path("777"), |it| {
            let uses_max = Some(777);
            it.tools = vec![Tool::WebSearch(WebSearch { uses_max, ..WebSearch::default() })];
        }),
        setting("sandbox for code", Value, |it| it.tools = vec![Tool::CodeExecution]),
    ]
}

fn reasoning() -> Vec<Probe> {
    let thinking = |name, of: fn(Dialect) -> Option<Dialect>| Probe {
        name,
        cell: Cell::Path(WORD),
        without: hello(),
        with: Box::new(move |to| {
            let signature =
                of(to).map(|dialect| Signature { dialect, text: "signature".to_owned() });
            let reasoning = Reasoning { text: WORD.to_owned(), signature, ..Reasoning::default() };
            let turns = vec![
                turn_of(Role::User, vec![text("Hello")]),
                turn_of(Role::Assistant, vec![Content::Reasoning(reasoning), text("Yes?")]),
                turn_of(Role::User, vec![text("Go on")]),
            ];
            ChatRequest { turns, ..hello() }
        }),
    };
    vec![
        setting("shown to the client", Cell::Value, |it| {
            it.reasoning = Some(ReasoningSettings {
                effort: Some("high".to_owned()),
                is_shown: Some(true),
                ..ReasoningSettings::default()
            });
        }),
        thinking("sent back, signed by this vendor", Some),
        thinking("sent back, signed by another", |to| {
            let other = to != Dialect::Gemini;
            Some(if other { Dialect::Gemini } else { Dialect::AnthropicMessages })
        }),
        thinking("sent back, unsigned", |_| None),
    ]
}

/// Models with different forms of reasoning settings.
const THINKERS: [(Dialect, &str); 10] = [
    (Dialect::OpenaiChat, "gpt-5.1"),
    (Dialect::OpenaiResponses, "gpt-5.1"),
    (Dialect::AnthropicMessages, "claude-sonnet-4-5"),
    (Dialect::AnthropicMessages, "claude-opus-4-7"),
    (Dialect::Gemini, "gemini-2.5-pro"),
    (Dialect::Gemini, "gemini-3-pro-preview"),
    (Dialect::BedrockConverse, "anthropic.claude-sonnet-4-5-20250929-v1:0"),
    (Dialect::BedrockConverse, "amazon.nova-2-lite-v1:0"),
    (Dialect::BedrockConverse, "openai.gpt-oss-120b-1:0"),
    (Dialect::CohereChat, "command-a-reasoning-08-2025"),
];

/// Appends all tables.
pub(super) fn write(out: &mut String) {
    out.push_str(
        "\n## Member by member\n\nThe member for each feature in each dialect. `[]` stands for \
         every element of an array. `dropped` alone: the dialect\nhas no such setting, and the \
         warning reports that. `–`: no member is needed, since the provider does it anyway or \
         the\npath determines it. A number refers to the warning or refusal below the table.\n",
    );
    group(out, "Limits, sampling and streaming", bounds());
    group(out, "Response format and billing", answers());
    out.push_str(
        "\nOf Google's two APIs, only Vertex AI has `labels`, and only AI Studio has \
         `serviceTier`; each rejects the other's.\n",
    );
    group(out, "The conversation", conversation());
    group(out, "Images, files, audio", media());
    group(out, "Tools", tools());
    group(out, "Reasoning", reasoning());
    thinkers(out);
}

fn group(out: &mut String, title: &str, probes: Vec<Probe>) {
    let _ = write!(out, "\n### {title}\n\n");
    let names: Vec<String> = vendors().map(|(dialect, ..)| dialect_name(dialect)).collect();
    let mut header = vec![""];
    header.extend(names.iter().map(String::as_str));
    let mut notes = MappingNotes::default();
    let rows: Vec<Vec<String>> = probes
        .iter()
        .map(|probe| {
            let cells = vendors().map(|(dialect, codec, model)| {
                let without = attempt((dialect, codec), &probe.without, model);
                let with = attempt((dialect, codec), &(probe.with)(dialect), model);
                cell(dialect, probe.cell, without, with, &mut notes)
            });
            [probe.name.to_owned()].into_iter().chain(cells).collect()
        })
        .collect();
    table::write(out, &header, rows);
    notes.write(out);
}

type ProbeRun = Result<(Value, Vec<String>), String>;

fn cell(
    dialect: Dialect,
    form: Cell,
    without: ProbeRun,
    with: ProbeRun,
    notes: &mut MappingNotes,
) -> String {
    let (without, known) = without.expect("a plain request is sayable");
    let (with, warnings) = match with {
        Ok(written) => written,
        Err(refusal) => return format!("refused {}", notes.mark(dialect, &refusal)),
    };
    let more = added(&without, &with);
    let mut cell = match form {
        Cell::Path(mark) => places(&more, mark),
        Cell::Value => values(&more, &with),
    };
    let new: Vec<&String> = warnings.iter().filter(|it| !known.contains(it)).collect();
    if cell.is_empty() {
        match new.as_slice() {
            [] => {
                return added(&with, &without).keys().next().map_or("–".to_owned(), |left_out| {
                    let member = left_out.split('/').nth(1).unwrap_or_default();
                    format!("without `{member}`")
                });
            }
            [only] if only.ends_with(NO_SUCH) => return "dropped".to_owned(),
            [first, ..] => cell.extend(first.split(' ').next().map(str::to_owned)),
        }
    }
    cell.extend(new.into_iter().map(|warning| notes.mark(dialect, warning)));
    cell.join(" ")
}

/// The leaves of `with` that are missing in `without`, by path.
pub(super) fn added(without: &Value, with: &Value) -> BTreeMap<String, Value> {
    let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
    leaves("", without, &mut before);
    leaves("", with, &mut after);
    after.retain(|path, value| before.get(path) != Some(value));
    after
}

/// Paths are JSON pointers; an empty object or array is a leaf.
fn leaves(path: &str, value: &Value, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            members.iter().for_each(|(key, inner)| leaves(&format!("{path}/{key}"), inner, found));
        }
        Value::Array(items) if !items.is_empty() => {
            let items = items.iter().enumerate();
            items.for_each(|(index, inner)| leaves(&format!("{path}/{index}"), inner, found));
        }
        leaf => {
            found.insert(path.to_owned(), leaf.clone());
        }
    }
}

/// The paths at which `mark` occurs.
pub(super) fn places(more: &BTreeMap<String, Value>, mark: &str) -> Vec<String> {
    let is_at = |path: &str, value: &Value, mark: &str| match value {
        Value::String(text) => {
            text.contains(mark) || path.ends_with(mark) || mark == WORD && text.contains(BYTES)
        }
        other => format!("{other}") == mark || path.ends_with(mark),
    };
    let found =
        more.iter().filter(|(path, value)| mark.split('|').any(|mark| is_at(path, value, mark)));
    let mut names: Vec<String> = found
        .map(|(path, _)| {
            let name = dotted(path);
            let own = OWN_NAMES.iter().find_map(|own| name.strip_suffix(own));
            format!("`{}`", own.unwrap_or(&name))
        })
        .collect();
    names.dedup();
    names
}

/// What was added, in the largest pieces that are new as a whole.
fn values(more: &BTreeMap<String, Value>, with: &Value) -> Vec<String> {
    let mut members = Vec::new();
    list_members("", with, more, &mut members);
    members
}

fn list_members(
    path: &str,
    value: &Value,
    more: &BTreeMap<String, Value>,
    members: &mut Vec<String>,
) {
    let mut inner = BTreeMap::new();
    leaves(path, value, &mut inner);
    if !inner.keys().any(|leaf| more.contains_key(leaf)) {
        return;
    }
    if !path.is_empty() && inner.keys().all(|leaf| more.contains_key(leaf)) {
        return members.push(format!("`{}: {value}`", dotted(path)));
    }
    match value {
        Value::Object(object) => {
            object
                .iter()
                .for_each(|(key, it)| list_members(&format!("{path}/{key}"), it, more, members));
        }
        Value::Array(items) => {
            let items = items.iter().enumerate();
            items.for_each(|(index, it)| {
                list_members(&format!("{path}/{index}"), it, more, members);
            });
        }
        _ => {}
    }
}

/// A JSON pointer in dotted notation.
pub(super) fn dotted(pointer: &str) -> String {
    let mut out = String::new();
    for segment in pointer.split('/').skip(1) {
        if segment.bytes().all(|byte| byte.is_ascii_digit()) {
            out.push_str("[]");
        } else {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(segment);
        }
    }
    out
}

/// Appends the table of reasoning settings, which depend on the model rather than the dialect.
fn thinkers(out: &mut String) {
    out.push_str(
        "\nThe amount of thinking, requested as OpenAI's effort or as a token budget. The output \
         token limit of the request is\n20,000.\n\n",
    );
    let with_reasoning = |reasoning| ChatRequest { reasoning: Some(reasoning), ..hello() };
    let effort = |effort: &str| {
        with_reasoning(ReasoningSettings { effort: Some(effort.to_owned()), ..Default::default() })
    };
    let probes = [
        with_reasoning(ReasoningSettings { is_off: true, ..Default::default() }),
        effort("low"),
        effort("high"),
        with_reasoning(ReasoningSettings { tokens_max: Some(4000), ..Default::default() }),
    ];
    let mut notes = MappingNotes::default();
    let rows: Vec<Vec<String>> = THINKERS
        .iter()
        .map(|(dialect, model)| {
            let codec = (*dialect, super::codec(*dialect).expect("a dialect with code"));
            let cells = probes.iter().map(|probe| {
                let (without, with) =
                    (attempt(codec, &hello(), model), attempt(codec, probe, model));
                cell(*dialect, Cell::Value, without, with, &mut notes)
            });
            [dialect_name(*dialect), format!("`{model}`")].into_iter().chain(cells).collect()
        })
        .collect();
    let header =
        ["dialect", "model", "not at all", "effort `low`", "effort `high`", "4,000 tokens"];
    table::write(out, &header, rows);
    notes.write(out);
}
