//! A complete response, read and written.
//!
//! Calls of the vendor's own tools and their results (type `server_tool_use`) are omitted: no other
//! dialect has them, and a stream would not match.

use super::formats;
use super::read_content::cited;
use super::write_content::{input, write_call, write_cited, write_reasoning};
use crate::dialects::service_tier;
use crate::llm::{
    Answer, ApiError, ArrayWriter, Choice, Content, Dialect, Image, Media, Node, ObjectWriter,
    Part, Reasoning, Signature, StopReason, ToolCall, Usage, write_object,
};

/// Reads a provider's response. None if it has no message, or reports a failure.
pub(super) fn read(root: Node<'_>) -> Option<Answer> {
    let message = root.get("output")?.get("message")?;
    if failure(root).is_some() {
        return None;
    }
    let blocks = message.get("content").into_iter().flat_map(Node::items);
    let choice = Choice {
        parts: blocks.filter_map(content).map(Part::new).collect(),
        stop: stop_reason(root),
        logprobs: Vec::new(),
    };
    let tier = root.get("serviceTier").and_then(|tier| tier.get("type")).and_then(Node::text);
    Some(Answer {
        choices: vec![choice],
        usage: root.get("usage").and_then(Usage::read),
        service_tier: tier.map(str::to_owned),
        ..Answer::default()
    })
}

/// Reads a block. None if it is omitted.
fn content(block: Node<'_>) -> Option<Content> {
    if let Some(text) = block.get("text").and_then(Node::text) {
        return Some(Part::text(text).content);
    }
    if let Some(call) = block.get("toolUse") {
        return call.get("type").is_none().then(|| Content::ToolCall(tool_call(call)));
    }
    if let Some(reasoning) = block.get("reasoningContent") {
        return Some(Content::Reasoning(read_reasoning(reasoning)));
    }
    if let Some(content) = block.get("citationsContent") {
        return Some(cited(content));
    }
    let image = block.get("image")?;
    let bytes = image.get("source")?.get("bytes")?.text()?;
    Some(image_part(image.text_of("format"), bytes))
}

/// An image of that format.
pub(super) fn image_part(format: &str, bytes: &str) -> Content {
    let media_type = formats::media_type(formats::IMAGES, format).unwrap_or("image/png");
    Content::Image(Image { media: Media::base64(media_type, bytes), detail: None })
}

fn tool_call(value: Node<'_>) -> ToolCall {
    ToolCall {
        id: value.text_of("toolUseId").to_owned(),
        name: value.text_of("name").to_owned(),
        arguments: value.get("input").map_or("{}".to_owned(), |it| it.json().text().to_owned()),
        signature: None,
    }
}

fn read_reasoning(value: Node<'_>) -> Reasoning {
    let signature = |node: Option<Node<'_>>, key: &str| {
        let text = node.and_then(|node| node.get(key)).and_then(Node::text);
        text.filter(|text| !text.is_empty())
            .map(|text| Signature::read(Dialect::BedrockConverse, text))
    };
    let inner = value.get("reasoningText");
    Reasoning {
        id: None,
        text: inner.map(|inner| inner.text_of("text")).unwrap_or_default().to_owned(),
        signature: signature(inner, "signature"),
        sealed: signature(Some(value), "redactedContent"),
    }
}

/// The failure in a response or a `messageStop`: the service rejected the model's output because it
/// could not be parsed.
pub(in crate::dialects) fn failure(root: Node<'_>) -> Option<ApiError> {
    let reason = root.text_of("stopReason");
    matches!(reason, "malformed_model_output" | "malformed_tool_use").then(|| ApiError {
        status: 424,
        message: format!("the model's answer could not be used ({reason})"),
        kind: "ModelErrorException".to_owned(),
        code: Some(reason.to_owned()),
        param: None,
    })
}

/// The stop reason, from `stopReason` and its neighbors.
pub(super) fn stop_reason(root: Node<'_>) -> StopReason {
    match root.text_of("stopReason") {
        "tool_use" => StopReason::ToolCalls,
        "max_tokens" | "model_context_window_exceeded" => StopReason::Length,
        "stop_sequence" => {
            let fields = root.get("additionalModelResponseFields");
            let delta = fields.and_then(|fields| fields.get("delta"));
            let reason = [fields, delta].into_iter().flatten();
            let text = reason.filter_map(|it| it.get("stop_sequence")?.text()).next();
            StopReason::StopSequence(text.unwrap_or_default().to_owned())
        }
        "guardrail_intervened" | "content_filtered" => StopReason::ContentFilter,
        _ => StopReason::Stop,
    }
}

