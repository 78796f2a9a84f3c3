//! A request for a provider.

use super::thinking::Plan;
use super::{tools, turns};
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::json_schema::{CLAUDE, fit};
use crate::dialects::warnings::Warnings;
use crate::dialects::{extra_fields, service_tier};
use crate::llm::{
    ChatRequest, Dialect, Format, Json, ModelRules, ObjectWriter, RefusedSetting, write_object,
};

/// The reason in warnings about members that the dialect lacks.
const NO_SUCH: &str = "anthropic-messages has no such setting";

/// Appends the body.
pub(super) fn write(
    request: &ChatRequest,
    target: &TargetModel<'_>,
    warnings: &mut Warnings,
    out: &mut Vec<u8>,
) -> Result<(), Unsupported> {
    let wants_text = |kind: &String| kind.eq_ignore_ascii_case("text");
    if !request.modalities.is_empty() && !request.modalities.iter().any(wants_text) {
        return Err(Unsupported::new("a wish for no text", "anthropic-messages answers in text"));
    }
    let rules = target.rules;
    let plan = Plan::of(request, rules, warnings);
    let (schema, instruction) = answer_form(request.format.as_ref(), rules, warnings);
    write_object(out, |root| {
        root.text("model", target.model);
        root.number("max_tokens", plan.max_tokens);
        turns::write(root, request, target, instruction.as_deref(), warnings)?;
        plan.write(root, request);
        output_config(root, request, &plan, schema.as_ref(), warnings);
        sampling(root, request, &plan, rules, warnings);
        stop(root, request, warnings);
        tools::write(root, request, warnings);
        rest(root, request, warnings);
        if request.stream {
            root.flag("stream", true);
        }
        extra_fields::write(root, request, Dialect::AnthropicMessages, warnings)?;
        for (path, _) in extra_fields::inside(request, Dialect::AnthropicMessages, ".messages.") {
            warnings.dropped(path, "not kept where messages are written anew");
        }
        Ok(())
    })
}

/// The schema of the answer, or the instruction that describes it if the model has no structured
/// output.
fn answer_form(
    format: Option<&Format>,
    rules: &ModelRules,
    warnings: &mut Warnings,
) -> (Option<Json>, Option<String>) {
    let schema = match format {
        None | Some(Format::Text) => return (None, None),
        Some(Format::JsonObject) => {
            let how = "asked for in the system prompt, since anthropic-messages has no json_object";
            warnings.changed("response_format", how);
            return (None, Some("Answer with one JSON object and nothing else.".to_owned()));
        }
        Some(Format::JsonSchema { schema, .. }) => schema,
    };
    let takes_schemas = !rules.always_refuses(RefusedSetting::JsonSchema);
    let held = takes_schemas.then(|| fit(schema, &CLAUDE, "response_format", warnings));
    let how = match held {
        Some(Ok(fitting)) => return (Some(fitting), None),
        Some(Err(why)) => {
            format!("asked for in the system prompt, since Claude does not take {why}")
        }
        None => "asked for in the system prompt, since this model has no json_schema".to_owned(),
    };
    warnings.changed("response_format", &how);
    let schema = schema.text();
    let instruction = format!(
        "Answer with one JSON value that follows this JSON schema, and nothing else:\n{schema}"
    );
    (None, Some(instruction))
}

fn output_config(
    root: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    plan: &Plan,
    schema: Option<&Json>,
    warnings: &mut Warnings,
) {
    if matches!(&request.format, Some(Format::JsonSchema { description: Some(_), .. })) {
        warnings.dropped("the description of response_format", NO_SUCH);
    }
    let others = || extra_fields::inside(request, Dialect::AnthropicMessages, ".output_config.");
    if plan.effort.is_none() && schema.is_none() && others().next().is_none() {
        return;
    }
    root.object("output_config", |config| {
        config.optional_text("effort", plan.effort);
        if let Some(schema) = schema {
            config.object("format", |format| {
                format.text("type", "json_schema");
                format.raw("schema", schema);
            });
        }
        others().for_each(|(key, value)| config.raw(key, value));
    });
}

