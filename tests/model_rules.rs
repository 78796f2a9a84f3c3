//! What models and vendors refuse does not reach them: a request for one is made fit by the table of
//! rules, and what the vendor answers comes back as the client knows it.

use serde_json::{Value, json};

use crate::harness::{CHAT_ANSWER, Gateway, Provider, Response, json_answer, post};

const RESPONSE: &str = r#"{"id":"resp_1","object":"response","created_at":1,"status":"completed",
 "model":"m","output":[{"type":"message","id":"m1","status":"completed","role":"assistant",
 "content":[{"type":"output_text","text":"ok","annotations":[]}]}],
 "usage":{"input_tokens":1,"output_tokens":1,"total_tokens":2}}"#;

const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"m",
 "content":[{"type":"text","text":"ok"}],"stop_reason":"end_turn","stop_sequence":null,
 "usage":{"input_tokens":10,"output_tokens":5}}"#;

const CONTENT: &str = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"ok"}]},
 "finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":1,
 "totalTokenCount":2},"modelVersion":"m","responseId":"r1"}"#;

/// A gateway before one server that plays all vendors, by the path that is asked.
struct Stand {
    gateway: Gateway,
    provider: Provider,
}

impl Stand {
    fn new(more: &str) -> Self {
        Self::answering(CHAT_ANSWER, more)
    }

    fn answering(chat: &'static str, more: &str) -> Self {
        let provider = Provider::start(move |visit| {
            while let Some(request) = visit.request() {
                let path = request.split(' ').nth(1).unwrap_or_default();
                let body = match path {
                    _ if path.ends_with("/responses") => RESPONSE,
                    _ if path.ends_with("/messages") => MESSAGE,
                    _ if path.contains(":generateContent") => CONTENT,
                    _ => chat,
                };
                visit.send(json_answer("200 OK", "", body).as_bytes());
            }
        });
        let mut settings = String::new();
        for preset in
            ["openai", "anthropic", "google", "groq", "mistral-ai", "deepseek", "moonshot", "z-ai"]
        {
            settings.push_str(&format!(
                "[providers.{preset}]\npreset = \"{preset}\"\napi_key = \"test-credential\"\n\
                 base_url = \"http://{}/v1\"\n",
                provider.address
            ));
        }
        Self { gateway: Gateway::start(&(settings + more)), provider }
    }

    /// The answer, and the path and body that the vendor was asked with.
    fn send(&self, path: &str, body: &Value) -> (Response, String, Value) {
        let response = self.gateway.send(&post(path, "", &body.to_string()));
        assert_eq!(response.status, 200, "{body}: {}", response.text());
        let request = self.provider.last_request();
        let (head, sent) = request.split_once("\r\n\r\n").expect("a head");
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        (response, path, serde_json::from_str(sent).expect("JSON"))
    }

    fn generate(&self, model: &str, body: &Value) -> (Response, String, Value) {
        let model = model.replace('/', "%2F");
        self.send(&format!("/v1beta/models/{model}:generateContent"), body)
    }
}

fn warnings(response: &Response) -> &str {
    response.field("x-ringgate-warnings").unwrap_or_default()
}

