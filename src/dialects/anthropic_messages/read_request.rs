//! A client's request.

use super::name;
use super::read_block::{UnknownMembers, cache_point, contents};
use crate::dialects::{extra_fields, media_link};
use crate::llm::{
    ChatRequest, Content, Dialect, DialectJson, Format, Function, Json, Malformed, Node,
    ReasoningSettings, Role, Tool, ToolChoice, Turn, WebSearch, Within,
};

/// Prefix of the text that Claude Code puts before its instructions. It differs in each conversation.
pub(in crate::dialects) const BILLING_HEADER: &str = "x-anthropic-billing-header";

/// Reads the body. `max_tokens`, which the vendor requires, is optional: requests to count tokens lack
/// it.
pub(super) fn read(root: Node<'_>) -> Result<ChatRequest, Malformed> {
    let mut request = ChatRequest { include_usage: true, ..ChatRequest::default() };
    let (mut system, mut lost) = (Vec::new(), UnknownMembers::new());
    for (key, value) in root.members() {
        if value.is_null() {
            continue;
        }
        match key {
            "system" => system = contents(value, &mut lost).within(key)?,
            "messages" => {
                let turns = value.read_items(|item| turns(item, &mut lost)).within(key)?;
                request.turns = turns.into_iter().flatten().collect();
            }
            _ => member(&mut request, key, value).within(key)?,
        }
    }
    if request.turns.is_empty() {
        return Err(Malformed::new("an array of at least one message")).within("messages");
    }
    // It differs in each conversation, and only Anthropic uses it.
    system.retain(|part| !part.as_text().is_some_and(|text| text.starts_with(BILLING_HEADER)));
    if !system.is_empty() {
        request.turns.insert(0, Turn::new(Role::System, system));
    }
    lost.sort_unstable();
    lost.dedup();
    for path in lost {
        let json = Json::of_written("null".to_owned());
        request
            .extra_fields
            .push((path.to_owned(), DialectJson { dialect: Dialect::AnthropicMessages, json }));
    }
    Ok(request)
}

/// Reads one top-level member that is not null.
fn member(request: &mut ChatRequest, key: &str, value: Node<'_>) -> Result<(), Malformed> {
    let sampling = &mut request.sampling;
    match key {
        "model" => request.model = value.expect_text()?.to_owned(),
        "stream" => request.stream = value.expect_flag()?,
        "max_tokens" => request.max_tokens = Some(value.expect_u64()?),
        "temperature" => sampling.temperature = Some(value.expect_f64()?),
        "top_p" => sampling.top_p = Some(value.expect_f64()?),
        "top_k" => sampling.top_k = Some(value.expect_u64()?),
        "stop_sequences" => {
            request.stop = value.read_items(|item| item.expect_text().map(str::to_owned))?;
        }
        "tools" => tools(request, value)?,
        "tool_choice" => tool_choice(request, value)?,
        "thinking" => thinking(request, value)?,
        "output_config" => output_config(request, value)?,
        // Its older location.
        "output_format" => request.format = Some(format(value)?),
        "metadata" => metadata(request, value)?,
        "service_tier" => {
            // OpenAI's names are the canonical ones.
            let tier = match value.expect_text()? {
                "standard_only" => "default",
                other => other,
            };
            request.service_tier = Some(tier.to_owned());
        }
        _ => extra_fields::keep(&mut request.extra_fields, Dialect::AnthropicMessages, key, value),
    }
    Ok(())
}

/// The turns of one message. A user message with tool results is two: the tool's and the user's.
fn turns(value: Node<'_>, lost: &mut UnknownMembers) -> Result<Vec<Turn>, Malformed> {
    let role = match value.expect_text_at("role")? {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => return Err(Malformed::new("one of user, assistant, system")).within("role"),
    };
    let content = value.expect("content", "a string or an array of content blocks")?;
    let mut parts = contents(content, lost).within("content")?;
    if role == Role::Assistant {
        parts.iter_mut().for_each(media_link::restore);
    }
    if role != Role::User {
        return Ok(vec![Turn::new(role, parts)]);
    }
    let is_result = |content: &Content| matches!(content, Content::ToolResult(_));
    let (results, rest): (Vec<_>, Vec<_>) =
        parts.into_iter().partition(|part| is_result(&part.content));
    let has_results = !results.is_empty();
    let turns = [Turn::new(Role::Tool, results), Turn::new(Role::User, rest)];
    let is_filled =
        |turn: &Turn| !turn.parts.is_empty() || (turn.role == Role::User && !has_results);
    Ok(turns.into_iter().filter(is_filled).collect())
}