fn sampling(
    root: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    plan: &Plan,
    rules: &ModelRules,
    warnings: &mut Warnings,
) {
    let sampling = &request.sampling;
    // The vendor's page "Thinking".
    let mut allow = |name: &str, is_usual: bool| {
        if plan.thinks() && !is_usual {
            warnings.dropped(name, "refused by anthropic-messages where the model thinks");
        }
        !plan.thinks()
    };
    let temperature = sampling.temperature.filter(|it| allow("temperature", *it == 1.0));
    let top_k = sampling.top_k.filter(|_| allow("top_k", false));
    // With reasoning, the vendor allows a small range of `top_p`.
    let has_room = sampling.top_p.is_some_and(|it| (0.95..=1.0).contains(&it));
    let top_p = sampling.top_p.filter(|it| has_room || allow("top_p", *it == 1.0));
    if let Some(value) = temperature {
        if value > 1.0 {
            warnings.changed("temperature", "1, the most of anthropic-messages");
        }
        root.float("temperature", value.min(1.0));
    }
    match top_p {
        Some(_)
            if temperature.is_some()
                && rules.refuses_together(RefusedSetting::Temperature, RefusedSetting::TopP) =>
        {
            warnings.dropped("top_p", "this model refuses it beside temperature");
        }
        top_p => root.optional_float("top_p", top_p),
    }
    root.optional_number("top_k", top_k);
    for (name, is_set) in [
        ("min_p", sampling.min_p.is_some()),
        ("frequency_penalty", sampling.frequency_penalty.is_some_and(|it| it != 0.0)),
        ("presence_penalty", sampling.presence_penalty.is_some_and(|it| it != 0.0)),
        ("seed", sampling.seed.is_some()),
        ("logit_bias", sampling.logit_bias.is_some()),
    ] {
        if is_set {
            warnings.dropped(name, NO_SUCH);
        }
    }
}

fn stop(root: &mut ObjectWriter<'_>, request: &ChatRequest, warnings: &mut Warnings) {
    let is_filled = |text: &&String| !text.trim().is_empty();
    let kept = || request.stop.iter().filter(is_filled);
    if kept().count() < request.stop.len() {
        warnings.dropped("stop", "anthropic-messages refuses white space as one");
    }
    if kept().next().is_some() {
        root.texts("stop_sequences", kept().map(String::as_str));
    }
}

