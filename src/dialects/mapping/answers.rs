//! The members of responses, streams and errors, as each client's dialect has them; and the values of
//! providers that are read into them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::Codec;
use super::super::grid::{cases, encode, request_with_usage};
use super::requests::{added, dotted, places};
use super::{clients, dialect_name, table, vendors};
use crate::llm::{
    Answer, ApiError, Choice, Citation, Content, Dialect, Image, Media, Part, Reasoning, Scanner,
    Signature, StopReason, Text, TokenLogprob, ToolCall, Usage, chunks_of,
};

/// A text to find a probe by in a response.
const WORD: &str = "probe";

/// Where each dialect has the stop reason in the golden response `length`, and the values that the
/// vendors' references list.
const STOP_WORDS: [(Dialect, &str, &[&str]); 6] = [
    (
        Dialect::OpenaiChat,
        "/choices/0/finish_reason",
        &["stop", "length", "tool_calls", "function_call", "content_filter"],
    ),
    (
        Dialect::OpenaiResponses,
        "/incomplete_details/reason",
        &["max_output_tokens", "content_filter"],
    ),
    (
        Dialect::AnthropicMessages,
        "/stop_reason",
        &[
            "end_turn",
            "max_tokens",
            "model_context_window_exceeded",
            "stop_sequence",
            "tool_use",
            "pause_turn",
            "refusal",
        ],
    ),
    (
        Dialect::Gemini,
        "/candidates/0/finishReason",
        &[
            "STOP",
            "MAX_TOKENS",
            "SAFETY",
            "RECITATION",
            "LANGUAGE",
            "BLOCKLIST",
            "PROHIBITED_CONTENT",
            "SPII",
            "MALFORMED_FUNCTION_CALL",
            "UNEXPECTED_TOOL_CALL",
            "TOO_MANY_TOOL_CALLS",
            "OTHER",
        ],
    ),
    (
        Dialect::BedrockConverse,
        "/stopReason",
        &[
            "end_turn",
            "max_tokens",
            "model_context_window_exceeded",
            "stop_sequence",
            "tool_use",
            "guardrail_intervened",
            "content_filtered",
            "malformed_model_output",
            "malformed_tool_use",
        ],
    ),
    (
        Dialect::CohereChat,
        "/finish_reason",
        &["COMPLETE", "MAX_TOKENS", "STOP_SEQUENCE", "TOOL_CALL", "ERROR", "TIMEOUT"],
    ),
];

/// Statuses for which at least one dialect has a name.
const STATUSES: [u16; 11] = [400, 401, 403, 404, 408, 413, 429, 500, 503, 504, 529];

fn with_parts(parts: Vec<Content>) -> Answer {
    let choice = Choice { parts: parts.into_iter().map(Part::new).collect(), ..Choice::default() };
    Answer {
        id: "answer-1".to_owned(),
        model: "model-1".to_owned(),
        choices: vec![choice],
        usage: Some(Usage { input_tokens: 100, output_tokens: 50, ..Usage::default() }),
        ..Answer::default()
    }
}

fn hello() -> Answer {
    with_parts(vec![Part::text("Hello").content])
}

fn written(codec: &dyn Codec, answer: &Answer) -> Value {
    let mut out = Vec::new();
    codec.write_answer(answer, &request_with_usage(), 1_795_000_000, &mut out);
    serde_json::from_slice(&out).expect("JSON is written")
}

/// A tier that has this name in several dialects; other names reach no client.
const TIER: &str = "priority";

/// Appends all tables.
pub(super) fn write(out: &mut String) {
    out.push_str(
        "\n## Responses\n\nWhere a client finds each part of its response, for any dialect of the \
         provider. The same applies to streams.\n\n",
    );
    let names: Vec<String> = clients().map(|(dialect, _)| dialect_name(dialect)).collect();
    let mut header = vec![""];
    header.extend(names.iter().map(String::as_str));
    parts(out, &header);
    out.push_str("\n### Finish reasons\n\n");
    stops(out, &header);
    out.push_str(
        "\nThe finish reason is derived from these provider values; an unknown value counts as \
         complete, for Gemini as filtered.\n\n",
    );
    stop_reasons(out);
    usage(out, &header);
    errors(out, &header);
    streams(out);
}

