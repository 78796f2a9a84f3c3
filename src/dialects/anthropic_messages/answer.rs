//! A complete response, read and written.

use super::read_block::{arguments, citations};
use super::signature::{self, Redacted};
use super::write_block::{text_block, tool_use};
use super::{name, usage};
use crate::dialects::{answer_id, media_link};
use crate::llm::{
    Answer, ArrayWriter, Choice, Citation, Content, Dialect, DialectJson, Node, ObjectWriter, Part,
    Reasoning, Signature, StopReason, Text, ToolCall, write_object,
};

/// What the ids of Anthropic's messages begin with.
pub(super) const ID_PREFIX: &str = "msg_";

/// Reads a provider's response. None if it has no content.
pub(super) fn read(root: Node<'_>) -> Option<Answer> {
    let content = root.get("content").filter(|content| content.is_array())?;
    let mut parts = Vec::with_capacity(content.count());
    let mut proofs = Vec::new();
    for value in content.items() {
        match block(value) {
            Block::Says(content) => parts.push(Part::new(content)),
            Block::Proves(id, signature) => proofs.push((id, signature)),
        }
    }
    signature::attach(&mut parts, proofs);
    parts.extend(explanation(root).map(|text| Part::new(Content::Refusal(text.to_owned()))));
    let choice = Choice { parts, stop: stop_reason(root), logprobs: Vec::new() };
    let usage_node = root.get("usage");
    Some(Answer {
        id: root.text_of("id").to_owned(),
        model: root.text_of("model").to_owned(),
        created: None,
        choices: vec![choice],
        usage: usage_node.and_then(|usage_node| usage::after(None, usage_node)),
        service_tier: usage_node.and_then(service_tier),
        system_fingerprint: None,
    })
}

/// The service tier in a `usage`.
pub(super) fn service_tier(usage: Node<'_>) -> Option<String> {
    usage.get("service_tier").and_then(Node::text).map(str::to_owned)
}

/// A block of a provider.
pub(super) enum Block {
    Says(Content),
    /// The signature of the call with that id.
    Proves(String, Signature),
}

/// Reads a provider's block, complete or at its start.
pub(super) fn block(value: Node<'_>) -> Block {
    Block::Says(match value.text_of("type") {
        "text" => {
            let text = value.text_of("text").to_owned();
            Content::Text(Text { text, citations: citations(value) })
        }
        "thinking" => Content::Reasoning(signature::read_thinking(
            value.text_of("thinking"),
            value.text_of("signature"),
        )),
        "redacted_thinking" => match signature::read_data(value.text_of("data")) {
            Redacted::Thought(reasoning) => Content::Reasoning(reasoning),
            Redacted::Call(id, signature) => return Block::Proves(id, signature),
        },
        "tool_use" => Content::ToolCall(ToolCall {
            id: name::read(value.text_of("id")).into_owned(),
            name: name::read(value.text_of("name")).into_owned(),
            arguments: value.get("input").map(arguments).unwrap_or_default(),
            signature: None,
        }),
        _ => Content::Raw(DialectJson { dialect: Dialect::AnthropicMessages, json: value.json() }),
    })
}

/// The stop reason of a message, or of the `delta` that ends a stream.
pub(super) fn stop_reason(value: Node<'_>) -> StopReason {
    match value.text_of("stop_reason") {
        "max_tokens" | "model_context_window_exceeded" => StopReason::Length,
        "tool_use" => StopReason::ToolCalls,
        "stop_sequence" => StopReason::StopSequence(value.text_of("stop_sequence").to_owned()),
        "pause_turn" => StopReason::Pause,
        "refusal" => StopReason::Refusal,
        _ => StopReason::Stop,
    }
}

/// The text of a refusal, which is not part of the content.
pub(super) fn explanation(value: Node<'_>) -> Option<&str> {
    let details = value.get("stop_details")?;
    details.get("explanation").and_then(Node::text).filter(|text| !text.is_empty())
}

/// The stop reason that a client gets, and the text of a refusal.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// Absent if the provider sent none.
    pub(super) stop: Option<StopReason>,
    /// True if a tool is called.
    pub(super) has_calls: bool,
    /// The text of the refusal.
    pub(super) refusal: String,
}

impl Ending {
    /// Writes `stop_reason`, `stop_sequence` and `stop_details`.
    pub(super) fn write(&self, object: &mut ObjectWriter<'_>) {
        let stop = self.stop.as_ref().unwrap_or(&StopReason::Stop);
        let reason = match stop {
            _ if !self.refusal.is_empty() => "refusal",
            // Some providers send `stop` with a forced call; clients act on the stop reason.
            StopReason::Stop if self.has_calls => "tool_use",
            StopReason::Stop => "end_turn",
            StopReason::Length => "max_tokens",
            StopReason::StopSequence(_) => "stop_sequence",
            StopReason::ToolCalls => "tool_use",
            StopReason::ContentFilter | StopReason::Refusal => "refusal",
            StopReason::Pause => "pause_turn",
        };
        object.text("stop_reason", reason);
        match stop {
            StopReason::StopSequence(text) if reason == "stop_sequence" => {
                object.text("stop_sequence", text);
            }
            _ => object.null("stop_sequence"),
        }
        if reason == "refusal" {
            object.object("stop_details", |details| {
                details.text("type", "refusal");
                details.null("category");
                match self.refusal.as_str() {
                    "" => details.null("explanation"),
                    text => details.text("explanation", text),
                }
            });
        } else {
            object.null("stop_details");
        }
    }
}

