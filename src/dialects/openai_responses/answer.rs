//! A complete response, read and written, and its envelope, which events of a stream repeat.

use std::borrow::Cow;

use super::identity;
use super::output::{self, OutputPart};
use super::write_request::{ToolForm, write_format, write_tool_choice, write_tools};
use crate::dialects::context_overflow::{CONTEXT_LENGTH_EXCEEDED, is_overflow};
use crate::dialects::openai_chat::tokens;
use crate::dialects::openai_tools::CallForms;
use crate::dialects::warnings::Warnings;
use crate::dialects::{extra_fields, service_tier};
use crate::llm::{
    Answer, ApiError, ChatRequest, Choice, Content, Dialect, Format, Json, Node, ObjectWriter,
    Part, StopReason, TokenLogprob, Usage, write_array, write_object,
};

/// Reads a provider's response. None if it has no output, or failed.
pub(super) fn read(root: Node<'_>) -> Option<Answer> {
    let output = root.get("output")?.expect_array().ok()?;
    if root.text_of("status") == "failed" || root.get("error").is_some() {
        return None;
    }
    let mut choice = Choice::default();
    for item in output.items() {
        output::read_item(item, &mut choice.parts);
        let contents = item.get("content").into_iter().flat_map(Node::items);
        let all = contents.filter_map(|content| content.get("logprobs"));
        choice.logprobs.extend(all.flat_map(tokens));
    }
    let is_call = |part: &Part| matches!(part.content, Content::ToolCall(_));
    choice.stop = stop_reason(root, choice.parts.iter().any(is_call));
    Some(Answer {
        id: identity::answer_id(root.text_of("id")).to_owned(),
        model: root.text_of("model").to_owned(),
        created: created(root),
        choices: vec![choice],
        usage: root.get("usage").and_then(Usage::read),
        service_tier: root.get("service_tier").and_then(Node::text).map(str::to_owned),
        system_fingerprint: None,
    })
}

/// The creation time in whole seconds; some providers send fractions.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and nothing depends on the fraction"
)]
pub(super) fn created(response: Node<'_>) -> Option<u64> {
    let created = response.get("created_at")?;
    created.u64().or_else(|| created.f64().filter(|it| *it >= 0.0).map(|it| it as u64))
}

/// The stop reason of a response that is complete or truncated.
pub(super) fn stop_reason(response: Node<'_>, has_calls: bool) -> StopReason {
    let reason = response.get("incomplete_details").map_or("", |it| it.text_of("reason"));
    match (response.text_of("status"), reason) {
        (_, "content_filter") => StopReason::ContentFilter,
        ("incomplete", _) => StopReason::Length,
        _ if has_calls => StopReason::ToolCalls,
        _ => StopReason::Stop,
    }
}

/// The status for a stop reason, and the detail of an incomplete one.
pub(super) fn status_of(stop: &StopReason) -> (&'static str, Option<&'static str>) {
    match stop {
        StopReason::Length => ("incomplete", Some("max_output_tokens")),
        StopReason::ContentFilter | StopReason::Refusal => ("incomplete", Some("content_filter")),
        StopReason::Stop
        | StopReason::StopSequence(_)
        | StopReason::ToolCalls
        | StopReason::Pause => ("completed", None),
    }
}

/// Appends the response to `request` for a client.
pub(super) fn write(answer: &Answer, request: &ChatRequest, now_unix: u64, out: &mut Vec<u8>) {
    let created = answer.created.unwrap_or(now_unix);
    let id = identity::of_answer(&answer.id, created);
    // The dialect has one choice only.
    let empty = Choice::default();
    let choice = answer.choices.first().unwrap_or(&empty);
    let (status, incomplete) = status_of(&choice.stop);
    let echo = echo(request);
    let forms = CallForms::of(request);
    let envelope = Envelope {
        id: &id,
        created,
        now: now_unix,
        model: &answer.model,
        service_tier: answer.service_tier.as_deref().and_then(service_tier::of_answer),
        status,
        incomplete,
        error: None,
        usage: answer.usage,
        echo: &echo,
    };
    write_object(out, |root| {
        envelope.write(root, |out| write_output(out, choice, (&id, status), &forms));
    });
}

