//! A client's request.

use super::{read_input, read_tools};
use crate::dialects::extra_fields;
use crate::dialects::openai_chat::{json_schema, labels, texts};
use crate::dialects::openai_tools::name_of_call;
use crate::llm::{
    ChatRequest, Dialect, DialectJson, Format, Json, Malformed, Node, Part, ReasoningSettings,
    Role, ToolChoice, Turn, Within, write_array,
};

/// Reads the body.
pub(super) fn read(root: Node<'_>) -> Result<ChatRequest, Malformed> {
    let mut request = ChatRequest {
        origin: Some(Dialect::OpenaiResponses),
        // The last event of a stream has the usage.
        include_usage: true,
        ..ChatRequest::default()
    };
    // Instructions are the first turn, wherever they are in the body.
    if let Some(instructions) = root.text_at("instructions")? {
        request.turns.push(Turn::new(Role::System, vec![Part::text(instructions)]));
    }
    // Tools are read first too, since calls are resolved by their names.
    request.tools = read_tools::read(root)?;
    for (key, value) in root.members() {
        if !value.is_null() && !matches!(key, "instructions" | "tools") {
            member(&mut request, key, value).within(key)?;
        }
    }
    let is_empty =
        root.get("input").is_none_or(|input| input.text().is_none() && input.count() == 0);
    if is_empty && request.needs_state.is_none() {
        return Err(Malformed::new("a string or an array of at least one item")).within("input");
    }
    Ok(request)
}

/// Reads one top-level member that is not null.
fn member(request: &mut ChatRequest, key: &str, value: Node<'_>) -> Result<(), Malformed> {
    let sampling = &mut request.sampling;
    match key {
        "model" => request.model = value.expect_text()?.to_owned(),
        "input" => read_input::read(request, value)?,
        "stream" => request.stream = value.expect_flag()?,
        "max_output_tokens" => request.max_tokens = Some(value.expect_u64()?),
        "temperature" => sampling.temperature = Some(value.expect_f64()?),
        "top_p" => sampling.top_p = Some(value.expect_f64()?),
        "top_k" => sampling.top_k = Some(value.expect_u64()?),
        "min_p" => sampling.min_p = Some(value.expect_f64()?),
        "frequency_penalty" => sampling.frequency_penalty = Some(value.expect_f64()?),
        "presence_penalty" => sampling.presence_penalty = Some(value.expect_f64()?),
        "seed" => sampling.seed = Some(value.expect_i64()?),
        "stop" => request.stop = texts(value)?,
        "top_logprobs" => request.top_logprobs = Some(value.expect_u64()?),
        "include" => include(request, value)?,
        "tool_choice" => tool_choice(request, value)?,
        "parallel_tool_calls" => request.parallel_tool_calls = Some(value.expect_flag()?),
        "text" => text(request, value)?,
        "reasoning" => reasoning(request, value)?,
        "metadata" => request.metadata = labels(value)?,
        "user" => request.user = Some(value.expect_text()?.to_owned()),
        "service_tier" => request.service_tier = Some(value.expect_text()?.to_owned()),
        // `false` is the default.
        "background" if !value.expect_flag()? => {}
        "background" | "conversation" | "previous_response_id" | "prompt" => {
            request.needs_state = Some(key.to_owned());
            extra_fields::keep(&mut request.extra_fields, Dialect::OpenaiResponses, key, value);
        }
        _ => extra_fields::keep(&mut request.extra_fields, Dialect::OpenaiResponses, key, value),
    }
    Ok(())
}

/// Reads `include`.
fn include(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    let mut others = Vec::new();
    for name in value.read_items(Node::expect_text)? {
        match name {
            "message.output_text.logprobs" => {
                request.top_logprobs.get_or_insert(0);
            }
            "reasoning.encrypted_content" => request.seal_reasoning = true,
            _ => others.push(name),
        }
    }
    if !others.is_empty() {
        let mut json = Vec::new();
        write_array(&mut json, |array| others.iter().for_each(|name| array.text(name)));
        keep_inner(request, "include", &json);
    }
    Ok(())
}