fn tools(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    for (index, item) in value.expect_array()?.items().enumerate() {
        let tool = tool(item).within_item(index)?;
        if matches!(tool, Tool::Function(_)) {
            for (key, hint) in item.members().filter(|(key, _)| !FUNCTION_MEMBERS.contains(key)) {
                extra_fields::keep(
                    &mut request.extra_fields,
                    Dialect::AnthropicMessages,
                    &format!(".tools[{index}].{key}"),
                    hint,
                );
            }
        }
        request.tools.push(tool);
    }
    Ok(())
}

/// The members of a function that the canonical form has; the rest is for this vendor only.
const FUNCTION_MEMBERS: [&str; 6] =
    ["type", "name", "description", "input_schema", "strict", "cache_control"];

/// The members of a web search that the canonical form has. The version is not kept.
const SEARCH_MEMBERS: [&str; 6] =
    ["type", "name", "max_uses", "allowed_domains", "blocked_domains", "user_location"];

fn tool(value: Node<'_>) -> Result<Tool, Malformed> {
    let has_only = |known: &[&str]| {
        value.members().all(|(key, member)| known.contains(&key) || member.is_null())
    };
    match value.text_at("type")? {
        None | Some("custom") => function(value).map(Tool::Function),
        Some(kind) if kind.starts_with("web_search_") && has_only(&SEARCH_MEMBERS) => {
            web_search(value).map(Tool::WebSearch)
        }
        Some(kind) if kind.starts_with("code_execution_") && has_only(&["type", "name"]) => {
            Ok(Tool::CodeExecution)
        }
        Some(_) => {
            Ok(Tool::Raw(DialectJson { dialect: Dialect::AnthropicMessages, json: value.json() }))
        }
    }
}

fn function(value: Node<'_>) -> Result<Function, Malformed> {
    Ok(Function {
        name: name::read(value.expect_text_at("name")?).into_owned(),
        description: value.text_at("description")?.map(str::to_owned),
        parameters: value
            .get("input_schema")
            .map(|schema| schema.expect_object().within("input_schema").map(Node::json))
            .transpose()?,
        strict: value.get("strict").and_then(Node::flag),
        cache: cache_point(value),
        openai: None,
    })
}

fn web_search(value: Node<'_>) -> Result<WebSearch, Malformed> {
    let domains = |key: &str| match value.get(key) {
        Some(list) => list.read_items(|item| item.expect_text().map(str::to_owned)).within(key),
        None => Ok(Vec::new()),
    };
    Ok(WebSearch {
        allowed_domains: domains("allowed_domains")?,
        blocked_domains: domains("blocked_domains")?,
        uses_max: value.get("max_uses").and_then(Node::u64),
        user_location: value.get("user_location").map(Node::json),
        context_size: None,
    })
}

fn tool_choice(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    request.tool_choice = Some(match value.expect_text_at("type")? {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => ToolChoice::Function(name::read(value.expect_text_at("name")?).into_owned()),
        _ => return Err(Malformed::new("one of auto, any, tool, none")).within("type"),
    });
    let disabled = value.get("disable_parallel_tool_use").and_then(Node::flag);
    request.parallel_tool_calls = disabled.map(|disabled| !disabled);
    Ok(())
}

fn thinking(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    let mut settings = request.reasoning.take().unwrap_or_default();
    match value.expect_text_at("type")? {
        "enabled" => {
            let budget = value.expect("budget_tokens", "a whole number of 0 or more")?;
            settings.tokens_max = Some(budget.expect_u64().within("budget_tokens")?);
        }
        "adaptive" => {}
        // The latter writes notes between its calls, but has no reasoning either.
        "disabled" | "between_tools" => settings.is_off = true,
        _ => {
            let expected = "one of enabled, adaptive, disabled, between_tools";
            return Err(Malformed::new(expected)).within("type");
        }
    }
    settings.is_shown = value.text_at("display")?.map(|display| display != "omitted");
    request.reasoning = Some(settings);
    for (key, member) in value.members() {
        if !["type", "budget_tokens", "display"].contains(&key) {
            extra_fields::keep(
                &mut request.extra_fields,
                Dialect::AnthropicMessages,
                &format!(".thinking.{key}"),
                member,
            );
        }
    }
    Ok(())
}

fn output_config(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    for (key, member) in value.expect_object()?.members().filter(|(_, member)| !member.is_null()) {
        match key {
            "effort" => {
                let effort = Some(member.expect_text().within(key)?.to_owned());
                let settings: &mut ReasoningSettings = request.reasoning.get_or_insert_default();
                settings.effort = effort;
            }
            "format" => request.format = Some(format(member).within(key)?),
            _ => extra_fields::keep(
                &mut request.extra_fields,
                Dialect::AnthropicMessages,
                &format!(".output_config.{key}"),
                member,
            ),
        }
    }
    Ok(())
}

