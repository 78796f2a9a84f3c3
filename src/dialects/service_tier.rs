//! Service tiers. The canonical request and response have any vendor's names; comparisons use OpenAI's.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::llm::{Dialect, Edit, edit_members, member_text, quote};

/// OpenAI's name for the tier `word` of a request. None if OpenAI has no such tier.
pub(super) fn of_request(tier: &str) -> Option<&'static str> {
    match tier.to_ascii_lowercase().as_str() {
        "auto" => Some("auto"),
        // Google's, Anthropic's and Groq's names for the default.
        "default" | "standard" | "standard_only" | "on_demand" | "unspecified" => Some("default"),
        "flex" => Some("flex"),
        "scale" => Some("scale"),
        "priority" => Some("priority"),
        "fast" => Some("fast"),
        "ultrafast" => Some("ultrafast"),
        // Groq's highest tier.
        "performance" => Some("priority"),
        _ => None,
    }
}

/// OpenAI's name for the tier `word` of a response, where `fast` is `priority` too (API reference,
/// "service_tier", read November 2026). Clients accept no other names.
pub(super) fn of_answer(tier: &str) -> Option<&'static str> {
    match of_request(tier)? {
        "fast" | "ultrafast" => Some("priority"),
        known => Some(known),
    }
}

/// A response in one of OpenAI's dialects, or an event of its stream, with OpenAI's name for its tier,
/// or without a tier if OpenAI has none. None if nothing changes.
#[must_use]
pub fn with_openais_tier(dialect: Dialect, answer: &[u8]) -> Option<Vec<u8>> {
    static NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"service_tier\""));
    NAME.find(answer)?;
    if let Some(edited) = translated(answer) {
        return Some(edited);
    }
    let response =
        member_text(answer, "response").filter(|_| dialect == Dialect::OpenaiResponses)?;
    let json = &translated(response)?;
    Some(edit_members(answer, &[Edit::Set { key: "response", json }]))
}

