//! Models: the list and its names, the provider of a name, and requests that are rejected because the
//! catalogue knows that a model cannot do it.

use serde_json::{Value, json};

use crate::harness::{CHAT_ANSWER, Gateway, Provider, Response, chat, json_answer, post};

/// A provider that answers everything, and its section with a preset.
fn answering(name: &str, more: &str) -> (Provider, String) {
    let provider = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let section = provider.section(name, more);
    (provider, section)
}

fn get(gateway: &Gateway, path: &str, fields: &str) -> Response {
    gateway.send(&format!("GET {path} HTTP/1.1\r\nhost: g\r\n{fields}\r\n"))
}

fn ids(list: &Value) -> Vec<String> {
    let entries = list["data"].as_array().expect("a list");
    entries.iter().map(|entry| entry["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn bare_model_selects_only_provider_that_lists_it() {
    let (_one, first) = answering("vendor", "preset = \"openai\"");
    let (_two, second) = answering("quick", "preset = \"groq\"");
    let (_three, third) = answering("deep", "preset = \"deepseek\"");
    let (_four, fourth) = answering("listed", "models = [\"gpt-4.1\"]");
    let (_five, fifth) = answering("narrow", "preset = \"anthropic\"\nmodels = [\"other\"]");
    let gateway = Gateway::start(&[first, second, third, fourth, fifth].concat());
    for (model, provider) in [
        ("gpt-4o", "vendor"),
        ("gpt-4o-2024-08-06", "vendor"),
        ("gpt-4o-2024-11-20", "vendor"),
        ("text-embedding-3-small", "vendor"),
        ("deepseek-chat", "deep"),
        ("openai/gpt-oss-120b", "quick"),
        // What is listed comes first.
        ("gpt-4.1", "listed"),
        ("vendor/gpt-4.1", "vendor"),
    ] {
        for _ in 0..2 {
            let response = gateway.post("/v1/chat/completions", &chat(model));
            assert_eq!(response.field("x-ringgate-provider"), Some(provider), "{model}");
        }
    }
    for (model, hint) in [
        ("nobody-knows-it", "vendor, quick, deep, listed, narrow"),
        // A misspelt provider is no folder.
        ("vender/gpt-4o", "PROVIDER/vender/gpt-4o"),
        // It serves what it lists.
        ("claude-sonnet-4-5", "narrow"),
    ] {
        let response = gateway.post("/v1/chat/completions", &chat(model));
        assert_eq!((response.status, response.code().as_str()), (400, "unknown_model"), "{model}");
        assert!(response.text().contains(hint), "{}", response.text());
    }
}

#[test]
fn ambiguous_model_is_rejected() {
    let (_one, first) = answering("east", "preset = \"openai\"");
    let (_two, second) = answering("west", "preset = \"openai\"");
    let (_three, third) = answering("deep", "preset = \"deepseek\"");
    let gateway = Gateway::start(&[first, second, third].concat());
    let response = gateway.post("/v1/chat/completions", &chat("gpt-4o"));
    assert_eq!((response.status, response.code().as_str()), (400, "unknown_model"));
    assert!(response.text().contains("one of east, west,"), "{}", response.text());
}

#[test]
fn every_listed_model_id_is_usable() {
    let (_one, first) = answering("vendor", "preset = \"openai\"");
    let (_two, second) = answering("quick", "preset = \"groq\"");
    let (_three, third) = answering("listed", "models = [\"gpt-4.1\", \"mine\", \"quick/mine\"]");
    let (_four, fourth) = answering("bare", "");
    let (_five, fifth) = answering("local", "preset = \"ollama\"");
    let gateway = Gateway::start(&[first, second, third, fourth, fifth].concat());
    let response = get(&gateway, "/v1/models", "");
    assert_eq!(response.text(), get(&gateway, "/v1/models", "").text());
    let list = response.json();
    let entries = list["data"].as_array().expect("a list");
    assert!(entries.len() > 150, "{} models", entries.len());
    let known = ids(&list);
    let unique: std::collections::HashSet<&String> = known.iter().collect();
    assert_eq!(unique.len(), known.len());
    for id in ["gpt-4o", "vendor/gpt-4.1", "gpt-4.1", "mine", "listed/quick/mine"] {
        assert!(known.iter().any(|it| it == id), "{id} in {known:?}");
    }
    // Nothing is known of a server of one's own.
    assert!(entries.iter().all(|it| it["owned_by"] != "bare" && it["owned_by"] != "local"));
    let mut client = gateway.connect();
    for entry in entries {
        let id = entry["id"].as_str().expect("an id");
        client.send(post("/v1/chat/completions", "", &chat(id)).as_bytes());
        let response = client.response();
        assert_eq!(response.field("x-ringgate-provider"), entry["owned_by"].as_str(), "{id}");
        assert_eq!(entry["object"], "model");
    }
}

#[test]
fn model_entries_include_catalog_data() {
    let (_one, first) = answering("vendor", "preset = \"openai\"");
    let (_two, second) = answering("listed", "models = [\"mine\", \"org/ours\"]");
    let own = "[catalogue.listed.mine]\ncontext_tokens = 5\nabilities = [\"tools\", \"vision\"]\n\
               prices = [{ input = 1.5, output = 2 }, { tier = \"batch\", input = 0.000001 }]\n";
    let gateway = Gateway::start(&[&first, &second, own].concat());
    let known = get(&gateway, "/v1/models/gpt-4o", "").json();
    assert_eq!((&known["mode"], &known["context_window"]), (&json!("chat"), &json!(128_000)));
    assert_eq!(known["max_output_tokens"], 16_384);
    assert_eq!(known["pricing"]["input"], "0.0000025");
    assert_eq!(known["pricing"]["batch.output"], "0.000005");
    assert!(known["abilities"].as_array().is_some_and(|it| it.contains(&json!("vision"))));
    let expected = json!({
        "id": "mine", "object": "model", "created": 0, "owned_by": "listed", "mode": "chat",
        "context_window": 5, "abilities": ["tools", "vision"], "pricing":
            { "input": "0.0000015", "output": "0.000002", "batch.input": "0.000000000001" },
    });
    assert_eq!(get(&gateway, "/v1/models/mine", "").json(), expected);
    assert_eq!(get(&gateway, "/v1/models/listed/mine", "").json(), expected);
    let plain = json!({ "id": "org/ours", "object": "model", "created": 0, "owned_by": "listed" });
    assert_eq!(get(&gateway, "/v1/models/org%2Fours", "").json(), plain);
    let only = get(&gateway, "/v1/models?limit=9&provider=listed", "").json();
    assert_eq!(ids(&only), ["mine", "org/ours"]);
    let unknown = get(&gateway, "/v1/models?provider=nobody", "");
    assert_eq!((unknown.status, unknown.code().as_str()), (400, "unknown_provider"));
    let unknown = get(&gateway, "/v1/models/nothing", "");
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "unknown_model"));
}

