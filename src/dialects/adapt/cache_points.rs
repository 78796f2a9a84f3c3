//! Cache points for clients that cannot set any, if the model caches nothing without.
//!
//! OpenAI caches prompt prefixes by itself, and clients of its responses rely on it. Anthropic's models
//! cache up to a marked point only. Two of the four possible points are set: after the instructions,
//! which covers the tools before them, and after the last turn, from which the next request reads. A
//! request that will not be repeated gets none, since writing to the cache costs extra.

use crate::dialects::codec::TargetModel;
use crate::llm::{
    CachePoint, CachePointUse, ChatRequest, Content, Dialect, Part, RefusedSetting, Role, Tool,
    Turn,
};

/// OpenAI's member that marks a prompt as one that will be repeated.
const CACHE_KEY: &str = "prompt_cache_key";

/// Sets the cache points of a request for `target`, if its client could not.
pub fn set_cache_points(request: &mut ChatRequest, dialect: Dialect, target: &TargetModel<'_>) {
    let has_none_by_itself = match dialect {
        Dialect::AnthropicMessages => !target.rules.always_refuses(RefusedSetting::CacheControl),
        Dialect::BedrockConverse => target.rules.cache_points == Some(CachePointUse::All),
        _ => false,
    };
    let is_repeated =
        !request.tools.is_empty() || request.extra_fields.iter().any(|(key, _)| key == CACHE_KEY);
    let is_wanted = has_none_by_itself
        && is_repeated
        && request.origin == Some(Dialect::OpenaiResponses)
        && !has_cache_points(request);
    if is_wanted {
        set_behind_instructions(request);
        set_behind_last_turn(request);
    }
}

fn set_behind_instructions(request: &mut ChatRequest) {
    let is_system = |turn: &&mut Turn| matches!(turn.role, Role::System | Role::Developer);
    let leading = request.turns.iter_mut().take_while(is_system);
    let last = leading.flat_map(|turn| &mut turn.parts).filter(|part| takes_point(part)).last();
    if let Some(part) = last {
        part.cache = Some(CachePoint::Default);
        return;
    }
    let last = request.tools.iter_mut().rev().find_map(|tool| match tool {
        Tool::Function(function) => Some(function),
        _ => None,
    });
    if let Some(function) = last {
        function.cache = Some(CachePoint::Default);
    }
}

fn set_behind_last_turn(request: &mut ChatRequest) {
    let is_given = |turn: &&mut Turn| matches!(turn.role, Role::User | Role::Tool);
    let last = request.turns.iter_mut().rfind(is_given);
    if let Some(part) = last.and_then(|turn| turn.parts.iter_mut().rfind(|part| takes_point(part)))
    {
        part.cache = Some(CachePoint::Default);
    }
}

/// True if a cache point may follow the part.
fn takes_point(part: &Part) -> bool {
    match &part.content {
        Content::Text(text) => !text.text.trim().is_empty(),
        Content::Image(_) | Content::File(_) | Content::ToolResult(_) => true,
        _ => false,
    }
}

pub(super) fn has_cache_points(request: &ChatRequest) -> bool {
    request.functions().any(|function| function.cache.is_some())
        || request.turns.iter().flat_map(|turn| &turn.parts).any(has_cache_point)
}

fn has_cache_point(part: &Part) -> bool {
    let inner = match &part.content {
        Content::ToolResult(result) => result.parts.iter().any(|part| part.cache.is_some()),
        _ => false,
    };
    inner || part.cache.is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::dialects::codec;
    use crate::dialects::grid::read_request;
    use crate::dialects::warnings::Warnings;
    use crate::llm::find_rules;

    const CLAUDE: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";

    /// The body for the provider, and the number of its cache points.
    fn sent(dialect: Dialect, model: &str, body: &Value) -> (Value, usize) {
        let client = codec(Dialect::OpenaiResponses).expect("a dialect with code");
        let mut request = read_request(client, body.to_string().as_bytes());
        let rules = find_rules(None, dialect, model, &[]);
        let target = TargetModel::new(model, true).with_rules(&rules);
        set_cache_points(&mut request, dialect, &target);
        let (mut out, mut warnings) = (Vec::new(), Warnings::default());
        let provider = codec(dialect).expect("a dialect with code");
        provider.write_request(&request, &target, &mut warnings, &mut out).expect("sayable");
        let text = String::from_utf8(out).expect("UTF-8");
        let count =
            text.matches("\"cache_control\"").count() + text.matches("\"cachePoint\"").count();
        (serde_json::from_str(&text).expect("JSON"), count)
    }

    fn agent() -> Value {
        json!({
            "model": "m", "instructions": "Be an agent.", "prompt_cache_key": "k",
            "tools": [{"type": "function", "name": "f"}],
            "input": [
                {"role": "user", "content": "x"},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "1"}
            ]
        })
    }

    #[test]
    fn cache_points_after_instructions_and_last_turn() {
        let point = json!({"type": "ephemeral"});
        let (body, count) = sent(Dialect::AnthropicMessages, "claude-sonnet-4-5", &agent());
        assert_eq!(count, 2, "{body}");
        assert_eq!(body["system"][0]["cache_control"], point);
        assert_eq!(body["messages"][2]["content"][0]["cache_control"], point, "{body}");
        let (body, count) = sent(Dialect::BedrockConverse, CLAUDE, &agent());
        assert_eq!(count, 2, "{body}");
        assert_eq!(body["system"][1]["cachePoint"]["type"], "default", "{body}");
        assert_eq!(body["messages"][2]["content"][1]["cachePoint"]["type"], "default", "{body}");
        let mut bare = agent();
        bare.as_object_mut().expect("an object").remove("instructions");
        let (body, count) = sent(Dialect::AnthropicMessages, "claude-sonnet-4-5", &bare);
        assert_eq!((count, &body["tools"][0]["cache_control"]), (2, &point), "{body}");
    }

    #[test]
    fn no_cache_points_when_unsupported() {
        let mut once = agent();
        for key in ["tools", "prompt_cache_key"] {
            once.as_object_mut().expect("an object").remove(key);
        }
        once["input"] = json!("x");
        let mut own = agent();
        own["input"][0]["content"] = json!([{"type": "input_text", "text": "x",
            "prompt_cache_breakpoint": {"mode": "explicit"}}]);
        for (dialect, model, body, expected) in [
            (Dialect::AnthropicMessages, "claude-sonnet-4-5", &once, 0),
            (Dialect::AnthropicMessages, "claude-sonnet-4-5", &own, 1),
            (Dialect::BedrockConverse, "amazon.nova-pro-v1:0", &agent(), 0),
            (Dialect::Gemini, "gemini-3-pro", &agent(), 0),
        ] {
            let (body, count) = sent(dialect, model, body);
            assert_eq!(count, expected, "{model} {body}");
        }
    }
}