fn tool(name: &str) -> Value {
    json!({"name": name, "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}}}})
}

#[test]
fn assistant_prefill_by_model() {
    let stand = Stand::new("");
    let body = json!({"contents": [
        {"role": "user", "parts": [{"text": "List three."}]},
        {"role": "model", "parts": [{"text": "1. Oslo"}]}]});
    let (response, _, sent) = stand.generate("anthropic/claude-sonnet-4-6", &body);
    let messages = sent["messages"].as_array().expect("messages");
    assert_eq!(messages.len(), 3);
    assert_eq!(messages[2]["role"], "user");
    assert!(messages[2]["content"].as_str().expect("words").contains("stopped"));
    assert!(warnings(&response).contains("the last message"), "{response:?}");
    let (_, _, sent) = stand.generate("anthropic/claude-haiku-4-5", &body);
    assert_eq!(sent["messages"].as_array().map(Vec::len), Some(2));
    let (_, _, sent) = stand.generate("mistral-ai/devstral-latest", &body);
    assert_eq!(
        sent["messages"][1],
        json!({"role": "assistant", "prefix": true, "content": "1. Oslo"})
    );
    let (_, _, sent) = stand.generate("moonshot/kimi-k2.6", &body);
    assert_eq!(
        sent["messages"][1],
        json!({"role": "assistant", "partial": true, "content": "1. Oslo"})
    );
    let (_, _, sent) = stand.generate("groq/llama-3.3-70b", &body);
    assert_eq!(sent["messages"][1], json!({"role": "assistant", "content": "1. Oslo"}));
    let (response, _, sent) = stand.generate("deepseek/deepseek-reasoner", &body);
    assert_eq!(sent["messages"][2]["role"], "user");
    assert!(warnings(&response).contains("the last message"), "{response:?}");
}

#[test]
fn tool_call_ids_fit_mistral() {
    let stand = Stand::new("");
    let (_, _, sent) = stand.send(
        "/v1/responses",
        &json!({"model": "mistral-ai/devstral-latest", "input": [
            {"role": "user", "content": "x"},
            {"type": "function_call", "call_id": "call_0fypS1hVX", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_0fypS1hVX", "output": "1"}]}),
    );
    let id = sent["messages"][1]["tool_calls"][0]["id"].as_str().expect("an id");
    assert!(id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
    assert_eq!(sent["messages"][2]["tool_call_id"], id);
}

#[test]
fn responses_only_models_use_the_responses_api() {
    let stand = Stand::new("");
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "x"}]}]});
    for model in ["openai/gpt-5.4-pro", "openai/gpt-5.1-codex", "openai/gpt-5.5"] {
        let (response, path, _) = stand.generate(model, &body);
        assert_eq!(path, "/v1/responses", "{model}");
        assert_eq!(response.json()["candidates"][0]["content"]["parts"][0]["text"], "ok");
    }
    let chat =
        |model: &str| json!({"model": model, "messages": [{"role": "user", "content": "x"}]});
    let (response, path, _) = stand.send("/v1/chat/completions", &chat("openai/gpt-5.4-pro"));
    assert_eq!(path, "/v1/responses");
    assert_eq!(response.json()["choices"][0]["message"]["content"], "ok");
    for model in ["openai/gpt-5.5", "openai/gpt-4o"] {
        let (response, path, _) = stand.send("/v1/chat/completions", &chat(model));
        assert_eq!(
            (path.as_str(), response.text().as_str()),
            ("/v1/chat/completions", CHAT_ANSWER)
        );
    }
    let (_, path, _) = stand.generate("openai/gpt-4o", &body);
    assert_eq!(path, "/v1/chat/completions");
}

#[test]
fn tools_with_effort_use_the_responses_api() {
    let stand = Stand::new("");
    let messages = json!({"model": "openai/gpt-5.5", "max_tokens": 2000, "tools": [tool("f")],
        "messages": [{"role": "user", "content": "x"}],
        "thinking": {"type": "enabled", "budget_tokens": 4000}});
    let (response, path, sent) = stand.send("/v1/messages", &messages);
    assert_eq!((path.as_str(), &sent["reasoning"]["effort"]), ("/v1/responses", &json!("low")));
    assert_eq!(response.json()["content"][0]["text"], "ok");
    let function = json!({"type": "function", "function": {"name": "f", "parameters": {
        "type": "object", "properties": {}}}});
    for (model, effort, tools, expected) in [
        ("gpt-5.5", json!("low"), json!([function]), "/v1/responses"),
        ("gpt-5.5", json!("none"), json!([function]), "/v1/chat/completions"),
        ("gpt-5.5", Value::Null, json!([function]), "/v1/chat/completions"),
        ("gpt-5.5", json!("low"), json!([]), "/v1/chat/completions"),
        ("gpt-5.6", Value::Null, json!([function]), "/v1/responses"),
        ("gpt-5.6", json!("none"), json!([function]), "/v1/chat/completions"),
        ("gpt-5.1", json!("low"), json!([function]), "/v1/chat/completions"),
    ] {
        let body = json!({"model": format!("openai/{model}"), "reasoning_effort": effort,
            "tools": tools, "messages": [{"role": "user", "content": "x"}]});
        let (_, path, _) = stand.send("/v1/chat/completions", &body);
        assert_eq!(path, expected, "{body}");
    }
}

#[test]
fn strict_compatible_servers_get_supported_members_only() {
    let stand = Stand::new("");
    let body = json!({
        "contents": [
            {"role": "user", "parts": [{"text": "x"}]},
            {"role": "model", "parts": [{"text": "hm", "thought": true},
                {"functionCall": {"id": "c1", "name": "f", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": {"id": "c1", "name": "f",
                "response": {"result": "1"}}}]}],
        "generationConfig": {"topK": 20, "seed": 7}});
    for model in ["groq/qwen%2Fqwen3-32b", "mistral-ai/devstral-latest"] {
        let (response, _, sent) = stand.generate(model, &body);
        let text = sent.to_string();
        for refused in ["reasoning_content", "thinking_blocks", "top_k", "min_p", "cache_control"] {
            assert!(!text.contains(refused), "{model} {refused}: {text}");
        }
        let warning = warnings(&response);
        assert!(warning.contains("top_k") && warning.contains("a thought"), "{warning}");
        let seed = if model.starts_with("groq") { "seed" } else { "random_seed" };
        assert_eq!(sent[seed], 7, "{model}");
    }
}

#[test]
fn forwarded_bytes_rename_max_tokens_member() {
    let stand = Stand::new("");
    for (model, given, expected) in [
        ("openai/gpt-5", json!({"max_tokens": 9}), json!({"max_completion_tokens": 9})),
        ("openai/gpt-4o", json!({"max_tokens": 9}), json!({"max_tokens": 9})),
        (
            "mistral-ai/devstral-latest",
            json!({"max_completion_tokens": 9, "seed": 1, "stream_options": {"include_usage": true}}),
            json!({"max_tokens": 9, "random_seed": 1}),
        ),
        (
            "openai/o3",
            json!({"max_tokens": 9, "max_completion_tokens": 8}),
            json!({"max_completion_tokens": 8}),
        ),
    ] {
        let mut body = json!({"model": model, "messages": [{"role": "user", "content": "x"}]});
        let members = body.as_object_mut().expect("an object");
        members.extend(given.as_object().expect("an object").clone());
        let (_, _, sent) = stand.send("/v1/chat/completions", &body);
        let mut rest = sent.as_object().expect("an object").clone();
        rest.remove("model");
        rest.remove("messages");
        assert_eq!(Value::Object(rest), expected, "{body}");
    }
}

#[test]
fn long_end_user_is_hashed() {
    let stand = Stand::new("");
    let user = format!("user_{}_account__session_{}", "a".repeat(64), "b".repeat(61));
    let body = json!({"model": "openai/gpt-4o", "max_tokens": 9, "metadata": {"user_id": user},
        "messages": [{"role": "user", "content": "x"}]});
    let (response, _, first) = stand.send("/v1/messages", &body);
    let hash = first["user"].as_str().expect("a user");
    assert!(hash.len() == 32 && !user.contains(hash), "{hash}");
    assert!(warnings(&response).contains("user"), "{response:?}");
    let (_, _, second) = stand.send("/v1/messages", &body);
    assert_eq!(second["user"], hash);
}

#[test]
fn long_tool_names_are_mapped_back() {
    let long = format!("mcp__{}__{}", "server".repeat(8), "tool".repeat(8));
    let short = {
        let stand = Stand::new("");
        let body = json!({"model": "openai/gpt-4o", "max_tokens": 9, "tools": [tool(&long)],
            "tool_choice": {"type": "tool", "name": long},
            "messages": [{"role": "user", "content": "x"}]});
        let (_, _, sent) = stand.send("/v1/messages", &body);
        let short = sent["tools"][0]["function"]["name"].as_str().expect("a name").to_owned();
        assert_eq!(sent["tool_choice"]["function"]["name"], *short);
        short
    };
    assert_eq!(short.len(), 64);
    let answer = json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant",
            "content": null, "tool_calls": [{"id": "call_1", "type": "function",
                "function": {"name": short, "arguments": "{}"}}]}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}});
    let stand = Stand::answering(answer.to_string().leak(), "");
    for is_stream in [false, true] {
        let body = json!({"model": "openai/gpt-4o", "max_tokens": 9, "tools": [tool(&long)],
            "stream": is_stream, "messages": [{"role": "user", "content": "x"}]});
        let (response, ..) = stand.send("/v1/messages", &body);
        let text = response.text();
        assert!(text.contains(&format!("\"name\":\"{long}\"")), "{text}");
    }
}

