//! The conversation of a client's request.
//!
//! Other dialects match calls and results by id. A call without one gets an id derived from its
//! position and content, the same each time the history is sent; a result without one gets that of the
//! oldest open call of its name.

use super::part::{RawPart, each, either, file, inline};
use crate::llm::{
    Content, Dialect, Json, Malformed, Node, Part, Role, ToolCall, ToolResult, Turn, Within,
};

/// The turns, and members of parts that the canonical form lacks, by path.
#[derive(Default)]
pub(super) struct Contents {
    pub turns: Vec<Turn>,
    pub beside: Vec<(String, Json)>,
    calls: u64,
    /// Calls without a result so far: id and name.
    open: Vec<(String, String)>,
}

impl Contents {
    /// Reads one element of `contents`.
    pub(super) fn take(&mut self, content: Node<'_>) -> Result<(), Malformed> {
        let role = match content.expect_object()?.text_at("role")? {
            None | Some("user" | "function" | "tool") => Role::User,
            Some("model" | "assistant") => Role::Assistant,
            Some(_) => return Err(Malformed::new("one of user, model")).within("role"),
        };
        let (mut results, mut parts_so_far) = (Vec::new(), Vec::new());
        let parts = content.expect("parts", "an array of parts")?;
        each(parts, |node| {
            let mut raw = RawPart::read(node)?;
            self.note(&raw);
            let is_over = raw.is_only_hidden();
            let hidden = std::mem::take(&mut raw.hidden).into_iter();
            if role == Role::Assistant {
                parts_so_far
                    .extend(hidden.map(|reasoning| Part::new(Content::Reasoning(reasoning))));
            }
            if is_over {
                return Ok(());
            }
            if let Some(response) = raw.response {
                results.push(self.result(response).within("functionResponse")?);
            } else if let Some(call) = raw.call {
                parts_so_far.push(self.call(call, raw).within("functionCall")?);
            } else {
                let parts = raw.into_parts(node)?;
                // Signatures belong to the model; those on a user's text are dropped.
                let is_kept = |part: &Part| {
                    role == Role::Assistant || !matches!(part.content, Content::Reasoning(_))
                };
                for part in parts.into_iter().filter(is_kept) {
                    let part = self.with_text_before(part, &mut parts_so_far);
                    parts_so_far.push(part);
                }
            }
            Ok(())
        })
        .within("parts")?;
        if !results.is_empty() {
            self.turns.push(Turn::new(Role::Tool, results));
        }
        if !parts_so_far.is_empty() {
            self.turns.push(Turn::new(role, parts_so_far));
        }
        Ok(())
    }

    /// Attaches a foreign signature without text to the reasoning before it. Streams send the signature
    /// after the text, and Google's client keeps each fragment as a part or even a turn of its own.
    fn with_text_before(&mut self, part: Part, parts_so_far: &mut Vec<Part>) -> Part {
        let Part { content: Content::Reasoning(mut thought_signature), cache } = part else {
            return part;
        };
        let signature = thought_signature.signature.as_ref().or(thought_signature.sealed.as_ref());
        if thought_signature.text.is_empty()
            && signature.is_some_and(|it| it.dialect != Dialect::Gemini)
        {
            let mut pieces = Vec::new();
            while let Some(piece) = take_open_reasoning(parts_so_far) {
                pieces.push(piece);
            }
            while parts_so_far.is_empty()
                && let Some(turn) = self.turns.last_mut().filter(|it| it.role == Role::Assistant)
                && let Some(piece) = take_open_reasoning(&mut turn.parts)
            {
                pieces.push(piece);
                if turn.parts.is_empty() {
                    self.turns.pop();
                }
            }
            thought_signature.text = pieces.into_iter().rev().collect();
        }
        Part { content: Content::Reasoning(thought_signature), cache }
    }

    /// Keeps the members next to the data of a part, such as the range of a video.
    fn note(&mut self, raw: &RawPart<'_>) {
        if raw.is_foreign() {
            return;
        }
        for (key, value) in &raw.beside {
            let path = format!("contents[{}].parts[].{key}", self.turns.len());
            self.beside.push((path, value.json()));
        }
    }