#[test]
fn model_list_matches_client_dialect() {
    let (_one, first) = answering("vendor", "preset = \"openai\"");
    let (_two, second) = answering("listed", "models = [\"mine\", \"ours\"]");
    let gateway = Gateway::start(&[first, second].concat());
    let version = "anthropic-version: 2023-06-01\r\n";
    let list = get(&gateway, "/v1/models?provider=listed", version).json();
    let entry = |id: &str| {
        json!({ "type": "model", "id": id, "display_name": id,
            "created_at": "1970-01-01T00:00:00Z", "lifecycle": "active", "deprecated_at": null,
            "retires_at": null, "line": null, "capabilities": null, "max_input_tokens": null,
            "max_tokens": null })
    };
    let expected = json!({ "data": [entry("mine"), entry("ours")], "has_more": false,
        "first_id": "mine", "last_id": "ours" });
    assert_eq!(list, expected);
    assert_eq!(get(&gateway, "/v1/models/mine", version).json(), entry("mine"));
    let all = ids(&get(&gateway, "/v1/models", version).json());
    assert!(all.contains(&"gpt-4o".to_owned()));
    assert!(!all.contains(&"text-embedding-3-small".to_owned()), "it has no conversations");
    let none = get(&gateway, "/v1/models/nothing", version);
    assert_eq!((none.status, &none.json()["type"]), (404, &json!("error")));

    let list = get(&gateway, "/v1beta/models?provider=vendor", "").json();
    let models = list["models"].as_array().expect("a list");
    let known = models.iter().find(|it| it["name"] == "models/gpt-4o").expect("known");
    let expected = json!({ "name": "models/gpt-4o", "displayName": "gpt-4o",
        "inputTokenLimit": 128_000, "outputTokenLimit": 16_384,
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent"] });
    assert_eq!(known, &expected);
    assert_eq!(get(&gateway, "/v1beta/models/gpt-4o", "").json(), expected);
    assert_eq!(get(&gateway, "/v1beta/models/vendor/gpt-4o", "").json(), expected);
    let none = get(&gateway, "/v1beta/models/nothing", "");
    assert_eq!((none.status, &none.json()["error"]["code"]), (404, &json!(404)));
    let empty =
        Gateway::start("[providers.p]\ndialect = \"openai-chat\"\nbase_url = \"http://h/v1\"");
    let expected = json!({ "data": [], "has_more": false, "first_id": null, "last_id": null });
    assert_eq!(get(&empty, "/v1/models", version).json(), expected);
}

#[test]
fn provider_header_returns_the_providers_model_list() {
    const LIVE: &str = r#"{"object":"list","data":[{"id":"live"}]}"#;
    let live = Provider::always(json_answer("200 OK", "", LIVE));
    let alone = live.section("alone", "preset = \"openai\"");
    let key = "[keys.k]\nsecret = \"${SECRET}\"\nmodels = [\"gpt-4o\"]\n";
    let limited = Gateway::start_with(&format!("{alone}{key}"), &[("SECRET", "of-this-test")], &[]);
    // A key that may not use all sees what it may, which only our own list can tell.
    let list = get(&limited, "/v1/models", "authorization: Bearer of-this-test\r\n").json();
    assert_eq!(ids(&list), ["gpt-4o"]);
    assert_eq!(live.request_count(), 0);
    let gateway = Gateway::start(&alone);
    assert_eq!(get(&gateway, "/v1/models", "").text(), LIVE);
    // Its list has another shape than this client's.
    let version = "anthropic-version: 2023-06-01\r\n";
    assert_eq!(get(&gateway, "/v1/models", version).json()["has_more"], false);
    let (_other, second) = answering("other", "models = [\"mine\"]");
    let gateway = Gateway::start(&[alone, second].concat());
    assert_eq!(get(&gateway, "/v1/models", "x-ringgate-provider: alone\r\n").text(), LIVE);
    assert!(ids(&get(&gateway, "/v1/models", "").json()).contains(&"mine".to_owned()));
    let filtered = get(&gateway, "/v1/models?provider=alone", "").json();
    assert!(ids(&filtered).contains(&"gpt-4o".to_owned()));
    assert_eq!(live.request_count(), 2);
}

#[test]
fn image_for_text_only_model_is_rejected() {
    let (provider, section) = answering("vendor", "preset = \"openai\"");
    let (_other, other) = answering("own", "");
    let gateway = Gateway::start(&[section, other].concat());
    let source = json!({ "type": "url", "url": "https://pictures.example/cat.png" });
    let request = |model: &str| {
        json!({ "model": model, "max_tokens": 9, "messages": [{ "role": "user", "content": [
            { "type": "text", "text": "What is this?" },
            { "type": "image", "source": source },
        ] }] })
        .to_string()
    };
    let response = gateway.post("/v1/messages", &request("vendor/gpt-3.5-turbo"));
    assert_eq!(response.status, 400, "{}", response.text());
    assert_eq!(response.json()["error"]["type"], "invalid_request_error");
    assert!(response.text().contains("an image cannot be sent"), "{}", response.text());
    assert_eq!(provider.request_count(), 0);
    for model in ["vendor/gpt-4o", "vendor/unheard-of", "own/gpt-3.5-turbo"] {
        let response = gateway.post("/v1/messages", &request(model));
        assert_eq!(response.status, 200, "{model}: {}", response.text());
    }
    // The vendor's own clients are its own business.
    let own = json!({ "model": "vendor/gpt-3.5-turbo", "messages": [{ "role": "user", "content": [
        { "type": "image_url", "image_url": { "url": "https://pictures.example/cat.png" } },
    ] }] });
    assert_eq!(gateway.post("/v1/chat/completions", &own.to_string()).status, 200);
}