#[test]
fn thinking_is_disabled_per_model() {
    let stand = Stand::new("");
    for (model, kind, expected) in [
        ("deepseek/deepseek-chat", "disabled", json!({"type": "disabled"})),
        ("moonshot/kimi-k2.6", "disabled", json!({"type": "disabled"})),
        ("z-ai/glm-4.6", "disabled", json!({"type": "disabled"})),
        ("z-ai/glm-4.6", "adaptive", json!({"type": "enabled"})),
    ] {
        let body = json!({"model": model, "max_tokens": 99, "thinking": {"type": kind},
            "messages": [{"role": "user", "content": "x"}]});
        let (_, _, sent) = stand.send("/v1/messages", &body);
        assert_eq!(sent["thinking"], expected, "{model}");
        assert!(sent.get("reasoning_effort").is_none(), "{sent}");
    }
}

#[test]
fn tool_calls_without_thinking_fit_thinking_models() {
    let stand = Stand::new("");
    let send = |model: &str, thinking: Value| {
        let body = json!({"model": model, "max_tokens": 9000, "thinking": thinking, "tools": [tool("f")],
            "messages": [{"role": "user", "content": "x"},
                {"role": "assistant", "content": [
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "1"}]}]});
        let (_, _, sent) = stand.send("/v1/messages", &body);
        sent["messages"][1].get("reasoning_content").cloned()
    };
    let on = || json!({"type": "enabled", "budget_tokens": 2000});
    assert_eq!(send("deepseek/deepseek-chat", on()), Some(json!(" ")));
    assert_eq!(send("moonshot/kimi-k2.5", on()), Some(json!(" ")));
    assert_eq!(send("deepseek/deepseek-chat", json!({"type": "disabled"})), None);
    assert_eq!(send("groq/llama-3.3-70b", on()), None);
}