/// Appends the response for a client: the first choice only, since the dialect has one.
pub(super) fn write(answer: &Answer, now_unix: u64, out: &mut Vec<u8>) {
    let (parts, stop) = match answer.choices.first() {
        Some(choice) => (choice.parts.as_slice(), Some(choice.stop.clone())),
        None => (&[][..], None),
    };
    let mut ending = Ending { stop, ..Ending::default() };
    for part in parts {
        match &part.content {
            Content::Refusal(text) => ending.refusal.push_str(text),
            Content::ToolCall(_) => ending.has_calls = true,
            _ => {}
        }
    }
    write_object(out, |root| {
        root.text("id", &answer_id::for_client(ID_PREFIX, &answer.id));
        root.text("type", "message");
        root.text("role", "assistant");
        root.text("model", &answer.model);
        let is_last_words = |part: &Part| match &part.content {
            Content::Reasoning(reasoning) => !signature::is_for_words_before(reasoning),
            _ => true,
        };
        let end = parts.iter().rposition(is_last_words).map_or(parts.len(), |last| last + 1);
        root.array("content", |array| {
            for (index, part) in (0_u32..).zip(parts).take(end) {
                write_content(array, &part.content, now_unix, index);
            }
        });
        ending.write(root);
        let counts = answer.usage.unwrap_or_default();
        let tier = answer.service_tier.as_deref();
        root.object("usage", |object| usage::write(object, &counts, tier));
    });
}

fn write_content(array: &mut ArrayWriter<'_>, content: &Content, now_unix: u64, index: u32) {
    match content {
        // Clients send the content back, and the vendor rejects an empty text.
        Content::Text(text) if text.text.is_empty() && text.citations.is_empty() => {}
        Content::Text(text) => array.object(|block| {
            text_block(block, &text.text);
            if !text.citations.is_empty() {
                block.array("citations", |list| {
                    for citation in &text.citations {
                        write_citation(list.item(), citation);
                    }
                });
            }
        }),
        Content::Reasoning(reasoning) => write_reasoning(array, reasoning),
        Content::ToolCall(call) => {
            let id = call_id(call, now_unix, index);
            if let Some(signature) = &call.signature {
                let data = signature::data_of_call(&id, signature);
                array.object(|block| redacted(block, &data));
            }
            // Arguments that are not an object are sent as text inside one.
            array.object(|block| tool_use(block, call, &id).ok());
        }
        Content::Raw(foreign) if foreign.dialect == Dialect::AnthropicMessages => {
            array.raw(&foreign.json);
        }
        content => {
            if let Some(link) = media_link::link(content) {
                array.object(|block| text_block(block, &link));
            }
        }
    }
}

fn write_reasoning(array: &mut ArrayWriter<'_>, reasoning: &Reasoning) {
    let is_shown = !reasoning.text.is_empty() || reasoning.signature.is_some();
    let is_empty = reasoning.sealed.is_none() && reasoning.id.is_none();
    if is_shown || reasoning.sealed.is_none() && !is_empty {
        array.object(|block| {
            block.text("type", "thinking");
            block.text("thinking", &reasoning.text);
            block.text("signature", &signature::signature(reasoning));
        });
    }
    if let Some(sealed) = &reasoning.sealed
        && (!is_shown || reasoning.signature.is_some())
    {
        let data = signature::data(reasoning, sealed);
        array.object(|block| redacted(block, &data));
    }
}

/// Writes the members of a redacted block.
pub(super) fn redacted(block: &mut ObjectWriter<'_>, data: &str) {
    block.text("type", "redacted_thinking");
    block.text("data", data);
}

/// The id of the call. If the provider sent none, one that is unique in the conversation.
pub(super) fn call_id(call: &ToolCall, now_unix: u64, index: u32) -> String {
    if call.id.is_empty() { format!("call_{now_unix}_{index}") } else { call.id.clone() }
}

/// Appends one citation: unchanged if it is from Anthropic, else as a web search result, or as a
/// location in a document that only has a title.
pub(super) fn write_citation(out: &mut Vec<u8>, citation: &Citation) {
    match &citation.original {
        Some(original) if original.dialect == Dialect::AnthropicMessages => {
            out.extend_from_slice(original.json.text().as_bytes());
        }
        _ => write_object(out, |object| citation_members(object, citation)),
    }
}