fn rest(root: &mut ObjectWriter<'_>, request: &ChatRequest, warnings: &mut Warnings) {
    if let Some(user) = &request.user {
        root.object("metadata", |metadata| metadata.text("user_id", user));
    }
    let tier = request.service_tier.as_deref();
    match tier.map(|tier| service_tier::of_request(tier).unwrap_or(tier)) {
        None => {}
        Some("auto") => root.text("service_tier", "auto"),
        Some("default") => root.text("service_tier", "standard_only"),
        Some(_) => warnings.dropped("service_tier", "anthropic-messages has auto and default"),
    }
    for (name, is_set) in [
        ("metadata", !request.metadata.is_empty()),
        ("n", request.n.is_some_and(|n| n > 1)),
        ("verbosity", request.verbosity.is_some()),
        ("logprobs", request.top_logprobs.is_some()),
        ("prediction", request.prediction.is_some()),
        ("modalities", request.modalities.iter().any(|kind| !kind.eq_ignore_ascii_case("text"))),
        ("audio", request.audio_output.is_some()),
    ] {
        if is_set {
            warnings.dropped(name, NO_SUCH);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::dialects::adapt;
    use crate::llm::{
        Content, Dialect, DialectJson, File, Function, Image, Json, Media, Part, Reasoning,
        ReasoningSettings, Role, Signature, Text, Tool, ToolCall, ToolChoice, ToolResult, Turn,
        WebSearch, find_rules,
    };

    fn try_write(request: &ChatRequest, model: &str) -> Result<(Value, Vec<String>), Unsupported> {
        let rules = find_rules(None, Dialect::AnthropicMessages, model, &[]);
        let target = TargetModel::new(model, true).with_rules(&rules);
        let (mut warnings, mut out) = (Warnings::default(), Vec::new());
        let fit = adapt(request, Dialect::AnthropicMessages, &target, &mut warnings).request;
        write(&fit, &target, &mut warnings, &mut out)?;
        let body = serde_json::from_slice(&out).expect("JSON is written");
        Ok((body, warnings.iter().map(str::to_owned).collect()))
    }

    fn written(request: &ChatRequest, model: &str) -> (Value, Vec<String>) {
        try_write(request, model).expect("sayable")
    }

    fn turn(role: Role, text: &str) -> Turn {
        Turn::new(role, vec![Part::text(text)])
    }

    fn request_with(turns: Vec<Turn>) -> ChatRequest {
        ChatRequest { turns, max_tokens: Some(100), ..ChatRequest::default() }
    }

    fn hello() -> ChatRequest {
        request_with(vec![turn(Role::User, "Hello")])
    }

    fn call(id: &str, arguments: &str) -> Part {
        Part::new(Content::ToolCall(ToolCall {
            id: id.to_owned(),
            name: "f.g".to_owned(),
            arguments: arguments.to_owned(),
            signature: None,
        }))
    }

    fn result(id: &str, parts: Vec<Part>) -> Part {
        let result = ToolResult { id: id.to_owned(), name: None, parts, is_error: false };
        Part::new(Content::ToolResult(result))
    }

    /// Compares the messages of `turns`, and the number of warnings.
    fn check(turns: Vec<Turn>, model: &str, messages: Value, warnings: usize) {
        let (body, found) = written(&request_with(turns), model);
        assert_eq!(body["messages"], messages);
        assert_eq!(found.len(), warnings, "{found:?}");
    }

    #[test]
    fn adjacent_turns_merge_and_results_come_first() {
        let turns = vec![
            turn(Role::User, "Hello"),
            turn(Role::User, ""),
            Turn::new(Role::Assistant, vec![Part::text(" \n"), call("a.1", "{\"x\":1}")]),
            Turn::new(Role::Assistant, vec![call("b", "")]),
            Turn::new(Role::Tool, vec![result("a.1", vec![Part::text("yes")])]),
            turn(Role::User, "And?"),
            Turn::new(Role::Tool, vec![result("b", vec![Part::text("")])]),
        ];
        let messages = json!([
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "rg0-a_2e1", "name": "rg0-f_2eg", "input": {"x": 1}},
                {"type": "tool_use", "id": "b", "name": "rg0-f_2eg", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "rg0-a_2e1", "content": "yes"},
                {"type": "tool_result", "tool_use_id": "b"},
                {"type": "text", "text": "And?"}]}]);
        check(turns, "model-1", messages, 1);
    }

    #[test]
    fn first_message_is_user_and_last_is_trimmed() {
        let turns = vec![turn(Role::Assistant, "Welcome. \n")];
        let messages = json!([
            {"role": "user", "content": "(The conversation goes on.)"},
            {"role": "assistant", "content": "Welcome."}]);
        check(turns, "model-1", messages, 2);
        let alone = vec![turn(Role::System, "Tell a joke."), turn(Role::Developer, "A short one.")];
        let messages = json!([{"role": "user", "content": [
            {"type": "text", "text": "Tell a joke."}, {"type": "text", "text": "A short one."}]}]);
        check(alone, "model-1", messages, 1);
        let empty = try_write(&request_with(vec![turn(Role::User, " ")]), "model-1");
        assert!(empty.is_err());
    }

    #[test]
    fn inline_instructions_are_written() {
        let turns = || {
            vec![
                turn(Role::User, "Hello"),
                turn(Role::System, "Be brief."),
                turn(Role::Assistant, "Hi"),
                turn(Role::Developer, "Be kind."),
                turn(Role::User, "Well?"),
            ]
        };
        let folded = |text: &str| format!("<system>\n{text}\n</system>");
        let old = json!([
            {"role": "user", "content": [
                {"type": "text", "text": "Hello"}, {"type": "text", "text": folded("Be brief.")}]},
            {"role": "assistant", "content": "Hi"},
            {"role": "user", "content": [
                {"type": "text", "text": folded("Be kind.")}, {"type": "text", "text": "Well?"}]}]);
        check(turns(), "claude-opus-4-7", old.clone(), 1);
        let mut new = old;
        new[0]["content"] = json!("Hello");
        let messages = new.as_array_mut().expect("messages");
        messages.insert(1, json!({"role": "system", "content": "Be brief."}));
        check(turns(), "claude-opus-5", new, 1);
    }

    #[test]
    fn leading_instructions_become_system() {
        let turns =
            || vec![turn(Role::System, "a"), turn(Role::Developer, "b"), turn(Role::User, "c")];
        let (body, _) = written(&request_with(turns()), "model-1");
        let blocks = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
        assert_eq!(body["system"], blocks);
        let format = Some(Format::JsonObject);
        let request = ChatRequest { format, ..request_with(turns()) };
        let (body, warnings) = written(&request, "model-1");
        assert_eq!(body["system"][2]["text"], "Answer with one JSON object and nothing else.");
        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn thinking_goes_only_to_its_vendor() {
        let reasoning_part = |dialect| {
            let signature = Some(Signature { dialect, text: "c2ln".to_owned() });
            Part::new(Content::Reasoning(Reasoning { signature, ..Reasoning::default() }))
        };
        let sealed =
            Some(Signature { dialect: Dialect::AnthropicMessages, text: "c2Vh".to_owned() });
        let sealed = Part::new(Content::Reasoning(Reasoning { sealed, ..Reasoning::default() }));
        let unsigned = Reasoning { text: "hm".to_owned(), ..Reasoning::default() };
        let parts = vec![
            reasoning_part(Dialect::AnthropicMessages),
            reasoning_part(Dialect::Gemini),
            Part::new(Content::Reasoning(unsigned)),
            Part { cache: Some(crate::llm::CachePoint::Hour), ..sealed },
            Part::text("Hi"),
        ];
        let turns = vec![turn(Role::User, "Hello"), Turn::new(Role::Assistant, parts)];
        let messages = json!([
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "c2Vh"},
                {"type": "text", "text": "Hi"}]}]);
        check(turns, "model-1", messages, 2);
    }

    #[test]
    fn unsupported_input_is_rejected_or_warned() {
        let user = |content| vec![Turn::new(Role::User, vec![Part::new(content)])];
        let image = |media| Content::Image(Image { media, detail: Some("high".to_owned()) });
        let file =
            |media| Content::File(File { media, name: None, context: None, with_citations: false });
        for (content, what) in [
            (Content::Audio(Media::base64("audio/wav", "AAAA")), "audio"),
            (Content::Video(Media::of_url("https://a.example/v")), "video"),
            (image(Media::base64("image/bmp", "AAAA")), "an image of this type"),
            (image(Media::of_url("ftp://a.example/b")), "an image"),
            (file(Media::base64("application/zip", "AAAA")), "a file of this type"),
            (file(Media::of_url("JVBERi0xLjQ=")), "a file"),
        ] {
            let refused = try_write(&request_with(user(content)), "model-1").expect_err(what);
            assert_eq!(refused.what, what);
        }
        let foreign = DialectJson { dialect: Dialect::Gemini, json: Json::of_text("x") };
        let parts = vec![
            Part::text("Hi"),
            Part::new(image(Media::base64("image/jpg", "AAAA"))),
            Part::new(file(Media::plain_text("Grüße"))),
            Part::new(Content::Raw(foreign)),
            call("a", "{}"),
        ];
        let turns = vec![
            Turn { name: Some("Ada".to_owned()), ..Turn::new(Role::User, parts.clone()) },
            Turn::new(Role::Assistant, parts),
        ];
        let messages = json!([
            {"role": "user", "content": [
                {"type": "text", "text": "Hi"},
                {"type": "image", "source":
                    {"type": "base64", "media_type": "image/jpeg", "data": "AAAA"}},
                {"type": "document", "source":
                    {"type": "text", "media_type": "text/plain", "data": "Grüße"}}]},
            {"role": "assistant", "content": [
                {"type": "text", "text": "Hi"},
                {"type": "tool_use", "id": "a", "name": "rg0-f_2eg", "input": {}}]}]);
        check(turns, "model-1", messages, 5);
        let modalities = vec!["audio".to_owned()];
        assert!(try_write(&ChatRequest { modalities, ..hello() }, "model-1").is_err());
    }

    #[test]
    fn non_object_arguments_are_wrapped() {
        for arguments in ["[1]", "{\"x\":", "nonsense"] {
            let turns = vec![
                turn(Role::User, "Hello"),
                Turn::new(Role::Assistant, vec![call("a", arguments)]),
            ];
            let (body, warnings) = written(&request_with(turns), "model-1");
            let input = &body["messages"][1]["content"][0]["input"];
            assert_eq!(*input, json!({ "arguments": arguments }));
            assert_eq!(warnings.len(), 1);
        }
    }

    #[test]
    fn sampling_fits_model_rules() {
        let mut request = hello();
        request.sampling.temperature = Some(1.5);
        request.sampling.top_p = Some(0.5);
        request.sampling.top_k = Some(3);
        let thinking = || Some(ReasoningSettings { tokens_max: Some(2000), ..Default::default() });
        for (model, reasoning, temperature, top_p, top_k, warnings) in [
            ("model-1", None, json!(1.0), json!(0.5), json!(3), 1),
            ("claude-sonnet-4-5", None, json!(1.0), Value::Null, json!(3), 2),
            ("claude-opus-4-7", None, Value::Null, Value::Null, Value::Null, 3),
            // And the limit is raised.
            ("claude-sonnet-4-5", thinking(), Value::Null, Value::Null, Value::Null, 4),
        ] {
            request.reasoning = reasoning;
            let (body, found) = written(&request, model);
            assert_eq!((&body["temperature"], &body["top_p"]), (&temperature, &top_p), "{model}");
            assert_eq!(body["top_k"], top_k, "{model}");
            assert_eq!(found.len(), warnings, "{model}: {found:?}");
        }
        request.reasoning = thinking();
        request.sampling = crate::llm::Sampling {
            temperature: Some(1.0),
            top_p: Some(0.97),
            ..Default::default()
        };
        let (body, found) = written(&request, "claude-sonnet-4-5");
        assert_eq!((&body["temperature"], &body["top_p"]), (&Value::Null, &json!(0.97)));
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn tools_and_tool_choice_are_written() {
        let mut request = hello();
        request.tool_choice = Some(ToolChoice::Required);
        let (body, warnings) = written(&request, "model-1");
        assert_eq!((body.get("tool_choice"), warnings.len()), (None, 1));
        let function = Function { name: "f".to_owned(), ..Function::default() };
        let list = |site: &str| vec![site.to_owned()];
        let search = WebSearch {
            allowed_domains: list("a.example"),
            blocked_domains: list("b.example"),
            ..WebSearch::default()
        };
        let foreign = DialectJson { dialect: Dialect::Gemini, json: Json::of_text("x") };
        request.tools = vec![
            Tool::Function(function),
            Tool::WebSearch(search),
            Tool::CodeExecution,
            Tool::Raw(foreign),
        ];
        let hint = DialectJson { dialect: Dialect::AnthropicMessages, json: Json::of_text("h") };
        request.extra_fields = vec![(".tools[0].hint".to_owned(), hint)];
        request.parallel_tool_calls = Some(false);
        let (body, warnings) = written(&request, "model-1");
        let tools = json!([
            {"name": "f", "input_schema": {"type": "object", "properties": {}}, "hint": "h"},
            {"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.example"]},
            {"type": "code_execution_20250825", "name": "code_execution"}]);
        assert_eq!(body["tools"], tools);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        let disabled = |kind: &str| json!({"type": kind, "disable_parallel_tool_use": true});
        assert_eq!(body["tool_choice"], disabled("any"));
        let (body, warnings) = written(&request, "claude-opus-5-5");
        assert_eq!((&body["tool_choice"], warnings.len()), (&disabled("auto"), 3));
        for (choice, expected) in
            [(None, disabled("auto")), (Some(ToolChoice::None), json!({"type": "none"}))]
        {
            request.tool_choice = choice;
            assert_eq!(written(&request, "model-1").0["tool_choice"], expected);
        }
    }

    #[test]
    fn response_formats_are_written() {
        let format = Some(Format::JsonSchema {
            name: Some("person".to_owned()),
            description: Some("A person".to_owned()),
            schema: Json::of_written(r#"{"type":"object","properties":{"a":{}}}"#.to_owned()),
            strict: None,
        });
        let request = ChatRequest { format, ..hello() };
        let (body, warnings) = written(&request, "claude-sonnet-4-5");
        let schema = json!({"type": "json_schema", "schema": {"type": "object",
            "properties": {"a": {}}, "additionalProperties": false}});
        assert_eq!((&body["output_config"]["format"], warnings.len()), (&schema, 1));
        let (body, warnings) = written(&request, "claude-sonnet-4-20250514");
        assert_eq!((body.get("output_config"), warnings.len()), (None, 2));
        let schema = r#"{"type":"object","properties":{"a":{}}}"#;
        assert!(body["system"].as_str().is_some_and(|it| it.ends_with(schema)));
        // This schema allows only the empty object once all objects are closed.
        let open = Format::JsonSchema {
            name: None,
            description: None,
            schema: Json::of_written(r#"{"type":"object"}"#.to_owned()),
            strict: None,
        };
        let request = ChatRequest { format: Some(open), ..hello() };
        let (body, warnings) = written(&request, "claude-sonnet-4-5");
        assert_eq!((body.get("output_config"), warnings.len()), (None, 1));
    }

    #[test]
    fn remaining_settings_are_written() {
        let mut request = hello();
        request.max_tokens = None;
        request.stop = vec!["\n".to_owned(), "END".to_owned()];
        request.n = Some(2);
        request.sampling.presence_penalty = Some(0.0);
        request.service_tier = Some("flex".to_owned());
        request.stream = true;
        for (dialect, key) in [
            (Dialect::AnthropicMessages, "container"),
            (Dialect::AnthropicMessages, ".output_config.task"),
            (Dialect::Gemini, "g"),
        ] {
            let foreign = DialectJson { dialect, json: Json::of_text("x") };
            request.extra_fields.push((key.to_owned(), foreign));
        }
        let (body, warnings) = written(&request, "model-1");
        let expected = json!({
            "model": "model-1", "max_tokens": 4096, "stream": true, "container": "x",
            "messages": [{"role": "user", "content": "Hello"}],
            "output_config": {"task": "x"}, "stop_sequences": ["END"]});
        assert_eq!(body, expected);
        assert_eq!(warnings.len(), 5, "{warnings:?}");
        request.service_tier = Some("default".to_owned());
        assert_eq!(written(&request, "model-1").0["service_tier"], "standard_only");
    }

    #[test]
    fn citations_return_to_their_vendor() {
        let citation = |dialect| crate::llm::Citation {
            original: Some(DialectJson { dialect, json: Json::of_text("x") }),
            ..Default::default()
        };
        let citations = vec![citation(Dialect::AnthropicMessages), citation(Dialect::Gemini)];
        let text = Content::Text(Text { text: "Hi".to_owned(), citations });
        let turns =
            vec![turn(Role::User, "Hello"), Turn::new(Role::Assistant, vec![Part::new(text)])];
        let messages = json!([
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": [{"type": "text", "text": "Hi", "citations": ["x"]}]}]);
        check(turns, "model-1", messages, 1);
    }
}