    fn call(&mut self, call: Node<'_>, raw: RawPart<'_>) -> Result<Part, Malformed> {
        let name = call.expect_text_at("name")?.to_owned();
        let arguments = match call.get("args") {
            Some(args) => args.expect_object().within("args")?.json().text().to_owned(),
            None => String::new(),
        };
        let id = match call.text_at("id")?.filter(|id| !id.is_empty()) {
            Some(id) => id.to_owned(),
            None => call_id("", self.calls, &name, &arguments),
        };
        self.calls += 1;
        self.open.push((id.clone(), name.clone()));
        let signature =
            raw.thought_signature.and_then(super::signature::ThoughtSignature::signature);
        Ok(Part::new(Content::ToolCall(ToolCall { id, name, arguments, signature })))
    }

    fn result(&mut self, response: Node<'_>) -> Result<Part, Malformed> {
        let name = response.expect_text_at("name")?;
        for (key, value) in response.members() {
            if !["id", "name", "response", "parts"].contains(&key) && !value.is_null() {
                let path = format!("contents[{}].parts[].{key}", self.turns.len());
                self.beside.push((path, value.json()));
            }
        }
        let id = response.text_at("id")?.filter(|id| !id.is_empty());
        let place = match id {
            Some(id) => self.open.iter().position(|(open, _)| open == id),
            None => self.open.iter().position(|(_, open)| open == name),
        };
        let matched = place.map(|place| self.open.remove(place).0);
        let id = id.map(str::to_owned).or(matched);
        let (text, is_error) = match response.get("response") {
            Some(value) => output_text(value.expect_object().within("response")?),
            None => (String::new(), false),
        };
        let mut parts = vec![Part::text(&text)];
        if let Some(media) = response.get("parts") {
            parts.extend(media.read_items(medium).within("parts")?);
        }
        let result = ToolResult {
            id: id.unwrap_or_else(|| call_id("", self.calls, name, "")),
            name: Some(name.to_owned()),
            parts,
            is_error,
        };
        Ok(Part::new(Content::ToolResult(result)))
    }
}

/// Takes the text of the last part, if it is reasoning without a signature.
fn take_open_reasoning(parts: &mut Vec<Part>) -> Option<String> {
    let is_open = |part: &mut Part| match &part.content {
        Content::Reasoning(reasoning) => {
            reasoning.signature.is_none() && reasoning.sealed.is_none()
        }
        _ => false,
    };
    let Content::Reasoning(reasoning) = parts.pop_if(is_open)?.content else { return None };
    Some(reasoning.text)
}

/// Reads an image or a document of a function's result.
fn medium(node: Node<'_>) -> Result<Part, Malformed> {
    let inline_data = either(node, "inlineData", "inline_data");
    let content = match (inline_data, either(node, "fileData", "file_data")) {
        (Some(data), _) => inline(data).within("inlineData")?,
        (None, Some(data)) => file(data).within("fileData")?,
        (None, None) => return Err(Malformed::new("an object with inlineData or fileData")),
    };
    Ok(Part::new(content))
}

/// The text of a function's result, and whether it is an error. A result that is not a single text
/// under one of the usual names stays a JSON object.
fn output_text(response: Node<'_>) -> (String, bool) {
    let mut members = response.members();
    if let (Some((key, value)), None) = (members.next(), members.next()) {
        match (key, value.text()) {
            ("result" | "output", Some(text)) => return (text.to_owned(), false),
            ("error", Some(text)) => return (text.to_owned(), true),
            ("error", None) => return (value.json().text().to_owned(), true),
            _ => {}
        }
    }
    (response.json().text().to_owned(), false)
}

/// An id for a call without one, the same for the same call at the same position. `seed` is the id of
/// the response, if there is one.
pub(super) fn call_id(seed: &str, ordinal: u64, name: &str, arguments: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    for text in [seed, name, arguments] {
        hasher.update(text.as_bytes());
        // A separator that UTF-8 text cannot contain.
        hasher.update(&[0xFF]);
    }
    hasher.update(&ordinal.to_le_bytes());
    let mut id = String::from("call_");
    for byte in hasher.finalize().as_bytes().iter().take(12) {
        for nibble in [byte >> 4, byte & 15] {
            id.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    id
}