fn citation_members(object: &mut ObjectWriter<'_>, citation: &Citation) {
    let quote = citation.quote.as_deref().unwrap_or_default();
    let title = |object: &mut ObjectWriter<'_>, key: &str| match &citation.title {
        Some(title) => object.text(key, title),
        None => object.null(key),
    };
    if let Some(url) = &citation.url {
        object.text("type", "web_search_result_location");
        object.text("cited_text", quote);
        object.text("url", url);
        title(object, "title");
        object.text("encrypted_index", "");
    } else {
        object.text("type", "char_location");
        object.text("cited_text", quote);
        object.number("document_index", 0);
        title(object, "document_title");
        object.number("start_char_index", 0);
        object.number("end_char_index", 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{Json, Scanner};

    fn read_body(body: &str) -> Option<Answer> {
        Scanner::default().read(body.as_bytes(), read).expect("JSON")
    }

    fn written(parts: Vec<Part>, stop: StopReason) -> serde_json::Value {
        let choice = Choice { parts, stop, ..Choice::default() };
        let answer = Answer { choices: vec![choice], ..Answer::default() };
        let mut out = Vec::new();
        write(&answer, 9, &mut out);
        serde_json::from_slice(&out).expect("JSON is written")
    }

    #[test]
    fn malformed_responses_are_rejected_or_tolerated() {
        for body in ["{}", r#"{"content":null}"#, r#"{"content":"Hi"}"#, r#"{"error":{}}"#] {
            assert_eq!(read_body(body), None, "{body}");
        }
        let bare = read_body(r#"{"content":[{"type":"text"},{"type":"tool_use"},{}]}"#);
        let choice = bare.expect("an answer").choices.remove(0);
        assert_eq!((choice.parts.len(), choice.stop), (3, StopReason::Stop));
    }

    #[test]
    fn service_tier_and_searches_are_kept() {
        let body = r#"{"content":[],"usage":{"input_tokens":1,"output_tokens":2,
            "service_tier":"priority","server_tool_use":{"web_search_requests":3}}}"#;
        let answer = read_body(body).expect("an answer");
        assert_eq!(answer.service_tier.as_deref(), Some("priority"));
        assert_eq!(answer.usage.map(|usage| usage.web_searches), Some(3));
        let mut out = Vec::new();
        write(&answer, 0, &mut out);
        assert_eq!(read_body(&String::from_utf8(out).expect("UTF-8")), Some(answer));
    }

    #[test]
    fn stop_reasons_are_translated() {
        let call = || vec![Part::new(Content::ToolCall(ToolCall::default()))];
        let refusal = || vec![Part::new(Content::Refusal("no".to_owned()))];
        for (parts, stop, reason) in [
            (vec![], StopReason::Stop, "end_turn"),
            (call(), StopReason::Stop, "tool_use"),
            (call(), StopReason::Length, "max_tokens"),
            (vec![], StopReason::ToolCalls, "tool_use"),
            (vec![], StopReason::Pause, "pause_turn"),
            (vec![], StopReason::ContentFilter, "refusal"),
            (vec![], StopReason::Refusal, "refusal"),
            (refusal(), StopReason::Stop, "refusal"),
        ] {
            let body = written(parts, stop);
            assert_eq!(body["stop_reason"], reason);
            assert_eq!(body["stop_details"].is_null(), reason != "refusal");
        }
        let body = written(refusal(), StopReason::Stop);
        assert_eq!(body["stop_details"]["explanation"], "no");
        let body = written(vec![], StopReason::StopSequence("END".to_owned()));
        assert_eq!(
            (&body["stop_reason"], &body["stop_sequence"]),
            (&"stop_sequence".into(), &"END".into())
        );
    }

    #[test]
    fn returned_blocks_round_trip() {
        let call =
            ToolCall { name: "f.g".to_owned(), arguments: "[1]".to_owned(), ..ToolCall::default() };
        let foreign =
            DialectJson { dialect: crate::llm::Dialect::Gemini, json: Json::of_text("x") };
        let parts = vec![
            Part::text(""),
            Part::new(Content::Reasoning(Reasoning::default())),
            Part::new(Content::Raw(foreign)),
            Part::new(Content::ToolCall(call)),
        ];
        let body = written(parts, StopReason::ToolCalls);
        let expected = serde_json::json!([{
            "type": "tool_use", "id": "call_9_3", "name": "rg0-f_2eg",
            "input": {"arguments": "[1]"}}]);
        assert_eq!(body["content"], expected);
    }

    #[test]
    fn foreign_citations_are_translated() {
        let citation = |url: Option<&str>| Citation {
            url: url.map(str::to_owned),
            title: Some("t".to_owned()),
            ..Citation::default()
        };
        let citations = vec![citation(Some("https://a.example")), citation(None)];
        let text = Content::Text(Text { text: "Hi".to_owned(), citations });
        let body = written(vec![Part::new(text)], StopReason::Stop);
        let [web, document] = body["content"][0]["citations"].as_array().expect("two").as_slice()
        else {
            panic!("{body}")
        };
        assert_eq!(
            (&web["type"], &web["url"]),
            (&"web_search_result_location".into(), &"https://a.example".into())
        );
        assert_eq!(
            (&document["type"], &document["document_title"]),
            (&"char_location".into(), &"t".into())
        );
    }
}