/// The format has no name and no description here, and is always strict.
fn format(value: Node<'_>) -> Result<Format, Malformed> {
    if value.expect_text_at("type")? != "json_schema" {
        return Err(Malformed::new("json_schema")).within("type");
    }
    let schema = value.expect("schema", "a JSON schema")?.expect_object().within("schema")?;
    Ok(Format::JsonSchema {
        name: None,
        description: None,
        schema: schema.json(),
        strict: Some(true),
    })
}

fn metadata(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    for (key, member) in value.expect_object()?.members().filter(|(_, member)| !member.is_null()) {
        if key == "user_id" {
            request.user = Some(member.expect_text().within(key)?.to_owned());
        } else {
            let text = member.text().map_or_else(|| member.json().text().to_owned(), str::to_owned);
            request.metadata.push((key.to_owned(), text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{CachePoint, File, Media, MediaSource, Part, Scanner};

    fn read_body(body: &str) -> Result<ChatRequest, Malformed> {
        Scanner::default().read(body.as_bytes(), read).expect("JSON")
    }

    fn read_with(members: &str) -> ChatRequest {
        let messages = r#""messages":[{"role":"user","content":"Hello"}]"#;
        read_body(&format!("{{{messages},{members}}}")).expect("a request")
    }

    /// The parts of a user's message with that content.
    fn parts(content: &str) -> Vec<Part> {
        let body = format!(r#"{{"messages":[{{"role":"user","content":{content}}}]}}"#);
        let request = read_body(&body).expect("a request");
        request.turns.into_iter().flat_map(|turn| turn.parts).collect()
    }

    #[test]
    fn errors_name_the_path() {
        for (body, fault) in [
            ("{}", "expected `messages` to be an array of at least one message"),
            (r#"{"messages":[]}"#, "expected `messages` to be an array of at least one message"),
            (r#"{"messages":"Hello"}"#, "expected `messages` to be an array"),
            (
                r#"{"messages":[{"role":"tool","content":""}]}"#,
                "expected `messages[0].role` to be one of user, assistant, system",
            ),
            (
                r#"{"messages":[{"role":"user"}]}"#,
                "expected `messages[0].content` to be a string or an array of content blocks",
            ),
            (
                r#"{"messages":[{"role":"user","content":7}]}"#,
                "expected `messages[0].content` to be a string or an array of content blocks",
            ),
            (
                r#"{"messages":[{"role":"user","content":[{"text":"a"}]}]}"#,
                "expected `messages[0].content[0].type` to be a string",
            ),
            (
                r#"{"messages":[{"role":"user","content":[{"type":"text"}]}]}"#,
                "expected `messages[0].content[0].text` to be a string",
            ),
            (
                r#"{"messages":[{"role":"user","content":[{"type":"image"}]}]}"#,
                "expected `messages[0].content[0].source` to be an object",
            ),
            (
                r#"{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","data":""}}]}]}"#,
                "expected `messages[0].content[0].source.media_type` to be a string",
            ),
            (
                r#"{"messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"text"}]}]}]}"#,
                "expected `messages[0].content[0].content[0].text` to be a string",
            ),
            (
                r#"{"messages":[{"role":"assistant","content":[{"type":"tool_use","name":"f","input":{}}]}]}"#,
                "expected `messages[0].content[0].id` to be a string",
            ),
            (r#"{"max_tokens":-1}"#, "expected `max_tokens` to be a whole number of 0 or more"),
            (r#"{"stop_sequences":"a"}"#, "expected `stop_sequences` to be an array"),
            (r#"{"tools":[{"input_schema":{}}]}"#, "expected `tools[0].name` to be a string"),
            (
                r#"{"tools":[{"name":"f","input_schema":7}]}"#,
                "expected `tools[0].input_schema` to be an object",
            ),
            (r#"{"tool_choice":"auto"}"#, "expected `tool_choice.type` to be a string"),
            (
                r#"{"tool_choice":{"type":"some"}}"#,
                "expected `tool_choice.type` to be one of auto, any, tool, none",
            ),
            (r#"{"tool_choice":{"type":"tool"}}"#, "expected `tool_choice.name` to be a string"),
            (
                r#"{"thinking":{"type":"enabled"}}"#,
                "expected `thinking.budget_tokens` to be a whole number of 0 or more",
            ),
            (
                r#"{"thinking":{"type":"much"}}"#,
                "expected `thinking.type` to be one of enabled, adaptive, disabled, between_tools",
            ),
            (
                r#"{"output_config":{"format":{"type":"text"}}}"#,
                "expected `output_config.format.type` to be json_schema",
            ),
            (r#"{"metadata":{"user_id":7}}"#, "expected `metadata.user_id` to be a string"),
        ] {
            let found = read_body(body).expect_err(body);
            assert_eq!(found.to_string(), fault);
        }
    }

    #[test]
    fn tool_results_precede_user_text() {
        let body = r#"{"messages":[{"role":"user","content":[
            {"type":"text","text":"Well?"},
            {"type":"tool_result","tool_use_id":"rg0-a_2e1","is_error":true,
             "cache_control":{"type":"ephemeral"},
             "content":[{"type":"text","text":"no"},{"type":"search_result","source":"s"}]}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"b"}]},
            {"role":"user","content":[]},{"role":"system","content":"Be brief."}]}"#;
        let turns = read_body(body).expect("a request").turns;
        let roles: Vec<Role> = turns.iter().map(|turn| turn.role).collect();
        assert_eq!(roles, [Role::Tool, Role::User, Role::Tool, Role::User, Role::System]);
        let Content::ToolResult(result) = &turns[0].parts[0].content else { panic!("a result") };
        assert_eq!((result.id.as_str(), result.is_error, result.parts.len()), ("a.1", true, 2));
        assert!(matches!(result.parts[1].content, Content::Raw(_)));
        assert_eq!(turns[0].parts[0].cache, Some(CachePoint::Default));
    }

    #[test]
    fn documents_from_every_source_are_read() {
        let file = |source: &str, rest: &str| {
            let content = format!(r#"[{{"type":"document","source":{source}{rest}}}]"#);
            parts(&content).remove(0).content
        };
        let of = |content: Content| match content {
            Content::File(File { media, .. }) => Some(media),
            _ => None,
        };
        for (source, media) in [
            (
                r#"{"type":"base64","media_type":"application/pdf","data":"JVBE"}"#,
                Some(Media::base64("application/pdf", "JVBE")),
            ),
            (
                r#"{"type":"text","media_type":"text/plain","data":"Grüße"}"#,
                Some(Media::plain_text("Grüße")),
            ),
            (
                r#"{"type":"url","url":"https://a.example/b.pdf"}"#,
                Some(Media::of_url("https://a.example/b.pdf")),
            ),
            (
                r#"{"type":"file","file_id":"file_1"}"#,
                Some(Media { media_type: None, source: MediaSource::Id("file_1".to_owned()) }),
            ),
            (r#"{"type":"content","content":"a"}"#, Some(Media::plain_text("a"))),
            (
                r#"{"type":"content","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}"#,
                Some(Media::plain_text("a\n\nb")),
            ),
            (r#"{"type":"content","content":[{"type":"image"}]}"#, None),
            (r#"{"type":"newer"}"#, None),
        ] {
            assert_eq!(of(file(source, "")), media, "{source}");
        }
        let text = r#"{"type":"text","media_type":"text/plain","data":"a"}"#;
        let whole = file(text, r#","title":"t","context":"c","citations":{"enabled":true}"#);
        let Content::File(whole) = whole else { panic!("a file") };
        assert_eq!((whole.name.as_deref(), whole.context.as_deref()), (Some("t"), Some("c")));
        assert!(whole.with_citations);
        let cited = file(r#"{"type":"content","content":"a"}"#, r#","citations":{"enabled":true}"#);
        assert!(matches!(cited, Content::Raw(_)), "borders of blocks matter to citations");
    }

    #[test]
    fn thinking_and_vendor_blocks_are_read() {
        let body = r#"{"messages":[{"role":"assistant","content":[
            {"type":"thinking","thinking":"hm","signature":"c2ln"},
            {"type":"thinking","thinking":"unsigned"},
            {"type":"redacted_thinking","data":"openai-responses#c2Vh"},
            {"type":"redacted_thinking","data":"call#call_1#gemini#cHJv"},
            {"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"q"}},
            {"type":"tool_use","id":"call_1","name":"f","input":{},"caller":{"type":"direct"}}]}]}"#;
        let request = read_body(body).expect("a request");
        let parts: Vec<&Content> = request.turns[0].parts.iter().map(|it| &it.content).collect();
        let [
            Content::Reasoning(signed),
            Content::Reasoning(unsigned),
            Content::Reasoning(sealed),
            Content::Raw(search),
            Content::ToolCall(call),
        ] = parts.as_slice()
        else {
            panic!("{parts:?}")
        };
        assert_eq!(
            signed.signature.as_ref().map(|it| it.dialect),
            Some(Dialect::AnthropicMessages)
        );
        assert_eq!(unsigned.signature, None);
        assert_eq!(sealed.sealed.as_ref().map(|it| it.text.as_str()), Some("c2Vh"));
        assert!(search.json.text().contains(r#""query":"q""#));
        assert_eq!(call.arguments, "");
        assert_eq!(call.signature.as_ref().map(|it| it.text.as_str()), Some("cHJv"));
        assert!(request.extra_fields.is_empty());
    }

    #[test]
    fn sampling_settings_are_read() {
        let request = read_with(
            r#""stream":true,"top_p":0.9,"top_k":3,"service_tier":"standard_only",
               "tool_choice":{"type":"any","disable_parallel_tool_use":false},
               "metadata":{"user_id":"u","team":7},"output_format":{"type":"json_schema","schema":{}},
               "system":null,"container":"c","context_management":{"edits":[]}"#,
        );
        assert!(request.stream && request.include_usage);
        assert_eq!((request.sampling.top_p, request.sampling.top_k), (Some(0.9), Some(3)));
        assert_eq!(request.service_tier.as_deref(), Some("default"));
        assert_eq!(request.tool_choice, Some(ToolChoice::Required));
        assert_eq!(request.parallel_tool_calls, Some(true));
        assert_eq!(request.user.as_deref(), Some("u"));
        assert_eq!(request.metadata, [("team".to_owned(), "7".to_owned())]);
        assert!(matches!(request.format, Some(Format::JsonSchema { strict: Some(true), .. })));
        let keys: Vec<&str> = request.extra_fields.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["container", "context_management"]);
    }

    #[test]
    fn thinking_and_effort_are_read() {
        let settings = |members: &str| read_with(members).reasoning.expect("settings");
        let enabled =
            settings(r#""thinking":{"type":"enabled","budget_tokens":2000,"display":"omitted"}"#);
        assert_eq!((enabled.tokens_max, enabled.is_shown), (Some(2000), Some(false)));
        let both = r#""output_config":{"effort":"max"},"thinking":{"type":"adaptive"}"#;
        assert_eq!(settings(both).effort.as_deref(), Some("max"));
        assert_eq!(settings(r#""thinking":{"type":"adaptive"}"#), ReasoningSettings::default());
        for kind in ["disabled", "between_tools"] {
            assert!(settings(&format!(r#""thinking":{{"type":"{kind}"}}"#)).is_off);
        }
    }

    #[test]
    fn all_tool_kinds_are_read() {
        let request = read_with(
            r#""tools":[
              {"name":"f","input_schema":{"type":"object"},"strict":true,"type":"custom",
               "cache_control":{"type":"ephemeral","ttl":"1h"},"input_examples":[{}],"description":null},
              {"type":"web_search_20250305","name":"web_search","max_uses":2,"allowed_domains":["a.example"],
               "user_location":{"type":"approximate","city":"Rome"}},
              {"type":"web_search_20260318","name":"web_search","response_inclusion":"excluded"},
              {"type":"code_execution_20250825","name":"code_execution"},
              {"type":"bash_20250124","name":"bash"}]"#,
        );
        let [
            Tool::Function(function),
            Tool::WebSearch(search),
            Tool::Raw(_),
            Tool::CodeExecution,
            Tool::Raw(bash),
        ] = request.tools.as_slice()
        else {
            panic!("{:?}", request.tools)
        };
        assert_eq!((function.strict, function.cache), (Some(true), Some(CachePoint::Hour)));
        assert_eq!((search.uses_max, search.allowed_domains.len()), (Some(2), 1));
        assert!(bash.json.text().contains("bash_20250124"));
        let keys: Vec<&str> = request.extra_fields.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, [".tools[0].input_examples"]);
    }

    #[test]
    fn unknown_block_members_are_kept() {
        let body = r#"{"messages":[{"role":"user","content":[
            {"type":"image","source":{"type":"file","file_id":"f"},"transformations":{}},
            {"type":"image","source":{"type":"file","file_id":"g"},"transformations":{}}]},
            {"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{},
             "caller":{"type":"code_execution_20250825"},"toolset_name":"browser"}]}]}"#;
        let request = read_body(body).expect("a request");
        let keys: Vec<&str> = request.extra_fields.iter().map(|(key, _)| key.as_str()).collect();
        let expected = [".messages.caller", ".messages.toolset_name", ".messages.transformations"];
        assert_eq!(keys, expected);
    }
}
