//! What each kind of key may do on each path, over real sockets: the table, the models that requests
//! name besides `model`, and whose metadata counts.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::harness::{CHAT_ANSWER, Gateway, Provider, chat, json_answer, post};

const CHAT_PATH: &str = "/v1/chat/completions";

/// The kinds of keys, by their names in the settings.
const OPEN: &str = "open";
const BY_MODEL: &str = "by-model";
const BY_ROUTE: &str = "by-route";
const WITH_FILES: &str = "with-files";
const READER: &str = "reader";

fn secret(key: &str) -> String {
    format!("rg-{key}-5f1c09d2e7")
}

/// A gateway with a key of each kind and one provider that answers everything.
fn start(more: &str) -> (Gateway, Provider) {
    let provider = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let keys = [
        (OPEN, ""),
        (BY_MODEL, "models = [\"gpt-4o-mini\"]"),
        (BY_ROUTE, "routes = [\"support\"]\nroute = \"support\""),
        (WITH_FILES, "models = [\"gpt-4o-mini\"]\nendpoints = [\"/v1/files*\", \"/v1/batches\"]"),
        (READER, "endpoints = [\"GET /v1/files*\", \"/v1/chat/completions\"]"),
    ];
    let keys: String = keys
        .iter()
        .map(|(name, lines)| format!("[keys.{name}]\nsecret = \"{}\"\n{lines}\n", secret(name)))
        .collect();
    let settings = format!(
        "{}{keys}[routes.support]\ntargets = [{{ provider = \"a\" }}]\n{more}",
        provider.section("a", "api_key = \"credential-of-a\"\nmodels = [\"gpt-4o-mini\", \"o1\"]")
    );
    (Gateway::start(&settings), provider)
}

/// Sends it and gives the status with the code of an error, and whether the provider was asked.
fn outcome(gateway: &Gateway, provider: &Provider, request: &str) -> (u16, String, bool) {
    let before = provider.request_count();
    let response = gateway.send(request);
    let code = if response.status < 400 { String::new() } else { response.code() };
    (response.status, code, provider.request_count() > before)
}

