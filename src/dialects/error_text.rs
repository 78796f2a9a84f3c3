//! The message of an error, in the places where vendors and the servers before them have it.

use crate::llm::{Node, Scanner};

/// Entries of a list of violations that are repeated, at most.
const VIOLATIONS_MAX: usize = 8;

/// Bytes that are repeated of what a vendor behind a router said, where that is no JSON.
const RAW_BYTES_MAX: usize = 1024;

/// Members that may hold the message, the usual one first: OpenAI's and most others', Amazon's,
/// `FastAPI`'s, GLM's.
const MESSAGES: [&str; 4] = ["message", "Message", "detail", "msg"];

/// The message of `error`, which is an object or the text itself. None if it says nothing.
pub(super) fn message_of(error: Node<'_>) -> Option<String> {
    if let Some(text) = error.text() {
        return filled(text);
    }
    let direct = MESSAGES.iter().filter_map(|key| error.get(key)).find_map(words);
    let direct = direct.map(|message| match message_behind(error) {
        Some(cause) if !message.contains(&cause) => format!("{message}: {cause}"),
        _ => message,
    });
    // MiniMax reports its failures beside an answer that is null.
    let status = || filled(error.get("base_resp")?.text_of("status_msg"));
    direct.or_else(status)
}

/// What the vendor behind a router said: OpenRouter has its answer as a text in `metadata.raw`, and says
/// nothing of it in its own message.
fn message_behind(error: Node<'_>) -> Option<String> {
    let raw = error.get("metadata")?.get("raw")?.text()?;
    let read = |root: Node<'_>| root.get("error").and_then(message_of).or_else(|| message_of(root));
    let inner = Scanner::default().read(raw.as_bytes(), read).ok().flatten();
    inner.or_else(|| filled(raw.get(..raw.floor_char_boundary(RAW_BYTES_MAX))?))
}

/// The words of a member: a text, a list of violations, or an object that holds either.
fn words(value: Node<'_>) -> Option<String> {
    if let Some(text) = value.text() {
        return filled(text);
    }
    if value.is_array() {
        let violations: Vec<String> =
            value.items().filter_map(violation).take(VIOLATIONS_MAX).collect();
        return filled(&violations.join("; "));
    }
    // Mistral puts the list of its validator into the message.
    let inner = ["detail", "message", "msg", "error"].iter().filter_map(|key| value.get(key));
    inner.filter(|it| it.text().is_some() || it.is_array()).find_map(words)
}

/// One violation, as pydantic reports it: where in the request, and what is wrong there.
fn violation(value: Node<'_>) -> Option<String> {
    if let Some(text) = value.text() {
        return filled(text);
    }
    let what = ["msg", "message"].iter().find_map(|key| filled(value.text_of(key)))?;
    let step = |step: Node<'_>| {
        step.text().map(str::to_owned).or_else(|| step.u64().map(|index| index.to_string()))
    };
    let place: Vec<String> =
        value.get("loc").into_iter().flat_map(Node::items).filter_map(step).collect();
    if place.is_empty() { Some(what) } else { Some(format!("{}: {what}", place.join("."))) }
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use crate::dialects::codec;
    use crate::llm::{Dialect, Node, Scanner};

    #[test]
    fn validation_errors_are_read_in_every_dialect() {
        let violation = r#"{"loc":["body","temperature"],"msg":"too high","type":"value_error"}"#;
        let nested =
            r#"{"type":"missing","loc":["body","messages",0,"role"],"msg":"Field required"}"#;
        for (body, expected) in [
            (format!(r#"{{"detail":[{violation}]}}"#), "body.temperature: too high"),
            (
                format!(r#"{{"detail":[{violation},{nested}]}}"#),
                "body.temperature: too high; body.messages.0.role: Field required",
            ),
            (
                format!(r#"{{"object":"error","message":{{"detail":[{nested}]}},"type":"x"}}"#),
                "body.messages.0.role: Field required",
            ),
            (format!(r#"{{"error":{{"message":[{violation}]}}}}"#), "body.temperature: too high"),
            (r#"{"detail":[{"msg":"no place"}]}"#.to_owned(), "no place"),
            (r#"{"detail":["plain"]}"#.to_owned(), "plain"),
            (r#"{"detail":{"error":"inner"}}"#.to_owned(), "inner"),
            (r#"{"detail":"text"}"#.to_owned(), "text"),
            (
                r#"{"error":{"message":"Provider returned error","metadata":{"raw":"{\"error\":{\"message\":\"no such voice\"}}"}}}"#
                    .to_owned(),
                "Provider returned error: no such voice",
            ),
            (
                r#"{"error":{"message":"Provider returned error","metadata":{"raw":"busy"}}}"#
                    .to_owned(),
                "Provider returned error: busy",
            ),
            (r#"{"code":500,"msg":"404 NOT_FOUND","success":false}"#.to_owned(), "404 NOT_FOUND"),
            (
                r#"{"base_resp":{"status_code":1008,"status_msg":"no balance"}}"#.to_owned(),
                "no balance",
            ),
            (r#"{"detail":[]}"#.to_owned(), "the provider answered with status 422"),
        ] {
            for dialect in Dialect::ALL {
                let Some(codec) = codec(dialect) else { continue };
                let read = |root: Node<'_>| codec.read_error(422, Some(root));
                let error = Scanner::default().read(body.as_bytes(), read).expect("JSON");
                assert_eq!(error.message, expected, "{dialect:?}: {body}");
                assert_eq!(error.status, 422, "{dialect:?}: {body}");
            }
        }
    }
}