fn keep_inner(request: &mut ChatRequest, key: &str, json: &[u8]) {
    let json = Json::of_written(String::from_utf8_lossy(json).into_owned());
    request
        .extra_fields
        .push((key.to_owned(), DialectJson { dialect: Dialect::OpenaiResponses, json }));
}

fn text(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    for (key, inner) in value.expect_object()?.members() {
        match key {
            _ if inner.is_null() => {}
            "format" => request.format = Some(format(inner).within(key)?),
            "verbosity" => {
                request.verbosity = Some(inner.expect_text().within(key)?.to_owned());
            }
            _ => extra_fields::keep(
                &mut request.extra_fields,
                Dialect::OpenaiResponses,
                &format!("text.{key}"),
                inner,
            ),
        }
    }
    Ok(())
}

fn format(value: Node<'_>) -> Result<Format, Malformed> {
    match value.expect_text_at("type")? {
        "text" => Ok(Format::Text),
        "json_object" => Ok(Format::JsonObject),
        "json_schema" => json_schema(value),
        _ => Err(Malformed::new("one of text, json_object, json_schema")).within("type"),
    }
}

fn reasoning(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    let mut settings = ReasoningSettings::default();
    for (key, inner) in value.expect_object()?.members() {
        match key {
            _ if inner.is_null() => {}
            "effort" => {
                let effort = inner.expect_text().within(key)?;
                settings.is_off = effort == "none";
                settings.effort = Some(effort.to_owned());
            }
            "summary" | "generate_summary" => {
                settings.summary = Some(inner.expect_text().within(key)?.to_owned());
                settings.is_shown = Some(true);
            }
            _ => extra_fields::keep(
                &mut request.extra_fields,
                Dialect::OpenaiResponses,
                &format!("reasoning.{key}"),
                inner,
            ),
        }
    }
    if settings != ReasoningSettings::default() {
        request.reasoning = Some(settings);
    }
    Ok(())
}