/// Writes `stopReason`, and the stop sequence where Claude has it.
pub(super) fn write_stop(root: &mut ObjectWriter<'_>, stop: &StopReason) {
    let reason = match stop {
        StopReason::Stop | StopReason::Pause => "end_turn",
        StopReason::Length => "max_tokens",
        StopReason::StopSequence(_) => "stop_sequence",
        StopReason::ToolCalls => "tool_use",
        StopReason::ContentFilter | StopReason::Refusal => "content_filtered",
    };
    root.text("stopReason", reason);
    if let StopReason::StopSequence(text) = stop
        && !text.is_empty()
    {
        root.object("additionalModelResponseFields", |fields| fields.text("stop_sequence", text));
    }
}

/// Appends the response for a client. The dialect has one choice, no id and no model.
pub(super) fn write(answer: &Answer, out: &mut Vec<u8>) {
    let choice = answer.choices.first();
    write_object(out, |root| {
        root.object("output", |output| {
            output.object("message", |message| {
                message.text("role", "assistant");
                message.array("content", |array| {
                    for part in choice.into_iter().flat_map(|choice| &choice.parts) {
                        write_content(array, &part.content);
                    }
                });
            });
        });
        write_stop(root, choice.map_or(&StopReason::Stop, |choice| &choice.stop));
        root.object("usage", |usage| write_usage(usage, &answer.usage.unwrap_or_default()));
        root.object("metrics", |metrics| metrics.number("latencyMs", 0));
        if let Some(tier) = answer.service_tier.as_deref().and_then(tier_of_service) {
            root.object("serviceTier", |object| object.text("type", tier));
        }
    });
}

/// The service's name of a tier in a response.
pub(super) fn tier_of_service(tier: &str) -> Option<&'static str> {
    match service_tier::of_answer(tier) {
        Some(tier @ ("default" | "flex" | "priority")) => Some(tier),
        None if tier == "reserved" => Some("reserved"),
        _ => None,
    }
}

fn write_content(array: &mut ArrayWriter<'_>, content: &Content) {
    match content {
        Content::Text(text) if !text.citations.is_empty() => write_cited(array, text),
        Content::Text(text) => array.object(|block| block.text("text", &text.text)),
        Content::Refusal(text) => array.object(|block| block.text("text", text)),
        Content::ToolCall(call) => {
            write_call(array, &call.id, &call.name, input(&call.arguments), &call.arguments);
        }
        Content::Reasoning(reasoning) => {
            let signature =
                reasoning.signature.as_ref().map(|it| it.write(Dialect::BedrockConverse));
            let sealed = reasoning.sealed.as_ref().map(|it| it.write(Dialect::BedrockConverse));
            // Encrypted reasoning is a block of its own.
            if let Some(sealed) = &sealed {
                write_reasoning(array, "", None, Some(sealed));
            }
            if sealed.is_none() || !reasoning.text.is_empty() || signature.is_some() {
                write_reasoning(array, &reasoning.text, signature.as_deref(), None);
            }
        }
        Content::Image(image) => {
            // An image that is not embedded cannot be sent.
            let _ =
                super::write_content::write_media(array, "image", formats::IMAGES, &image.media);
        }
        Content::Raw(foreign) if foreign.dialect == Dialect::BedrockConverse => {
            array.raw(&foreign.json);
        }
        _ => {}
    }
}