#[test]
fn endpoints_allowed_by_key_kind() {
    let (gateway, provider) = start("");
    let body = r#"{"model":"gpt-4o-mini","max_tokens":9,"input":"x","messages":[{"role":"user","content":"x"}]}"#;
    // P: passed to the provider, L: answered by the gateway, E: refused for its path, R: a path
    // with two readings. The list of the
    // provider itself is for keys that may use all of it.
    for (method, path, expected) in [
        ("POST", "/v1/chat/completions", "PPPEP"),
        ("POST", "/v1/responses", "PPPEE"),
        ("POST", "/v1/messages", "PPPEE"),
        ("POST", "/v1/embeddings", "PPPEE"),
        ("POST", "/v1/moderations", "PPPEE"),
        ("POST", "/v1/images/generations", "PPPEE"),
        ("POST", "/v1/audio/speech", "PPPEE"),
        ("POST", "/v1/responses/input_tokens", "LLLEE"),
        ("GET", "/v1/models", "PLLEE"),
        ("GET", "/v1/models/gpt-4o-mini", "PLLEE"),
        ("DELETE", "/v1/models/ft:gpt-4o:org::1", "PEEEE"),
        ("GET", "/v1/files", "PEEPP"),
        ("GET", "/v1/files/file-1/content", "PEEPP"),
        ("DELETE", "/v1/files/file-1", "PEEPE"),
        ("POST", "/v1/files", "PEEPE"),
        ("POST", "/v1/batches", "PEEPE"),
        ("GET", "/v1/batches/b", "PEEEE"),
        ("POST", "/v1/batches/b/cancel", "PEEEE"),
        ("GET", "/v1/responses/resp_1", "REEEE"),
        ("GET", "/v1/responses/resp_1/input_items", "REEEE"),
        ("DELETE", "/v1/responses/resp_1", "REEEE"),
        ("POST", "/v1/responses/resp_1/cancel", "REEEE"),
        ("GET", "/v1/chat/completions/c", "PEEEE"),
        ("DELETE", "/v1/chat/completions/c", "PEEEE"),
        ("POST", "/v1/messages/batches", "PEEEE"),
        ("GET", "/v1/messages/batches/m/results", "PEEEE"),
        ("GET", "/v1/organization/users", "PEEEE"),
        ("POST", "/v1/organization/admin_api_keys", "PEEEE"),
        ("POST", "/v1/fine_tuning/jobs", "PEEEE"),
        ("POST", "/v1/assistants", "PEEEE"),
        ("POST", "/v1/threads/runs", "PEEEE"),
        ("GET", "/v1/threads/t/messages", "PEEEE"),
        ("GET", "/v1/vector_stores", "PEEEE"),
        ("POST", "/v1/vector_stores/v/search", "PEEEE"),
        ("POST", "/v1/uploads", "PEEEE"),
        ("POST", "/v1/containers", "PEEEE"),
        ("GET", "/v1/evals", "PEEEE"),
        ("POST", "/v1/videos", "PEEEE"),
        ("GET", "/v1/conversations/c", "PEEEE"),
        ("POST", "/v1/realtime/client_secrets", "PEEEE"),
        ("POST", "/v1/engines/o1/completions", "PEEEE"),
        ("POST", "/v1/deployments/o1/chat/completions", "PEEEE"),
        ("POST", "/v1beta/chat/completions", "PEEEE"),
        ("GET", "/v1beta/files", "PEEEE"),
        ("POST", "/v1/nobody/knows", "PEEEE"),
        // Other spellings are other paths.
        ("POST", "/v1/Moderations", "PEEEE"),
        ("POST", "/v1/moderations/", "PEEEE"),
        ("POST", "/v1/moderat%69ons", "PEEEE"),
        ("GET", "/v1/moderations", "PEEEE"),
        ("GET", "/v1/files//content", "RRRRR"),
        ("GET", "/v1/files/%252e%252e/organization/users", "PEEEE"),
        ("GET", "/v1/files%2Ffile-1", "PEEEE"),
        ("GET", "/v1/%66iles", "PEEEE"),
    ] {
        let kinds = [OPEN, BY_MODEL, BY_ROUTE, WITH_FILES, READER];
        for (key, expected) in kinds.into_iter().zip(expected.chars()) {
            let fields = format!("authorization: Bearer {}\r\n", secret(key));
            let request = match method {
                "POST" => post(path, &fields, body),
                _ => format!("{method} {path} HTTP/1.1\r\nhost: g\r\n{fields}\r\n"),
            };
            let found = outcome(&gateway, &provider, &request);
            let expected = match expected {
                'R' => (400, "invalid_request", false),
                'P' => (200, "", true),
                'L' => (200, "", false),
                // Google's errors have no code of ours.
                _ if path.starts_with("/v1beta") => (403, "none", false),
                _ => (403, "endpoint_not_allowed", false),
            };
            assert_eq!((found.0, &*found.1, found.2), expected, "{method} {path} {key}");
        }
    }
    let listed = |key: &str| {
        let fields = format!("authorization: Bearer {}\r\n", secret(key));
        let response = gateway.send(&format!("GET /v1/models HTTP/1.1\r\nhost: g\r\n{fields}\r\n"));
        response.json()["data"].as_array().map(Vec::len)
    };
    assert_eq!((listed(BY_MODEL), listed(BY_ROUTE)), (Some(1), Some(2)));
}

/// Whoever is refused costs no memory and no wait for a body.
#[test]
fn forbidden_path_is_rejected_before_the_body() {
    let (gateway, provider) = start("");
    let request = format!(
        "POST /v1/files HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {}\r\ncontent-length: \
         900000000\r\n\r\n",
        secret(BY_MODEL)
    );
    let expected = (403, "endpoint_not_allowed".to_owned(), false);
    assert_eq!(outcome(&gateway, &provider, &request), expected);
}