/// Writes the array of items.
fn write_output(out: &mut Vec<u8>, choice: &Choice, (id, status): (&str, &str), forms: &CallForms) {
    let shown: Vec<Cow<'_, Content>> =
        choice.parts.iter().map(|part| output::shown(&part.content)).collect();
    let supported: Vec<&Content> =
        shown.iter().map(AsRef::as_ref).filter(|it| output::kind_of(it, forms).is_some()).collect();
    let mut logprobs: &[TokenLogprob] = &choice.logprobs;
    let mut index = 0;
    let mut groups =
        supported.chunk_by(|before, next| output::is_one_item(before, next)).peekable();
    write_array(out, |array| {
        while let Some(group) = groups.next() {
            let Some(first) = group.first() else { continue };
            let kind = output::kind_of(first, forms).unwrap_or_default();
            let output_parts: Vec<OutputPart<'_>> = group
                .iter()
                .map(|content| {
                    let is_text = matches!(content, Content::Text(_));
                    let logprobs = if is_text { std::mem::take(&mut logprobs) } else { &[] };
                    OutputPart { content, logprobs }
                })
                .collect();
            // Only the last message is incomplete.
            let is_cut = kind == "msg" && groups.peek().is_none();
            let status = if is_cut { status } else { "completed" };
            let item_id = output::id_of(first, kind, index, id);
            output::write_item(array.item(), (&item_id, status), &output_parts, forms);
            index += 1;
            if let Content::ToolCall(call) = first
                && let Some(signature) = &call.signature
            {
                let item_id = identity::of_item("rs", index, id);
                output::write_proof_of_call(array.item(), &item_id, &call.id, signature);
                index += 1;
            }
        }
    });
}

/// The members around the items of a response.
#[derive(Clone, Copy, Debug)]
pub(super) struct Envelope<'a> {
    pub(super) id: &'a str,
    pub(super) created: u64,
    /// The current time in Unix seconds, which is the completion time of a complete response.
    pub(super) now: u64,
    pub(super) model: &'a str,
    pub(super) service_tier: Option<&'a str>,
    pub(super) status: &'a str,
    /// The reason why it is incomplete.
    pub(super) incomplete: Option<&'a str>,
    pub(super) error: Option<&'a ApiError>,
    pub(super) usage: Option<Usage>,
    /// The result of [`echo`].
    pub(super) echo: &'a [u8],
}

impl Envelope<'_> {
    /// Writes all members; `output` appends the array of items.
    pub(super) fn write(&self, root: &mut ObjectWriter<'_>, output: impl FnOnce(&mut Vec<u8>)) {
        root.text("id", self.id);
        root.text("object", "response");
        root.number("created_at", self.created);
        let is_complete = self.status == "completed";
        let completed = is_complete.then_some(self.now.max(self.created));
        or_null(root, "completed_at", completed, ObjectWriter::number);
        root.text("status", self.status);
        match self.error {
            Some(error) => root.object("error", |object| {
                object.text("code", code_of(error));
                object.text("message", &error.message);
            }),
            None => root.null("error"),
        }
        match self.incomplete {
            Some(reason) => {
                root.object("incomplete_details", |object| object.text("reason", reason));
            }
            None => root.null("incomplete_details"),
        }
        root.text("model", self.model);
        output(root.key("output"));
        root.raw_members(self.echo);
        root.text("service_tier", self.service_tier.unwrap_or("default"));
        match &self.usage {
            Some(usage) => root.object("usage", |object| write_usage(object, usage)),
            None => root.null("usage"),
        }
    }
}

/// The code of OpenAI's failed responses that is closest to the error.
fn code_of(error: &ApiError) -> &'static str {
    match error.status {
        // OpenAI sends it, although the reference lacks it here.
        _ if is_overflow(error) => CONTEXT_LENGTH_EXCEEDED,
        429 => "rate_limit_exceeded",
        400..=499 => "invalid_prompt",
        _ => "server_error",
    }
}

