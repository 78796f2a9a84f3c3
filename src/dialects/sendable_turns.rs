//! Drops what only another dialect has from the turns of a request, and the turns that are empty then.
//!
//! Tool results are always converted to text, since the model requested them. Of other content, what
//! has text is converted, the rest is dropped. An empty turn is dropped too, since vendors reject it,
//! and its neighbors are merged if they have the same role.

use std::borrow::Cow;

use super::warnings::Warnings;
use crate::llm::{ChatRequest, Content, Dialect, DialectJson, Node, Part, Role, Scanner, Turn};

/// The reason in warnings about dropped content.
const ELSEWHERE: &str = "only another dialect has it";

/// True for content that the writer of a dialect drops from a turn of that role.
pub(super) type DropRule = fn(Role, &Content) -> bool;

/// `request` with turns that `dialect` supports. Copied only if something changes.
pub(super) fn for_provider<'r>(
    request: &'r ChatRequest,
    dialect: Dialect,
    is_lost: DropRule,
    warnings: &mut Warnings,
) -> Cow<'r, ChatRequest> {
    let is_fine = |turn: &Turn| {
        let has_foreign = turn.parts.iter().any(|part| match &part.content {
            Content::ToolResult(result) => result.parts.iter().any(|it| is_foreign(it, dialect)),
            _ => is_foreign(part, dialect),
        });
        !has_foreign && (turn.parts.is_empty() || !is_blank(turn, is_lost))
    };
    if request.turns.iter().all(is_fine) {
        return Cow::Borrowed(request);
    }
    let mut turns: Vec<Turn> = Vec::with_capacity(request.turns.len());
    let mut has_gap = false;
    for turn in &request.turns {
        let mut turn = turn.clone();
        let was_empty = turn.parts.is_empty();
        translate(&mut turn, dialect, warnings);
        if !was_empty && is_blank(&turn, is_lost) {
            if !turn.parts.is_empty() {
                warnings.dropped("a turn", "nothing of it can be told to this provider");
            }
            has_gap = true;
            continue;
        }
        let before = turns.last_mut().filter(|_| std::mem::take(&mut has_gap));
        match before.filter(|before| is_one_turn(before, &turn)) {
            Some(before) => before.parts.append(&mut turn.parts),
            None => turns.push(turn),
        }
    }
    Cow::Owned(ChatRequest { turns, ..request.clone() })
}

fn is_foreign(part: &Part, dialect: Dialect) -> bool {
    matches!(&part.content, Content::Raw(foreign) if foreign.dialect != dialect)
}

fn is_blank(turn: &Turn, is_lost: DropRule) -> bool {
    turn.parts.iter().all(|part| is_lost(turn.role, &part.content))
}

fn is_one_turn(before: &Turn, next: &Turn) -> bool {
    matches!(next.role, Role::User | Role::Assistant)
        && before.role == next.role
        && before.name == next.name
}

/// Converts content that `dialect` lacks to text, or drops it.
fn translate(turn: &mut Turn, dialect: Dialect, warnings: &mut Warnings) {
    for part in &mut turn.parts {
        let Content::ToolResult(result) = &mut part.content else { continue };
        for part in result.parts.iter_mut().filter(|part| is_foreign(part, dialect)) {
            let Content::Raw(foreign) = &part.content else { continue };
            warnings
                .changed("a part of a tool result", "sent as text, only another dialect has it");
            let text = text_of(foreign).unwrap_or_else(|| foreign.json.text().to_owned());
            part.content = Part::text(&text).content;
        }
    }
    turn.parts.retain_mut(|part| {
        if !is_foreign(part, dialect) {
            return true;
        }
        let Content::Raw(foreign) = &part.content else { return true };
        let Some(text) = text_of(foreign) else {
            warnings.dropped("a part of a message", ELSEWHERE);
            return false;
        };
        warnings.changed("a part of a message", "sent as text, only another dialect has it");
        part.content = Part::text(&text).content;
        true
    });
}

/// The text of a part of another dialect: Anthropic's documents in blocks, the application's search
/// results, and tool references.
fn text_of(foreign: &DialectJson) -> Option<String> {
    if foreign.dialect != Dialect::AnthropicMessages {
        return None;
    }
    let text = foreign.json.text().as_bytes();
    Scanner::default().read(text, text_of_block).ok().flatten()
}