#[test]
fn key_with_route_list_rejects_inline_configs() {
    let keys = "[keys.bare]\nsecret = \"rg-bare-5f1c09d2e7\"\nroutes = [\"support\", \"gone-*\"]\n";
    let (gateway, provider) = start(keys);
    let inline = r#"{"provider":"a","override_params":{"model":"o1"}}"#;
    for (key, fields, expected) in [
        (BY_ROUTE, String::new(), (200, "", true)),
        (BY_ROUTE, "x-ringgate-config: support\r\n".to_owned(), (200, "", true)),
        (BY_ROUTE, format!("x-ringgate-config: {inline}\r\n"), (403, "route_not_allowed", false)),
        (BY_ROUTE, format!("x-portkey-config:  {inline}\r\n"), (403, "route_not_allowed", false)),
        (BY_ROUTE, "x-ringgate-config: {}\r\n".to_owned(), (403, "route_not_allowed", false)),
        ("bare", format!("x-ringgate-config: {inline}\r\n"), (403, "route_not_allowed", false)),
        ("bare", "x-ringgate-config: support\r\n".to_owned(), (200, "", true)),
        // Without a route any provider could be named.
        ("bare", String::new(), (403, "route_not_allowed", false)),
        ("bare", "x-ringgate-provider: a\r\n".to_owned(), (403, "route_not_allowed", false)),
        (OPEN, format!("x-ringgate-config: {inline}\r\n"), (200, "", true)),
    ] {
        let fields = format!("authorization: Bearer {}\r\n{fields}", secret(key));
        for path in [CHAT_PATH, "/v1/moderations"] {
            let request = post(path, &fields, &chat("gpt-4o-mini"));
            let found = outcome(&gateway, &provider, &request);
            assert_eq!((found.0, &*found.1, found.2), expected, "{key} {fields}");
        }
    }
}

#[test]
fn model_allowlist_covers_models_outside_the_body() {
    let (gateway, provider) = start("");
    let send = |key: &str, path: &str, fields: &str, more: &Value| {
        let mut body: Value = serde_json::from_str(&chat("gpt-4o-mini")).expect("JSON");
        body["input"] = "x".into();
        for (name, value) in more.as_object().expect("members") {
            body[name] = value.clone();
        }
        let fields = format!("authorization: Bearer {}\r\n{fields}", secret(key));
        outcome(&gateway, &provider, &post(path, &fields, &body.to_string()))
    };
    let denied = (403, "model_not_allowed".to_owned(), false);
    let passed = (200, String::new(), true);
    for more in [
        json!({"models": ["o1"]}),
        json!({"models": ["gpt-4o-mini", "o1"], "route": "fallback"}),
        json!({"fallbacks": ["o1"]}),
        json!({"fallbacks": [{"gpt-4o-mini": ["o1"]}]}),
        json!({"fallbacks": [{"model": "o1"}]}),
        json!({"context_window_fallbacks": [{"gpt-4o-mini": ["o1"]}]}),
        json!({"tools": [{"type": "image_generation", "model": "o1"}]}),
        json!({"extra_body": {"model": "o1"}}),
        json!({"extra_body": {"extra_body": {"models": ["o1"]}}}),
        json!({"providerOptions": {"gateway": {"models": ["o1"]}}}),
        json!({"plugins": [{"id": "web", "model": "o1"}]}),
        json!({"Model": "o1"}),
        json!({"preset": "o1"}),
    ] {
        for path in [CHAT_PATH, "/v1/responses", "/v1/embeddings", "/v1/moderations"] {
            assert_eq!(send(BY_MODEL, path, "", &more), denied, "{path} {more}");
        }
        assert_eq!(send(OPEN, "/v1/moderations", "", &more), passed, "{more}");
    }
    let tool = json!({"type": "function", "function": {"name": "f",
        "parameters": {"type": "object", "properties": {"model": {"type": "string"}}}}});
    for more in [
        json!({"models": ["gpt-4o-mini"]}),
        json!({"tools": [tool]}),
        json!({"metadata": {"model": "o1"}}),
        json!({"messages": [{"role": "user", "content": "{\"model\":\"o1\"}"}]}),
    ] {
        assert_eq!(send(BY_MODEL, CHAT_PATH, "", &more), passed, "{more}");
    }
    // Beside the model of a path, which goes before it.
    let google = "/v1beta/models/gpt-4o-mini:generateContent";
    // Google's errors have no code of ours.
    let google_denied = (403, "none".to_owned(), false);
    assert_eq!(send(BY_MODEL, google, "", &json!({"model": "o1"})), google_denied);
    // In the query, and in what an inline config adds.
    let none = json!({});
    assert_eq!(send(BY_MODEL, "/v1/moderations?model=o1", "", &none), denied);
    assert_eq!(send(BY_MODEL, "/v1/moderations?mod%65l=o%31", "", &none), denied);
    assert_eq!(send(BY_MODEL, "/v1/moderations?model=gpt-4o-mini", "", &none), passed);
    for params in ["override_params", "default_params"] {
        let config = json!({"provider": "a", params: {"fallbacks": ["o1"]}});
        let fields = format!("x-ringgate-config: {config}\r\n");
        assert_eq!(send(BY_MODEL, CHAT_PATH, &fields, &none), denied, "{config}");
    }
}