/// The members of a response that repeat its request, separated by commas. Settings that were not sent
/// get the dialect's default, or null if there is none. Where strictly typed clients expect a number,
/// it is one even if the model has its own default.
pub(super) fn echo(request: &ChatRequest) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    write_object(&mut out, |root| {
        let kept = |key: &str| own_field(request, key);
        root.flag("background", false);
        match super::write_request::instructions(request) {
            Some(text) => root.text("instructions", text),
            None => root.null("instructions"),
        }
        or_null(root, "max_output_tokens", request.max_tokens, ObjectWriter::number);
        root.object("metadata", |object| {
            request.metadata.iter().for_each(|(key, value)| object.text(key, value));
        });
        root.flag("parallel_tool_calls", request.parallel_tool_calls.unwrap_or(true));
        for key in ["max_tool_calls", "previous_response_id", "prompt_cache_key"] {
            or_null(root, key, kept(key), ObjectWriter::raw);
        }
        root.optional_raw(
            "conversation",
            kept("conversation").filter(|it| it.text().starts_with('{')),
        );
        root.object("reasoning", |object| {
            let settings = request.reasoning.as_ref();
            let effort = settings.and_then(|it| it.effort_name());
            or_null(object, "effort", effort, ObjectWriter::text);
            let summary = settings.and_then(|it| it.summary.as_deref());
            or_null(object, "summary", summary, ObjectWriter::text);
        });
        or_null(root, "safety_identifier", kept("safety_identifier"), ObjectWriter::raw);
        root.flag("store", kept("store").is_none_or(|it| it.text() != "false"));
        let sampling = &request.sampling;
        root.float("temperature", sampling.temperature.unwrap_or(1.0));
        root.float("presence_penalty", sampling.presence_penalty.unwrap_or(0.0));
        root.float("frequency_penalty", sampling.frequency_penalty.unwrap_or(0.0));
        root.object("text", |object| {
            match &request.format {
                Some(format) => object.object("format", |object| {
                    write_format(object, format);
                    // OpenAI always sends it.
                    if matches!(format, Format::JsonSchema { description: None, .. }) {
                        object.null("description");
                    }
                }),
                None => object.object("format", |object| object.text("type", "text")),
            }
            object.optional_text("verbosity", request.verbosity.as_deref());
        });
        if !write_tool_choice(root, request, &CallForms::of(request)) {
            match kept("tool_choice") {
                Some(choice) => root.raw("tool_choice", choice),
                None => root.text("tool_choice", "auto"),
            }
        }
        root.array("tools", |array| {
            write_tools(array, request, ToolForm::Repeated, &mut Warnings::default());
        });
        root.number("top_logprobs", request.top_logprobs.unwrap_or(0));
        root.float("top_p", sampling.top_p.unwrap_or(1.0));
        match kept("truncation") {
            Some(truncation) => root.raw("truncation", truncation),
            None => root.text("truncation", "disabled"),
        }
        or_null(root, "user", request.user.as_deref(), ObjectWriter::text);
    });
    // The envelope writes the braces.
    out.pop();
    out.remove(0);
    out
}

fn own_field<'r>(request: &'r ChatRequest, key: &str) -> Option<&'r Json> {
    extra_fields::find(request, Dialect::OpenaiResponses, key).map(|it| &it.json)
}

fn or_null<'o, T>(
    object: &mut ObjectWriter<'o>,
    key: &str,
    value: Option<T>,
    write: impl FnOnce(&mut ObjectWriter<'o>, &str, T),
) {
    match value {
        Some(value) => write(object, key, value),
        None => object.null(key),
    }
}

