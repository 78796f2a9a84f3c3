//! The message of an error, in the members where vendors and the servers in front of them put it.

use crate::llm::{Node, Scanner};

/// Maximum number of violations in a message.
const VIOLATIONS_MAX: usize = 8;

/// Maximum length of a vendor's response in a message, if it is not JSON.
const RAW_BYTES_MAX: usize = 1024;

/// Members that may have the message, the most common first: OpenAI's and most others', Amazon's,
/// `FastAPI`'s, GLM's.
const MESSAGES: [&str; 4] = ["message", "Message", "detail", "msg"];

/// The message of `error`, an object or a string. None if it has none.
pub(super) fn message_of(error: Node<'_>) -> Option<String> {
    if let Some(text) = error.text() {
        return filled(text);
    }
    let direct = MESSAGES.iter().filter_map(|key| error.get(key)).find_map(message_in);
    let direct = direct.map(|message| match message_behind(error) {
        Some(cause) if !message.contains(&cause) => format!("{message}: {cause}"),
        _ => message,
    });
    // MiniMax reports failures next to a response that is null.
    let status = || filled(error.get("base_resp")?.text_of("status_msg"));
    direct.or_else(status)
}

/// The message of the vendor behind a router: OpenRouter has it as a string in `metadata.raw`, and not
/// in its own message.
fn message_behind(error: Node<'_>) -> Option<String> {
    let raw = error.get("metadata")?.get("raw")?.text()?;
    let read = |root: Node<'_>| root.get("error").and_then(message_of).or_else(|| message_of(root));
    let inner = Scanner::default().read(raw.as_bytes(), read).ok().flatten();
    inner.or_else(|| filled(raw.get(..raw.floor_char_boundary(RAW_BYTES_MAX))?))
}

/// The message in a member: a string, a list of violations, or an object with either.
fn message_in(value: Node<'_>) -> Option<String> {
    if let Some(text) = value.text() {
        return filled(text);
    }
    if value.is_array() {
        let violations: Vec<String> =
            value.items().filter_map(violation).take(VIOLATIONS_MAX).collect();
        return filled(&violations.join("; "));
    }
    // Mistral puts its validator's list into the message.
    let inner = ["detail", "message", "msg", "error"].iter().filter_map(|key| value.get(key));
    inner.filter(|it| it.text().is_some() || it.is_array()).find_map(message_in)
}

/// One violation in pydantic's format: the location in the request, and the fault.
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