#[test]
fn operators_can_add_model_rules() {
    let stand = Stand::new("");
    let rules = "[[providers.own.model_rules]]\nmodels = [\"tiny*\"]\nrefuses = [\"temperature\"]\n\
                 max_tokens_min = 16\n";
    let settings = stand.provider.section("own", rules);
    let gateway = Gateway::start(&settings);
    for (model, expected) in [("own/tiny-1", json!([null, 16])), ("own/big", json!([0.5, 1]))] {
        let body = json!({"model": model, "max_tokens": 1, "temperature": 0.5,
            "messages": [{"role": "user", "content": "x"}]});
        let response = gateway.post("/v1/messages", &body.to_string());
        assert_eq!(response.status, 200, "{}", response.text());
        let request = stand.provider.last_request();
        let sent: Value =
            serde_json::from_str(request.split_once("\r\n\r\n").expect("a head").1).expect("JSON");
        assert_eq!(json!([sent["temperature"], sent["max_tokens"]]), expected, "{model}");
    }
}

#[test]
fn operators_can_set_thinking_form() {
    let stand = Stand::new(
        "[[providers.anthropic.model_rules]]\nmodels = [\"house-*\"]\nthinking_form = \"effort\"\n\
         efforts = [\"low\", \"high\"]\nrefuses = [\"forced_tool_choice\", \"json_schema\"]\n\
         refuses_together = [\"temperature\", \"top_p\"]\nmid_conversation_system = true\n",
    );
    let body = |model: &str, effort: &str| {
        json!({"model": model, "reasoning_effort": effort, "max_tokens": 8000,
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {
                "type": "object", "properties": {}}}}],
            "tool_choice": "required",
            "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {
                "type": "object", "properties": {}}}},
            "messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "y"}]})
    };
    let send = |model: &str, effort: &str| {
        let (response, _, sent) = stand.send("/v1/chat/completions", &body(model, effort));
        (sent, warnings(&response).to_owned())
    };
    let (sent, warning) = send("anthropic/house-1", "medium");
    assert_eq!(sent["thinking"]["type"], "adaptive");
    assert_eq!(sent["output_config"], json!({"effort": "high"}));
    assert_eq!(sent["tool_choice"]["type"], "auto");
    assert_eq!(sent["messages"][1]["role"], "system");
    assert!(warning.contains("reasoning effort") && warning.contains("tool_choice"), "{warning}");
    let (sent, warning) = send("anthropic/house-1", "none");
    assert_eq!(sent["output_config"], json!({"effort": "low"}));
    assert!(warning.contains("always thinks"), "{warning}");
    let (sent, _) = send("anthropic/other", "medium");
    assert_eq!(sent["tool_choice"]["type"], "any");
    assert_eq!(sent["messages"].as_array().map(Vec::len), Some(1));
    assert_eq!(sent["output_config"]["format"]["type"], "json_schema");
}