/// Writes the members of `usage`. OpenAI's input count includes cached tokens, as ours does. Of its two
/// cache lifetimes, the longer one is used.
fn write_usage(object: &mut ObjectWriter<'_>, usage: &Usage) {
    let written = usage.cache_write_tokens.saturating_add(usage.cache_write_1h_tokens);
    object.number("input_tokens", usage.input_tokens);
    object.object("input_tokens_details", |details| {
        details.number("cached_tokens", usage.cached_tokens);
        details.number("cache_write_tokens", written);
        if written > 0 {
            details.object("cache_write_tokens_details", |terms| {
                terms.number("ttl_30m_tokens", usage.cache_write_tokens);
                terms.number("ttl_12h_tokens", usage.cache_write_1h_tokens);
            });
        }
        if usage.input_audio_tokens > 0 {
            details.number("audio_tokens", usage.input_audio_tokens);
        }
        if usage.input_image_tokens > 0 {
            details.number("image_tokens", usage.input_image_tokens);
        }
    });
    object.number("output_tokens", usage.output_tokens);
    object.object("output_tokens_details", |details| {
        details.number("reasoning_tokens", usage.reasoning_tokens);
        if usage.output_audio_tokens > 0 {
            details.number("audio_tokens", usage.output_audio_tokens);
        }
        if usage.output_image_tokens > 0 {
            details.number("image_tokens", usage.output_image_tokens);
        }
    });
    object.number("total_tokens", usage.input_tokens.saturating_add(usage.output_tokens));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{Dialect, Reasoning, Scanner, Signature, ToolCall};

    fn read_body(body: &str) -> Option<Answer> {
        Scanner::default().read(body.as_bytes(), read).expect("JSON")
    }

    #[test]
    fn incomplete_reasons_are_translated() {
        let call = r#"{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}"#;
        for (status, details, output, stop) in [
            ("completed", "null", "", StopReason::Stop),
            ("completed", "null", call, StopReason::ToolCalls),
            ("incomplete", r#"{"reason":"max_output_tokens"}"#, call, StopReason::Length),
            ("incomplete", r#"{"reason":"content_filter"}"#, "", StopReason::ContentFilter),
            ("incomplete", r#"{"reason":"max_messages"}"#, "", StopReason::Length),
            ("incomplete", "null", "", StopReason::Length),
        ] {
            let body = format!(
                r#"{{"status":"{status}","incomplete_details":{details},"output":[{output}]}}"#
            );
            let answer = read_body(&body).expect("an answer");
            assert_eq!(answer.choices[0].stop, stop, "{body}");
        }
        for (stop, status, reason) in [
            (StopReason::StopSequence("END".to_owned()), "completed", None),
            (StopReason::Pause, "completed", None),
            (StopReason::ToolCalls, "completed", None),
            (StopReason::Length, "incomplete", Some("max_output_tokens")),
            (StopReason::Refusal, "incomplete", Some("content_filter")),
        ] {
            assert_eq!(status_of(&stop), (status, reason));
        }
    }

    #[test]
    fn malformed_responses_are_rejected() {
        for body in [
            "{}",
            r#"{"output":null}"#,
            r#"{"output":"x"}"#,
            r#"{"status":"failed","output":[],"error":{"code":"server_error","message":"m"}}"#,
            r#"{"error":{"message":"m"},"output":[]}"#,
        ] {
            assert_eq!(read_body(body), None, "{body}");
        }
    }

    #[test]
    fn odd_responses_are_read_leniently() {
        let answer = read_body(
            r#"{"id":"resp_rg_chatcmpl-1","created_at":1795000001.75,"output":[
            {"type":"reasoning","id":"rs_1","summary":[]},
            {"type":"reasoning","content":[{"type":"reasoning_text","text":"hm"}]},
            {"type":"message","content":[{"type":"output_text","text":"a","annotations":null,
            "logprobs":[{"token":"a","logprob":-0.5}]},{"type":"output_hologram","x":1}]},
            {"type":"function_call","id":"fc_1","name":"f"},
            {"type":"image_generation_call","id":"ig_1","result":"AAAA","output_format":"webp"},
            {"type":"web_search_call","id":"ws_1","status":"completed"}]}"#,
        )
        .expect("an answer");
        assert_eq!((answer.id.as_str(), answer.created), ("chatcmpl-1", Some(1_795_000_001)));
        let [reasoning, text, part, call, image, search] = answer.choices[0].parts.as_slice()
        else {
            panic!("{answer:?}")
        };
        assert!(matches!(&reasoning.content, Content::Reasoning(it) if it.text == "hm"));
        assert_eq!(text.as_text(), Some("a"));
        assert!(matches!(&part.content, Content::Raw(_)));
        let expected =
            ToolCall { id: "fc_1".to_owned(), name: "f".to_owned(), ..ToolCall::default() };
        assert_eq!(call.content, Content::ToolCall(expected));
        assert!(matches!(&image.content, Content::Image(_)));
        assert!(matches!(&search.content, Content::Raw(_)));
        assert_eq!(answer.choices[0].logprobs.len(), 1);
        assert_eq!(answer.usage, None);
    }

    #[test]
    fn responses_round_trip() {
        let signature = |dialect| Some(Signature { dialect, text: "s".to_owned() });
        let reasoning_part = |text: &str, dialect| Reasoning {
            text: text.to_owned(),
            signature: signature(dialect),
            ..Reasoning::default()
        };
        let sealed =
            Reasoning { sealed: signature(Dialect::AnthropicMessages), ..Reasoning::default() };
        let call = |id: &str| ToolCall {
            id: id.to_owned(),
            name: "f".to_owned(),
            arguments: r#"{"x":1}"#.to_owned(),
            signature: signature(Dialect::Gemini),
        };
        let parts = vec![
            Part::new(Content::Reasoning(reasoning_part("a", Dialect::AnthropicMessages))),
            Part::new(Content::Reasoning(sealed)),
            Part::new(Content::Reasoning(reasoning_part("b", Dialect::OpenaiResponses))),
            Part::text("c"),
            Part::text("d"),
            Part::new(Content::Refusal("e".to_owned())),
            Part::new(Content::ToolCall(call("call_1"))),
            Part::new(Content::ToolCall(call("call_2"))),
        ];
        let token = TokenLogprob {
            token: "c".to_owned(),
            logprob: -0.5,
            top: vec![("c".to_owned(), -0.5)],
        };
        let choice = Choice { parts, stop: StopReason::ToolCalls, logprobs: vec![token] };
        let usage = Usage {
            input_tokens: 100,
            output_tokens: 9,
            cached_tokens: 50,
            cache_write_tokens: 20,
            cache_write_1h_tokens: 10,
            input_audio_tokens: 3,
            input_image_tokens: 2,
            output_audio_tokens: 4,
            output_image_tokens: 5,
            reasoning_tokens: 7,
            estimated: false,
            ..Usage::default()
        };
        let answer = Answer {
            id: "msg_1".to_owned(),
            model: "m".to_owned(),
            created: Some(5),
            choices: vec![choice],
            usage: Some(usage),
            service_tier: Some("flex".to_owned()),
            system_fingerprint: None,
        };
        let mut out = Vec::new();
        write(&answer, &ChatRequest::default(), 7, &mut out);
        let body = String::from_utf8(out).expect("UTF-8");
        assert_eq!(read_body(&body), Some(answer));
    }

    #[test]
    fn request_members_are_echoed() {
        let body = r#"{"model":"m","instructions":"i","input":"x","temperature":0.5,"user":"u",
            "metadata":{"k":"v"},"tools":[{"type":"function","name":"f"},{"type":"custom","name":"g"}],
            "tool_choice":{"type":"custom","name":"g"},"truncation":"auto","max_output_tokens":50,
            "reasoning":{"effort":"low"},"text":{"verbosity":"low"},"store":true}"#;
        let request = Scanner::default()
            .read(body.as_bytes(), crate::dialects::openai_responses::read_request::read)
            .expect("JSON")
            .expect("a request");
        let mut out = Vec::new();
        write(&Answer::default(), &request, 7, &mut out);
        let found: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        for (key, expected) in [
            ("id", r#""resp_rg_7""#),
            ("instructions", r#""i""#),
            ("temperature", "0.5"),
            ("user", r#""u""#),
            ("metadata", r#"{"k":"v"}"#),
            ("tool_choice", r#"{"type":"custom","name":"g"}"#),
            ("truncation", r#""auto""#),
            ("max_output_tokens", "50"),
            ("reasoning", r#"{"effort":"low","summary":null}"#),
            ("text", r#"{"format":{"type":"text"},"verbosity":"low"}"#),
            ("parallel_tool_calls", "true"),
            ("store", "true"),
            ("output", "[]"),
        ] {
            let expected: serde_json::Value = serde_json::from_str(expected).expect("JSON");
            assert_eq!(found[key], expected, "{key}");
        }
        assert_eq!(found["tools"].as_array().map(Vec::len), Some(2));
    }
}