fn parts(out: &mut String, header: &[&str]) {
    let sample = || WORD.to_owned();
    let signature = |text: &str| Signature { dialect: Dialect::CohereChat, text: text.to_owned() };
    let reasoning_part = |reasoning: Reasoning| with_parts(vec![Content::Reasoning(reasoning)]);
    let call = |call: ToolCall| with_parts(vec![Content::ToolCall(call)]);
    let citation =
        Citation { url: Some(sample()), title: Some("title".to_owned()), ..Default::default() };
    let cited = Text { text: "Hello".to_owned(), citations: vec![citation] };
    let mut likely = hello();
    if let Some(choice) = likely.choices.first_mut() {
        choice.logprobs = vec![TokenLogprob { token: sample(), logprob: -0.5, top: Vec::new() }];
    }
    let image = Image { media: Media::base64("image/png", WORD), detail: None };
    let named = |name: &str, arguments: &str| ToolCall {
        id: "call_1".to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
        signature: None,
    };
    let rows = [
        ("id", Answer { id: sample(), ..hello() }),
        ("model", Answer { model: sample(), ..hello() }),
        ("words", with_parts(vec![Part::text(WORD).content])),
        ("a source of them", with_parts(vec![Content::Text(cited)])),
        ("thought", reasoning_part(Reasoning { text: sample(), ..Reasoning::default() })),
        (
            "its signature",
            reasoning_part(Reasoning {
                text: "hm".to_owned(),
                signature: Some(signature(WORD)),
                ..Reasoning::default()
            }),
        ),
        (
            "sealed thought",
            reasoning_part(Reasoning { sealed: Some(signature(WORD)), ..Default::default() }),
        ),
        ("call: id", call(ToolCall { id: "call_probe".to_owned(), ..named("f", "{}") })),
        ("call: name", call(named(WORD, "{}"))),
        ("call: arguments", call(named("f", r#"{"x":"probe"}"#))),
        ("refusal", with_parts(vec![Content::Refusal(sample())])),
        ("picture", with_parts(vec![Content::Image(image)])),
        ("sound", with_parts(vec![Content::Audio(Media::base64("audio/wav", WORD))])),
        ("log-probabilities", likely),
        ("class of service", Answer { service_tier: Some(TIER.to_owned()), ..hello() }),
    ];
    let unsigned = Reasoning { text: "hm".to_owned(), ..Reasoning::default() };
    let unsigned = reasoning_part(unsigned);
    let rows = rows.into_iter().map(|(name, answer)| {
        let cells = clients().map(|(_, codec)| {
            let more = added(&written(codec, &hello()), &written(codec, &answer));
            let sought = if answer.service_tier.is_some() { TIER } else { WORD };
            let mut found = places(&more, sought);
            if found.is_empty() && name == "its signature" {
                // If it is nested, everything that it adds to the reasoning part.
                let more = added(&written(codec, &unsigned), &written(codec, &answer));
                found = more.keys().map(|path| format!("`{}`", dotted(path))).collect();
            }
            if found.is_empty() { "–".to_owned() } else { found.join(" ") }
        });
        [name.to_owned()].into_iter().chain(cells).collect()
    });
    table::write(out, header, rows);
    out.push_str(
        "\nA signature from a provider of another dialect is prefixed with the name of that \
         dialect, so that it can be returned\nto that provider. An image or audio that an API \
         cannot represent becomes a Markdown link, which is converted back when\nthe client \
         returns it.\n\nClients of Google receive thinking only if they set `includeThoughts`. \
         Otherwise, the parts that the provider needs\nback are in the `thoughtSignature` of the \
         following part, and return to the provider with the next turn.\n",
    );
}

fn reasons() -> [(&'static str, StopReason); 7] {
    [
        ("complete", StopReason::Stop),
        ("a bound of tokens, or the context", StopReason::Length),
        ("a text that ends it", StopReason::StopSequence("END".to_owned())),
        ("waits for its tools", StopReason::ToolCalls),
        ("filtered by the vendor", StopReason::ContentFilter),
        ("refused by the model", StopReason::Refusal),
        ("a long turn pauses", StopReason::Pause),
    ]
}

fn stops(out: &mut String, header: &[&str]) {
    // Two stop reasons differ in the members that report them.
    let answer = |stop: &StopReason| {
        let mut answer = hello();
        answer.choices.iter_mut().for_each(|choice| choice.stop = stop.clone());
        answer
    };
    let rows = reasons().into_iter().map(|(name, stop)| {
        let cells = clients().map(|(_, codec)| {
            let own = written(codec, &answer(&stop));
            let others = reasons();
            let differing: BTreeMap<String, Value> = others
                .iter()
                .flat_map(|(_, other)| added(&written(codec, &answer(other)), &own))
                .filter(|(_, value)| !value.is_null())
                .collect();
            values_of_leaves(&differing)
        });
        [name.to_owned()].into_iter().chain(cells).collect()
    });
    table::write(out, header, rows);
}

fn values_of_leaves(leaves: &BTreeMap<String, Value>) -> String {
    let one = |(path, value): (&String, &Value)| format!("`{}: {value}`", dotted(path));
    leaves.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn stop_reasons(out: &mut String) {
    let names: Vec<String> = vendors().map(|(dialect, ..)| dialect_name(dialect)).collect();
    let mut header = vec![""];
    header.extend(names.iter().map(String::as_str));
    let rows = reasons().into_iter().map(|(name, stop)| {
        let cells = vendors().map(|(dialect, codec, _)| reasons_for(dialect, codec, Some(&stop)));
        [name.to_owned()].into_iter().chain(cells).collect::<Vec<_>>()
    });
    let failed = vendors().map(|(dialect, codec, _)| reasons_for(dialect, codec, None));
    let failed = ["no answer, the provider failed".to_owned()].into_iter().chain(failed).collect();
    let rows = rows.chain([failed]);
    table::write(out, &header, rows);
    out.push_str(
        "\nGemini and OpenAI's responses have no finish reason for tools: a response with tool \
         calls waits for its tools.\n",
    );
}

/// The values of a provider that are read as `wanted`, or as no response at all if it is none.
fn reasons_for(dialect: Dialect, codec: &dyn Codec, wanted: Option<&StopReason>) -> String {
    let known = STOP_WORDS.iter().find(|(known, ..)| *known == dialect);
    let (_, pointer, reasons) = known.expect("every dialect has words");
    let mut answers = cases(dialect, ".answer.json").into_iter();
    let (_, body) = answers.find(|(case, _)| case == "length").expect("the case");
    let mut body: Value = serde_json::from_slice(&body).expect("JSON");
    let mut read = |reason: &str| {
        *body.pointer_mut(pointer).expect("where it is told") = reason.into();
        let body = body.to_string();
        let answer = Scanner::default().read(body.as_bytes(), |root| codec.read_answer(root));
        answer.expect("JSON")?.choices.into_iter().next().map(|choice| choice.stop)
    };
    let kind = |stop: Option<&StopReason>| stop.map(std::mem::discriminant);
    let found = reasons.iter().filter(|reason| kind(read(reason).as_ref()) == kind(wanted));
    let found: Vec<String> = found.map(|reason| format!("`{reason}`")).collect();
    if found.is_empty() { "–".to_owned() } else { found.join(" ") }
}

fn usage(out: &mut String, header: &[&str]) {
    out.push_str(
        "\n### Usage\n\nFor a call with 100 input and 50 output tokens, with one addition per row. \
         OpenAI and Google include tokens read from\na cache in the input count, Anthropic counts \
         them separately.\n\n",
    );
    let plain = Usage { input_tokens: 100, output_tokens: 50, ..Usage::default() };
    let rows = [
        ("nothing more", plain),
        ("40 read from a cache", Usage { cached_tokens: 40, ..plain }),
        ("40 written to a cache", Usage { cache_write_tokens: 40, ..plain }),
        ("40 written for an hour", Usage { cache_write_1h_tokens: 40, ..plain }),
        ("20 of the 50 are thoughts", Usage { reasoning_tokens: 20, ..plain }),
        ("30 of the 100 are sound", Usage { input_audio_tokens: 30, ..plain }),
        ("20 of the 50 are sound", Usage { output_audio_tokens: 20, ..plain }),
    ];
    let rows = rows.into_iter().map(|(name, usage)| {
        let cells = clients().map(|(_, codec)| {
            let answer = |usage| written(codec, &Answer { usage, ..hello() });
            // First compared with no tokens at all, then with the plain call.
            let before = if usage == plain { Some(Usage::default()) } else { Some(plain) };
            let more = added(&answer(before), &answer(Some(usage)));
            let leaves = more.into_iter().filter(|(_, value)| *value != 0);
            let found = values_of_leaves(&leaves.collect());
            if found.is_empty() { "–".to_owned() } else { found }
        });
        [name.to_owned()].into_iter().chain(cells).collect()
    });
    table::write(out, header, rows);
}

fn errors(out: &mut String, header: &[&str]) {
    out.push_str(
        "\n### Errors\n\nThe client receives the provider's status and message. The error type \
         follows from the status, with the value of the\nclient's dialect; clients of OpenAI \
         receive the provider's own type if it has one. A full context is the exception:\nfor any \
         provider and status, clients of OpenAI get a 400 with the code \
         `context_length_exceeded`, Anthropic's a 400\nwith `prompt is too long: …`, Google's a \
         400 with Google's own message, so that agents shorten their history.\n\n",
    );
    let rows = STATUSES.into_iter().map(|status| {
        let cells = clients().map(|(_, codec)| {
            let error = ApiError {
                status,
                message: "no".to_owned(),
                kind: String::new(),
                code: None,
                param: None,
            };
            let mut body = Vec::new();
            codec.write_error(&error, &mut body);
            let body: Value = serde_json::from_slice(&body).expect("JSON is written");
            let kind = ["/error/status", "/error/type"].iter().find_map(|at| body.pointer(at));
            format!("`{}`", kind.and_then(Value::as_str).expect("a kind"))
        });
        [status.to_string()].into_iter().chain(cells).collect()
    });
    table::write(out, header, rows);
}

/// The events that a client receives for one text and one call.
fn streams(out: &mut String) {
    out.push_str(
        "\n### Streams\n\nThe events of a response with text and a tool call, in order; `×` marks \
         one that occurs several times in a row.\n\n",
    );
    let call = ToolCall {
        id: "call_1".to_owned(),
        name: "f".to_owned(),
        arguments: "{}".to_owned(),
        signature: None,
    };
    let mut answer = with_parts(vec![Part::text("Hello").content, Content::ToolCall(call)]);
    answer.choices.iter_mut().for_each(|choice| choice.stop = StopReason::ToolCalls);
    let rows = clients().map(|(dialect, codec)| {
        let stream = encode(codec, &request_with_usage(), &chunks_of(&answer));
        let stream = String::from_utf8(stream).expect("UTF-8");
        let names = stream.split("\n\n").filter(|event| !event.is_empty()).map(event_name);
        let mut events: Vec<(String, usize)> = Vec::new();
        for name in names {
            match events.last_mut() {
                Some((last, count)) if *last == name => *count += 1,
                _ => events.push((name, 1)),
            }
        }
        let events = events.into_iter().map(|(name, count)| match count {
            1 => format!("`{name}`"),
            _ => format!("`{name}` ×"),
        });
        vec![dialect_name(dialect), events.collect::<Vec<_>>().join(", ")]
    });
    table::write(out, &["client", "events"], rows);
}

/// The name of an event, or its kind if it has no name.
fn event_name(event: &str) -> String {
    if let Some(name) = event.lines().find_map(|line| line.strip_prefix("event: ")) {
        return name.to_owned();
    }
    let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_default();
    let value: Value = serde_json::from_str(data).unwrap_or_default();
    match value.get("object").and_then(Value::as_str) {
        Some(object) => object.to_owned(),
        None if value.is_object() => "GenerateContentResponse".to_owned(),
        None => data.to_owned(),
    }
}