/// The object with another `service_tier`, or without it.
fn translated(object: &[u8]) -> Option<Vec<u8>> {
    const KEY: &str = "service_tier";
    let quoted = member_text(object, KEY)?.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let tier = std::str::from_utf8(quoted).ok()?;
    let edited = match of_answer(tier) {
        Some(known) if known == tier => return None,
        Some(known) => edit_members(object, &[Edit::Set { key: KEY, json: &quote(known) }]),
        None => edit_members(object, &[Edit::Remove { key: KEY }]),
    };
    Some(edited)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::dialects::codec::{RequestPath, TargetModel};
    use crate::dialects::warnings::Warnings;
    use crate::dialects::{Codec, codec};
    use crate::llm::{Answer, ChatRequest, Choice, Chunk, Dialect, Scanner, Start, chunks_of};

    const OPENAI: [Dialect; 2] = [Dialect::OpenaiChat, Dialect::OpenaiResponses];

    fn streamed(codec: &dyn Codec, answer: &Answer) -> Vec<Value> {
        let mut encoder = codec.stream_encoder(&ChatRequest::default(), 0);
        let mut out = Vec::new();
        chunks_of(answer).iter().for_each(|chunk| encoder.push(chunk, &mut out));
        let text = String::from_utf8(out).expect("UTF-8");
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.filter_map(|data| serde_json::from_str(data).ok()).collect()
    }

    #[test]
    fn responses_use_openai_tier_names_only() {
        for (name, expected) in [
            ("standard", Some("default")),
            ("on_demand", Some("default")),
            ("default", Some("default")),
            ("auto", Some("auto")),
            ("flex", Some("flex")),
            ("scale", Some("scale")),
            ("priority", Some("priority")),
            ("fast", Some("priority")),
            ("reserved", None),
            ("batch", None),
            ("turbo", None),
        ] {
            let tier = Some(name.to_owned());
            let choices = vec![Choice::default()];
            let answer = Answer { service_tier: tier, choices, ..Answer::default() };
            for dialect in OPENAI {
                let codec = codec(dialect).expect("a dialect");
                // The dialect always has a tier in responses.
                let is_chat = dialect == Dialect::OpenaiChat;
                let expected = expected.or(if is_chat { None } else { Some("default") });
                let mut out = Vec::new();
                codec.write_answer(&answer, &ChatRequest::default(), 0, &mut out);
                let whole: Value = serde_json::from_slice(&out).expect("JSON");
                let tier_of = |value: &Value| value["service_tier"].as_str().map(str::to_owned);
                assert_eq!(tier_of(&whole).as_deref(), expected, "{dialect:?} {name}");
                for event in streamed(codec, &answer) {
                    let response = event.get("response").unwrap_or(&event);
                    assert_eq!(
                        tier_of(response).as_deref(),
                        expected,
                        "{dialect:?} {name}: {event}"
                    );
                }
            }
        }
        // Anthropic's own three names.
        for (tier, expected) in
            [("default", Some("standard")), ("priority", Some("priority")), ("reserved", None)]
        {
            let start = Start { service_tier: Some(tier.to_owned()), ..Start::default() };
            let codec = codec(Dialect::AnthropicMessages).expect("a dialect");
            let mut encoder = codec.stream_encoder(&ChatRequest::default(), 0);
            let mut out = Vec::new();
            encoder.push(&Chunk::Start(start), &mut out);
            encoder.push(&Chunk::Done, &mut out);
            let text = String::from_utf8(out).expect("UTF-8");
            let tier_of = expected.map(|tier| format!(r#""service_tier":"{tier}""#));
            assert_eq!(text.contains("service_tier"), tier_of.is_some(), "{text}");
            assert!(tier_of.is_none_or(|tier_of| text.contains(&tier_of)), "{text}");
        }
    }

    /// The tier that a provider receives if `client` sends `member`, and the number of warnings.
    fn sent(client: Dialect, member: &str, provider: Dialect, is_original: bool) -> (Value, usize) {
        let body = match client {
            Dialect::Gemini => {
                format!(r#"{{"contents":[{{"parts":[{{"text":"x"}}]}}],{member}}}"#)
            }
            Dialect::OpenaiResponses => format!(r#"{{"model":"m","input":"x",{member}}}"#),
            _ => format!(
                r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":"x"}}],{member}}}"#
            ),
        };
        let reader = codec(client).expect("a dialect");
        let path = RequestPath { model: Some("m"), stream: false };
        let request = Scanner::default()
            .read(body.as_bytes(), |root| reader.read_request(root, &path))
            .expect("JSON")
            .expect("a request");
        let (mut warnings, mut out) = (Warnings::default(), Vec::new());
        let target = TargetModel::new("m", is_original);
        let writer = codec(provider).expect("a dialect");
        writer.write_request(&request, &target, &mut warnings, &mut out).expect("sayable");
        let body: Value = serde_json::from_slice(&out).expect("JSON");
        let places = [&body["service_tier"], &body["serviceTier"]["type"], &body["serviceTier"]];
        let tier = places.into_iter().find(|it| it.is_string()).cloned().unwrap_or_default();
        (tier, warnings.iter().filter(|it| it.contains("service_tier")).count())
    }

    #[test]
    fn requests_use_provider_tier_names() {
        use Dialect::{
            AnthropicMessages as Claude, BedrockConverse as Bedrock, Gemini, OpenaiChat as Chat,
            OpenaiResponses as Responses,
        };
        let google = |tier: &str| format!(r#""serviceTier":"{tier}""#);
        let other = |tier: &str| format!(r#""service_tier":"{tier}""#);
        for (client, member, provider, is_original, expected, warnings) in [
            (Gemini, google("standard"), Chat, true, Some("default"), 0),
            (Gemini, google("STANDARD"), Responses, true, Some("default"), 0),
            (Gemini, google("priority"), Chat, true, Some("priority"), 0),
            (Gemini, google("flex"), Claude, true, None, 1),
            (Gemini, google("standard"), Claude, true, Some("standard_only"), 0),
            (Gemini, google("standard"), Bedrock, true, Some("default"), 0),
            (Claude, other("standard_only"), Chat, true, Some("default"), 0),
            (Claude, other("standard_only"), Responses, true, Some("default"), 0),
            (Claude, other("standard_only"), Chat, false, None, 0),
            (Claude, other("auto"), Gemini, true, None, 0),
            (Claude, other("standard_only"), Gemini, true, None, 0),
            (Chat, other("on_demand"), Responses, true, Some("default"), 0),
            (Chat, other("on_demand"), Claude, true, Some("standard_only"), 0),
            (Chat, other("on_demand"), Bedrock, true, Some("default"), 0),
            (Chat, other("priority"), Gemini, true, Some("priority"), 0),
            (Chat, other("scale"), Gemini, true, None, 1),
            (Responses, other("flex"), Chat, false, Some("flex"), 0),
            (Responses, other("ultrafast"), Chat, true, None, 1),
        ] {
            let found = sent(client, &member, provider, is_original);
            let what = format!("{client:?} {member} to {provider:?}");
            assert_eq!(found, (json!(expected), warnings), "{what}");
        }
    }
}