fn tool_choice(request: &mut ChatRequest, value: Node<'_>) -> Result<(), Malformed> {
    let mode = |text: &str| match text {
        "auto" => Ok(ToolChoice::Auto),
        "none" => Ok(ToolChoice::None),
        "required" => Ok(ToolChoice::Required),
        _ => Err(Malformed::new("auto, none, required or an object with a type")),
    };
    if let Some(text) = value.text() {
        request.tool_choice = Some(mode(text)?);
        return Ok(());
    }
    match value.expect_text_at("type")? {
        "function" | "custom" => {
            let (namespace, name) = (value.text_at("namespace")?, value.expect_text_at("name")?);
            let name = name_of_call(&request.tools, namespace, name);
            request.tool_choice = Some(ToolChoice::Function(name));
        }
        "allowed_tools" => {
            request.tool_choice = Some(mode(value.expect_text_at("mode")?).within("mode")?);
            let tools = value.expect("tools", "an array")?;
            extra_fields::keep(
                &mut request.extra_fields,
                Dialect::OpenaiResponses,
                "tool_choice.tools",
                tools,
            );
        }
        _ => extra_fields::keep(
            &mut request.extra_fields,
            Dialect::OpenaiResponses,
            "tool_choice",
            value,
        ),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{
        CachePoint, Content, Image, Media, MediaSource, Reasoning, Scanner, Signature, Tool,
    };

    fn read_body(body: &str) -> Result<ChatRequest, Malformed> {
        Scanner::default().read(body.as_bytes(), read).expect("JSON")
    }

    fn read_input(items: &str) -> Vec<Turn> {
        read_body(&format!(r#"{{"model":"m","input":[{items}]}}"#)).expect("a request").turns
    }

    #[test]
    fn errors_name_the_path() {
        for (body, expected) in [
            (r#"{}"#, "`input` to be a string or an array of at least one item"),
            (r#"{"input":null}"#, "`input` to be a string or an array of at least one item"),
            (
                r#"{"input":[],"instructions":"x"}"#,
                "`input` to be a string or an array of at least one item",
            ),
            (r#"{"input":7}"#, "`input` to be a string or an array of items"),
            (r#"{"input":["x"]}"#, "`input[0]` to be an object"),
            (r#"{"input":[{"content":"x"}]}"#, "`input[0].type` to be a string"),
            (
                r#"{"input":[{"role":"tool","content":"x"}]}"#,
                "`input[0].role` to be one of system, developer, user, assistant",
            ),
            (
                r#"{"input":[{"role":"user"}]}"#,
                "`input[0].content` to be a string or an array of parts",
            ),
            (
                r#"{"input":[{"role":"user","content":{}}]}"#,
                "`input[0].content` to be a string or an array of parts",
            ),
            (
                r#"{"input":[{"role":"user","content":[{"text":"x"}]}]}"#,
                "`input[0].content[0].type` to be a string",
            ),
            (
                r#"{"input":[{"role":"user","content":[{"type":"input_text"}]}]}"#,
                "`input[0].content[0].text` to be a string",
            ),
            (
                r#"{"input":[{"role":"user","content":[{"type":"input_image"}]}]}"#,
                "`input[0].content[0].image_url` to be a string",
            ),
            (
                r#"{"input":[{"role":"user","content":[{"type":"input_file"}]}]}"#,
                "`input[0].content[0]` to be an object with file_id, file_data or file_url",
            ),
            (
                r#"{"input":[{"type":"function_call","name":"f"}]}"#,
                "`input[0].call_id` to be a string",
            ),
            (
                r#"{"input":[{"type":"function_call_output","call_id":"c"}]}"#,
                "`input[0].output` to be a string or an array of parts",
            ),
            (r#"{"input":"x","instructions":["y"]}"#, "`instructions` to be a string"),
            (
                r#"{"input":"x","max_output_tokens":"y"}"#,
                "`max_output_tokens` to be a whole number of 0 or more",
            ),
            (r#"{"input":"x","stream":1}"#, "`stream` to be true or false"),
            (r#"{"input":"x","tools":[{"name":"f"}]}"#, "`tools[0].type` to be a string"),
            (r#"{"input":"x","tools":[{"type":"function"}]}"#, "`tools[0].name` to be a string"),
            (
                r#"{"input":"x","tool_choice":"any"}"#,
                "`tool_choice` to be auto, none, required or an object with a type",
            ),
            (
                r#"{"input":"x","tool_choice":{"type":"function"}}"#,
                "`tool_choice.name` to be a string",
            ),
            (
                r#"{"input":"x","text":{"format":{"type":"xml"}}}"#,
                "`text.format.type` to be one of text, json_object, json_schema",
            ),
            (r#"{"input":"x","reasoning":{"effort":3}}"#, "`reasoning.effort` to be a string"),
            (r#"{"input":"x","include":"y"}"#, "`include` to be an array"),
            (r#"{"input":"x","background":"y"}"#, "`background` to be true or false"),
        ] {
            let found = read_body(body).expect_err("a fault").to_string();
            assert_eq!(found, format!("expected {expected}"), "{body}");
        }
    }

    #[test]
    fn items_of_one_role_are_one_turn() {
        let turns = read_input(
            r#"{"role":"user","content":"a"},{"role":"user","content":"b"},
            {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"t"}],"encrypted_content":"s"},
            {"role":"assistant","content":"c"},
            {"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},
            {"type":"web_search_call","id":"ws_1","status":"completed"},
            {"type":"function_call","call_id":"c2","name":"f","arguments":{"x":1}},
            {"type":"function_call_output","call_id":"c1","output":"1"},
            {"type":"computer_call_output","call_id":"c3","output":{}},
            {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"2"}]},
            {"role":"user","content":"d"}"#,
        );
        let shape: Vec<(Role, usize)> =
            turns.iter().map(|turn| (turn.role, turn.parts.len())).collect();
        let expected = [
            (Role::User, 1),
            (Role::User, 1),
            (Role::Assistant, 5),
            (Role::Tool, 3),
            (Role::User, 1),
        ];
        assert_eq!(shape, expected);
        let Content::ToolCall(call) = &turns[2].parts[4].content else { panic!("a call") };
        assert_eq!(call.arguments, r#"{"x":1}"#);
    }

    #[test]
    fn reasoning_items_and_signatures_are_read() {
        let signature = |dialect, text: &str| Some(Signature { dialect, text: text.to_owned() });
        let read_reasoning = |items: &str| {
            let turns = read_input(&format!(r#"{items},{{"role":"user","content":"x"}}"#));
            let parts = turns[0].parts.iter().map(|part| match &part.content {
                Content::Reasoning(reasoning) => reasoning.clone(),
                other => panic!("{other:?}"),
            });
            parts.collect::<Vec<Reasoning>>()
        };
        let vendor = |text: &str| Reasoning {
            id: Some("rs_1".to_owned()),
            text: text.to_owned(),
            ..Reasoning::default()
        };
        // Several parts of a summary: the last has the signature.
        let found = read_reasoning(
            r#"{"type":"reasoning","id":"rs_1","encrypted_content":"s","summary":[
            {"type":"summary_text","text":"a"},{"type":"summary_text","text":"b"}]}"#,
        );
        let last =
            Reasoning { signature: signature(Dialect::OpenaiResponses, "rs_1#s"), ..vendor("b") };
        assert_eq!(found, [vendor("a"), last]);
        // Only the signature, and only the id.
        let found = read_reasoning(
            r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"s"},
            {"type":"reasoning","id":"rs_1","summary":[]}"#,
        );
        let sealed =
            Reasoning { sealed: signature(Dialect::OpenaiResponses, "rs_1#s"), ..vendor("") };
        assert_eq!(found, [sealed, vendor("")]);
        // The gateway's item for another vendor's reasoning: its id is dropped.
        let found = read_reasoning(
            r#"{"type":"reasoning","id":"rs_rg0_x","encrypted_content":"anthropic-messages#s",
            "summary":[{"type":"summary_text","text":"a"}]},
            {"type":"reasoning","id":"rs_rg1_x","summary":[]}"#,
        );
        let theirs = signature(crate::llm::Dialect::AnthropicMessages, "s");
        let shown = Reasoning { text: "a".to_owned(), signature: theirs, ..Reasoning::default() };
        assert_eq!(found, [shown]);
    }

    #[test]
    fn call_signature_finds_its_call() {
        let turns = read_input(
            r#"{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},
            {"type":"function_call","call_id":"c2","name":"f","arguments":"{}"},
            {"type":"reasoning","id":"rs_rg2_x","summary":[],"encrypted_content":"call#2#c1gemini#s"},
            {"type":"function_call_output","call_id":"c1","output":"1"}"#,
        );
        let signatures: Vec<Option<&str>> = turns[0]
            .parts
            .iter()
            .map(|part| match &part.content {
                Content::ToolCall(call) => call.signature.as_ref().map(|it| it.text.as_str()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(signatures, [Some("s"), None]);
    }

    #[test]
    fn message_parts_are_read() {
        let turns = read_input(
            r#"{"role":"user","content":[
            {"type":"input_image","file_id":"file-1","detail":"high"},
            {"type":"input_file","file_url":"https://a.example/b.pdf"},
            {"type":"input_file","file_data":"AAAA","filename":"a.bin"},
            {"type":"input_audio","input_audio":{"data":"AAAA","format":"mp3"}},
            {"type":"input_video","video_url":"x"},
            {"type":"input_text","text":"t","prompt_cache_breakpoint":{"mode":"explicit","ttl":"30m"}}]}"#,
        );
        let [image, far, near, audio, video, text] = turns[0].parts.as_slice() else {
            panic!("{turns:?}")
        };
        let media = Media { media_type: None, source: MediaSource::Id("file-1".to_owned()) };
        let detail = Some("high".to_owned());
        assert_eq!(image.content, Content::Image(Image { media, detail }));
        let source = |part: &Part| match &part.content {
            Content::File(file) => file.media.source.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(source(far), MediaSource::Url("https://a.example/b.pdf".to_owned()));
        assert_eq!(source(near), MediaSource::Base64("AAAA".to_owned()));
        assert_eq!(audio.content, Content::Audio(Media::base64("audio/mp3", "AAAA")));
        assert!(matches!(video.content, Content::Raw(_)));
        assert_eq!((text.as_text(), text.cache), (Some("t"), Some(CachePoint::Default)));
    }

    #[test]
    fn stateful_members_are_marked() {
        for (members, state) in [
            (r#""previous_response_id":"resp_1""#, Some("previous_response_id")),
            (r#""conversation":{"id":"conv_1"}"#, Some("conversation")),
            (r#""prompt":{"id":"pmpt_1"}"#, Some("prompt")),
            (r#""background":true,"input":"x""#, Some("background")),
            (r#""background":false,"input":"x""#, None),
            (r#""previous_response_id":null,"input":"x""#, None),
            (r#""input":[{"type":"item_reference","id":"msg_1"}]"#, Some("item_reference")),
            (r#""input":[{"id":"msg_1"}]"#, Some("item_reference")),
        ] {
            let request = read_body(&format!("{{{members}}}")).expect("a request");
            assert_eq!(request.needs_state.as_deref(), state, "{members}");
        }
    }

    #[test]
    fn settings_are_read() {
        let request = read_body(
            r#"{"input":"x","instructions":"i","reasoning":{"effort":"none","mode":"pro"},
            "text":{"verbosity":"low"},"include":["message.output_text.logprobs",
            "reasoning.encrypted_content","file_search_call.results"],"stop":"END","seed":7,
            "tool_choice":{"type":"mcp","server_label":"s"},"novelty":{"a":1},"nothing":null}"#,
        )
        .expect("a request");
        assert_eq!(request.turns[0], Turn::new(Role::System, vec![Part::text("i")]));
        let reasoning = request.reasoning.expect("reasoning");
        assert!(reasoning.is_off && reasoning.is_shown.is_none());
        assert!(request.seal_reasoning && request.include_usage);
        assert_eq!((request.top_logprobs, request.tool_choice), (Some(0), None));
        assert_eq!((request.stop, request.sampling.seed), (vec!["END".to_owned()], Some(7)));
        let foreign: Vec<(&str, &str)> =
            request.extra_fields.iter().map(|(key, it)| (key.as_str(), it.json.text())).collect();
        let expected = [
            ("reasoning.mode", r#""pro""#),
            ("include", r#"["file_search_call.results"]"#),
            ("tool_choice", r#"{"type":"mcp","server_label":"s"}"#),
            ("novelty", r#"{"a":1}"#),
        ];
        assert_eq!(foreign, expected);
    }

    #[test]
    fn shared_and_vendor_tools_are_read() {
        for (tool, is_shared) in [
            (r#"{"type":"web_search"}"#, true),
            (r#"{"type":"web_search_preview","user_location":{"type":"approximate"}}"#, true),
            (r#"{"type":"web_search","external_web_access":false}"#, false),
            (r#"{"type":"code_interpreter","container":{"type":"auto"}}"#, true),
            (r#"{"type":"code_interpreter","container":"cntr_1"}"#, false),
            (r#"{"type":"code_interpreter","container":{"type":"auto","file_ids":["f"]}}"#, false),
            (r#"{"type":"custom","name":"n"}"#, true),
            (r#"{"type":"tool_search","execution":"client"}"#, true),
            (r#"{"type":"tool_search","execution":"server"}"#, false),
            (r#"{"type":"mcp","server_label":"s"}"#, false),
        ] {
            let body = format!(r#"{{"input":"x","tools":[{tool}]}}"#);
            let request = read_body(&body).expect("a request");
            assert_eq!(!matches!(request.tools[0], Tool::Raw(_)), is_shared, "{tool}");
        }
    }
}