/// Writes the members of `usage`: tokens read from or written to a cache are counted separately (Amazon
/// Bedrock user guide, "Prompt caching").
pub(super) fn write_usage(object: &mut ObjectWriter<'_>, usage: &Usage) {
    let written = usage.cache_write_tokens.saturating_add(usage.cache_write_1h_tokens);
    let apart = usage.cached_tokens.saturating_add(written);
    object.number("inputTokens", usage.input_tokens.saturating_sub(apart));
    object.number("outputTokens", usage.output_tokens);
    object.number("totalTokens", usage.input_tokens.saturating_add(usage.output_tokens));
    object.number("cacheReadInputTokens", usage.cached_tokens);
    object.number("cacheWriteInputTokens", written);
    if written > 0 {
        let by_term = [("1h", usage.cache_write_1h_tokens), ("5m", usage.cache_write_tokens)];
        object.array("cacheDetails", |array| {
            for (ttl, tokens) in by_term.into_iter().filter(|(_, tokens)| *tokens > 0) {
                array.object(|detail| {
                    detail.text("ttl", ttl);
                    detail.number("inputTokens", tokens);
                });
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::llm::Scanner;

    fn read_text(body: &str) -> Option<Answer> {
        Scanner::default().read(body.as_bytes(), read).expect("JSON")
    }

    #[test]
    fn stop_reasons_are_translated() {
        let sequence = |text: &str| StopReason::StopSequence(text.to_owned());
        for (reason, expected) in [
            (r#""end_turn""#, StopReason::Stop),
            (r#""tool_use""#, StopReason::ToolCalls),
            (r#""max_tokens""#, StopReason::Length),
            (r#""model_context_window_exceeded""#, StopReason::Length),
            (r#""stop_sequence""#, sequence("")),
            (
                r#""stop_sequence","additionalModelResponseFields":{"stop_sequence":"END"}"#,
                sequence("END"),
            ),
            (
                r#""stop_sequence","additionalModelResponseFields":{"delta":{"stop_sequence":"END"}}"#,
                sequence("END"),
            ),
            (r#""guardrail_intervened""#, StopReason::ContentFilter),
            (r#""content_filtered""#, StopReason::ContentFilter),
            (r#""of the future""#, StopReason::Stop),
            ("null", StopReason::Stop),
        ] {
            let body = format!(r#"{{"output":{{"message":{{}}}},"stopReason":{reason}}}"#);
            let answer = read_text(&body).expect("an answer");
            assert_eq!(answer.choices[0].stop, expected, "{reason}");
            let mut out = Vec::new();
            write(&answer, &mut out);
            let again = read_text(std::str::from_utf8(&out).expect("UTF-8")).expect("an answer");
            assert_eq!(again.choices[0].stop, expected, "{reason}");
        }
    }

    #[test]
    fn cached_tokens_are_counted_separately() {
        let usage = |usage: serde_json::Value| {
            let body = json!({"output": {"message": {}}, "usage": usage}).to_string();
            let usage = read_text(&body).expect("an answer").usage.expect("counts");
            let mut out = Vec::new();
            write_object(&mut out, |object| write_usage(object, &usage));
            (usage, serde_json::from_slice::<serde_json::Value>(&out).expect("JSON"))
        };
        let reason = json!({
            "inputTokens": 5, "outputTokens": 9, "totalTokens": 1114,
            "cacheReadInputTokens": 1000, "cacheWriteInputTokens": 100,
            "cacheDetails": [{"ttl": "1h", "inputTokens": 60}, {"ttl": "5m", "inputTokens": 40}],
        });
        let (found, written) = usage(reason.clone());
        assert_eq!((found.input_tokens, found.output_tokens, found.cached_tokens), (1105, 9, 1000));
        assert_eq!((found.cache_write_tokens, found.cache_write_1h_tokens), (40, 60));
        assert_eq!(written, reason);
        let (plain, _) = usage(json!({"inputTokens": 5, "outputTokens": 9, "cacheDetails": null}));
        assert_eq!((plain.input_tokens, plain.cached_tokens, plain.estimated), (5, 0, false));
    }

    #[test]
    fn odd_responses_are_read_leniently() {
        let body = json!({
            "output": {"message": {"role": "assistant", "content": [
                {"text": null, "toolUse": {"name": "f"}},
                {"toolUse": {"toolUseId": "s", "name": "nova_grounding", "input": {}, "type": "server_tool_use"}},
                {"toolResult": {"toolUseId": "s", "content": []}},
                {"reasoningContent": {"redactedContent": "eg=="}},
                {"reasoningContent": {"reasoningText": {"text": "t", "signature": null}}},
                {"citationsContent": {
                    "content": [{"text": "a"}, {"text": "b"}],
                    "citations": [{
                        "title": "T",
                        "source": "S",
                        "sourceContent": [{"text": "q"}],
                        "location": {"web": {"url": "https://a.example", "domain": "a.example"}},
                    }],
                }},
                {"image": {"format": "webp", "source": {"bytes": "QQ=="}}},
                {"future": {}},
                7,
            ]}},
            "stopReason": "end_turn",
            "serviceTier": {"type": "flex"},
        });
        let answer = read_text(&body.to_string()).expect("an answer");
        let parts: Vec<&Content> = answer.choices[0].parts.iter().map(|it| &it.content).collect();
        let [
            Content::ToolCall(call),
            Content::Reasoning(sealed),
            Content::Reasoning(reasoning),
            Content::Text(text),
            Content::Image(image),
        ] = parts.as_slice()
        else {
            panic!("{parts:?}");
        };
        assert_eq!((call.id.as_str(), call.arguments.as_str()), ("", "{}"));
        assert_eq!(sealed.sealed.as_ref().map(|it| it.text.as_str()), Some("eg=="));
        assert_eq!((reasoning.text.as_str(), &reasoning.signature), ("t", &None));
        let cited = &text.citations[0];
        assert_eq!((text.text.as_str(), cited.url.as_deref()), ("ab", Some("https://a.example")));
        assert_eq!((cited.title.as_deref(), cited.quote.as_deref()), (Some("T"), Some("q")));
        assert_eq!(image.media, Media::base64("image/webp", "QQ=="));
        assert_eq!(answer.service_tier.as_deref(), Some("flex"));
        let mut out = Vec::new();
        write(&answer, &mut out);
        let again = read_text(std::str::from_utf8(&out).expect("UTF-8")).expect("an answer");
        assert_eq!(again.choices, answer.choices);
    }

    #[test]
    fn malformed_responses_are_rejected() {
        for body in ["{}", r#"{"output":null}"#, r#"{"output":{}}"#, r#"{"message":"m"}"#] {
            assert_eq!(read_text(body), None, "{body}");
        }
    }
}