/// Of a path that `endpoints` opens, too.
#[test]
fn model_allowlist_covers_batch_models() {
    let (gateway, provider) = start("");
    let fields = format!("authorization: Bearer {}\r\n", secret(WITH_FILES));
    for (model, expected) in [("gpt-4o-mini", 200), ("o1", 403)] {
        let body = json!({"requests": [{"custom_id": "1", "params": {"model": model}}]});
        let request = post("/v1/batches", &fields, &body.to_string());
        assert_eq!(outcome(&gateway, &provider, &request).0, expected, "{model}");
    }
}

/// The key's metadata win, so that nobody chooses who pays, or whose cached answers come.
#[test]
fn key_metadata_overrides_client_metadata() {
    let answers: HashMap<&str, Provider> = ["rich", "poor"]
        .into_iter()
        .map(|name| {
            let answer = CHAT_ANSWER.replace("Hi", name);
            (name, Provider::always(json_answer("200 OK", "", &answer)))
        })
        .collect();
    let settings = format!(
        r#"{}{}
[log]
requests = "requests.jsonl"
[keys.poor]
secret = "rg-poor-5f1c09d2e7"
metadata = {{ plan = "free", _user = "u1" }}
[keys.plain]
secret = "rg-plain-5f1c09d2e7"
[routes.plan]
strategy = {{ mode = "conditional", default = "poor", conditions = [
  {{ query = {{ "metadata.plan" = "paid" }}, then = "rich" }} ] }}
targets = [ {{ provider = "rich", name = "rich" }}, {{ provider = "poor", name = "poor" }} ]
[routes.user]
targets = [ {{ provider = "poor" }} ]
cache = {{ mode = "simple", scope = "user" }}
"#,
        answers["rich"].section("rich", ""),
        answers["poor"].section("poor", ""),
    );
    let gateway = Gateway::start(&settings);
    let send = |key: &str, route: &str, metadata: &str, body: &str| {
        let fields = format!(
            "authorization: Bearer {}\r\nx-portkey-metadata: {metadata}\r\nx-ringgate-config: \
             {route}\r\n",
            secret(key)
        );
        gateway.send(&post(CHAT_PATH, &fields, body))
    };
    for (key, metadata, expected) in [
        ("poor", r#"{"plan":"paid"}"#, "poor"),
        ("poor", r#"{"plan":"free"}"#, "poor"),
        ("plain", r#"{"plan":"paid"}"#, "rich"),
        ("plain", r#"{}"#, "poor"),
    ] {
        let response = send(key, "plan", metadata, &chat("m"));
        assert!(response.text().contains(expected), "{key} {metadata}: {}", response.text());
    }
    // One user of the key, whatever the requests say.
    let body = chat("m").replacen('{', "{\"user\":\"u2\",", 1);
    for (metadata, body, status) in
        [("{}", chat("m"), "MISS"), (r#"{"_user":"u3"}"#, chat("m"), "HIT"), ("{}", body, "HIT")]
    {
        let response = send("poor", "user", metadata, &body);
        assert_eq!(response.field("x-ringgate-cache-status"), Some(status), "{metadata} {body}");
    }
}