fn text_of_block(block: Node<'_>) -> Option<String> {
    let (head, content) = match block.text_of("type") {
        "tool_reference" => return Some(format!("Tool: {}", block.text_of("tool_name"))),
        "search_result" => {
            (vec![block.text_of("title"), block.text_of("source")], block.get("content"))
        }
        "document" => {
            let source = block.get("source")?;
            (vec![block.text_of("title"), block.text_of("context")], source.get("content"))
        }
        _ => return None,
    };
    let plain = content.and_then(Node::text);
    let blocks = content.into_iter().flat_map(Node::items).map(|block| block.text_of("text"));
    let all = head.into_iter().chain(plain).chain(blocks).filter(|text| !text.is_empty());
    let text = all.collect::<Vec<_>>().join("\n");
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::dialects::codec::{RequestPath, TargetModel};
    use crate::dialects::warnings::Warnings;
    use crate::dialects::{DIALECTS, codec};
    use crate::llm::{Dialect, Scanner};

    /// A request of Claude's client, as each provider receives it.
    fn sent(messages: &Value) -> Vec<(Dialect, Value, Vec<String>)> {
        let body = json!({ "model": "m", "max_tokens": 9, "messages": messages }).to_string();
        let reader = codec(Dialect::AnthropicMessages).expect("a dialect");
        let path = RequestPath::default();
        let request = Scanner::default()
            .read(body.as_bytes(), |root| reader.read_request(root, &path))
            .expect("JSON")
            .expect("a request");
        let mut all = Vec::new();
        for (dialect, writer) in DIALECTS {
            for is_original in [true, false] {
                let (mut warnings, mut out) = (Warnings::default(), Vec::new());
                let target = TargetModel::new("m", is_original);
                writer.write_request(&request, &target, &mut warnings, &mut out).expect("sayable");
                let body = serde_json::from_slice(&out).expect("JSON");
                all.push((dialect, body, warnings.iter().map(str::to_owned).collect()));
            }
        }
        all
    }

    /// The conversation in a provider's request.
    fn conversation(dialect: Dialect, body: &Value) -> &Vec<Value> {
        let key = match dialect {
            Dialect::OpenaiResponses => "input",
            Dialect::Gemini => "contents",
            _ => "messages",
        };
        body[key].as_array().unwrap_or_else(|| panic!("{dialect:?}: {body}"))
    }

    #[test]
    fn empty_turns_are_dropped_in_every_dialect() {
        let search = json!({ "role": "assistant", "content": [
            { "type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": { "query": "q" } },
            { "type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [
                { "type": "web_search_result", "title": "T", "url": "https://a.example", "encrypted_content": "E" }] }] });
        let sealed = json!({ "role": "assistant", "content": [
            { "type": "redacted_thinking", "data": "gemini#S==" }] });
        let user = |text: &str| json!({ "role": "user", "content": text });
        for lost in [search, sealed] {
            let messages = json!([user("x"), lost, user("go")]);
            for (dialect, body, warnings) in sent(&messages) {
                let is_own = dialect == Dialect::AnthropicMessages
                    || dialect == Dialect::Gemini && lost.to_string().contains("gemini#");
                if is_own {
                    continue;
                }
                let turns = conversation(dialect, &body);
                // Responses are a flat list of items, without borders between turns.
                let is_list = dialect == Dialect::OpenaiResponses;
                assert!(turns.len() == 1 || is_list, "{dialect:?}: {body}");
                assert!(turns.iter().all(|turn| turn["role"] == "user"), "{dialect:?}: {body}");
                let text = Value::from(turns.clone()).to_string();
                assert!(text.contains("\"x\"") && text.contains("\"go\""), "{dialect:?}: {text}");
                assert!(!warnings.is_empty(), "{dialect:?}");
            }
        }
    }

    #[test]
    fn dropped_tool_results_become_text() {
        let parts = json!([
            { "type": "tool_reference", "tool_name": "get_weather" },
            { "type": "search_result", "title": "Oslo", "source": "https://o.example",
                "content": [{ "type": "text", "text": "Capital of Norway" }] },
            { "type": "newer_result", "fact": "unknown" }]);
        let messages = json!([
            { "role": "user", "content": "x" },
            { "role": "assistant", "content": [
                { "type": "tool_use", "id": "t1", "name": "find", "input": {} }] },
            { "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "t1", "content": parts },
                { "type": "search_result", "title": "Bergen", "source": "b.example",
                    "content": [{ "type": "text", "text": "Rain" }] }] }]);
        for (dialect, body, warnings) in sent(&messages) {
            if dialect == Dialect::AnthropicMessages {
                continue;
            }
            let text = Value::from(conversation(dialect, &body).clone()).to_string();
            for fragment in [
                "get_weather",
                "Oslo",
                "https://o.example",
                "Capital of Norway",
                "unknown",
                "Bergen",
                "Rain",
            ] {
                assert!(text.contains(fragment), "{dialect:?}: no {fragment} in {text}");
            }
            assert!(!warnings.is_empty(), "{dialect:?}");
        }
    }
}