#[test]
fn foreign_thinking_is_removed_from_forwarded_requests() {
    let stand = Stand::new("");
    let body = json!({"model": "anthropic/claude-opus-4-8", "max_tokens": 2000,
        "thinking": {"type": "adaptive"}, "tools": [tool("f")],
        "messages": [{"role": "user", "content": "x"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "first", "signature": "openai-chat#S1=="},
                {"type": "redacted_thinking", "data": "call#call_9#gemini#S2=="},
                {"type": "tool_use", "id": "call_9", "name": "f", "input": {"a": 1}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "call_9", "content": "1"}]}]});
    let (response, _, sent) = stand.send("/v1/messages", &body);
    let mut expected = body.clone();
    expected["model"] = json!("claude-opus-4-8");
    let blocks = expected["messages"][1]["content"].as_array_mut().expect("blocks");
    blocks.drain(..2);
    assert_eq!(sent, expected);
    assert!(warnings(&response).contains("a thought"), "{response:?}");

    let (response, _, sent) = stand.generate(
        "google/gemini-3-pro-preview",
        &json!({"contents": [{"role": "user", "parts": [{"text": "x"}]},
            {"role": "model", "parts": [
                {"text": "hm", "thought": true, "thoughtSignature": "bedrock-converse#S=="},
                {"functionCall": {"name": "g", "args": {"p": "a"}}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"name": "g", "response": {"result": "2"}}}]}]}),
    );
    assert!(!sent.to_string().contains("bedrock-converse"), "{sent}");
    assert!(warnings(&response).contains("a thought"), "{response:?}");

    let history = json!({"model": "openai/gpt-4o", "messages": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "y", "reasoning_content": "hm"},
        {"role": "user", "content": "z"}]});
    let (_, _, sent) = stand.send("/v1/chat/completions", &history);
    assert_eq!(sent["messages"][1], json!({"role": "assistant", "content": "y"}));
    let mut history = history;
    history["model"] = json!("deepseek/deepseek-chat");
    let (_, _, sent) = stand.send("/v1/chat/completions", &history);
    assert_eq!(sent["messages"], history["messages"]);
}

#[test]
fn claude_code_billing_header_stays_with_anthropic() {
    let stand = Stand::new("");
    let body = |model: &str| {
        json!({"model": model, "max_tokens": 9, "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1; cch=1a2b3;"},
            {"type": "text", "text": "You are Claude Code."}],
            "messages": [{"role": "user", "content": "x"}]})
    };
    let (_, _, sent) = stand.send("/v1/messages", &body("groq/llama-3.3-70b"));
    assert_eq!(sent["messages"][0], json!({"role": "system", "content": "You are Claude Code."}));
    let (_, _, sent) = stand.send("/v1/messages", &body("anthropic/claude-opus-4-8"));
    assert_eq!(sent["system"].as_array().map(Vec::len), Some(2));
}

#[test]
fn gemini_and_vertex_get_supported_members_only() {
    let vertex = "[providers.vertex]\npreset = \"vertex-ai\"\nvertex_auth_type = \"access-token\"\n\
                  vertex_project_id = \"p\"\nvertex_region = \"us-east1\"\napi_key = \"test-credential\"\n";
    let stand = Stand::new("");
    let request = |provider: &str| {
        json!({"model": format!("{provider}/gemini-3-pro"), "metadata": {"team": "a"},
            "service_tier": "flex", "messages": [{"role": "user", "content": "x"}]})
    };
    let (response, _, sent) = stand.send("/v1/chat/completions", &request("google"));
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!((sent.get("labels"), &sent["serviceTier"]), (None, &json!("flex")), "{sent}");
    let warnings = response.field("x-ringgate-warnings").unwrap_or_default();
    assert!(warnings.contains("dropped metadata"), "{warnings}");
    let base = format!("base_url = \"http://{}/v1\"\n", stand.provider.address);
    let other = Gateway::start(&format!("{vertex}{base}"));
    let response = other.send(&post("/v1/chat/completions", "", &request("vertex").to_string()));
    assert_eq!(response.status, 200, "{}", response.text());
    let request = stand.provider.last_request();
    let sent = request.split_once("\r\n\r\n").expect("a body").1;
    let sent: Value = serde_json::from_str(sent).expect("JSON");
    assert_eq!((&sent["labels"]["team"], sent.get("serviceTier")), (&json!("a"), None), "{sent}");
}
