//! Requests and routes: conditions, body edits, timeouts, configs in headers, and how they are
//! reported.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    CHAT_ANSWER, Folder, Gateway, Provider, Response, STREAM_HEAD, chat, delta, event, eventually,
    json_answer, post, stream,
};
use crate::routing::{
    CHAT_PATH, Stand, config, dead, failing, fallback, option, request, silent, story_is, well,
};

const FIRST: &str = "config.targets[0]";
const SECOND: &str = "config.targets[1]";

/// Goes to the first target where `query` holds, else to the second.
fn condition(query: &Value) -> Value {
    json!({ "strategy": { "mode": "conditional", "default": "no",
            "conditions": [{ "query": query, "then": "yes" }] },
        "targets": [{ "provider": "p0", "name": "yes" }, { "provider": "p1", "name": "no" }] })
}

/// Two providers and two keys.
fn with_keys(providers: Vec<Provider>) -> Stand {
    let sections = [providers[0].section("p0", ""), providers[1].section("p1", "")].concat();
    let keys = "[keys.a]\nsecret = \"${A}\"\nmetadata = { tier = \"gold\" }\n\
                [keys.b]\nsecret = \"${B}\"\nmetadata = { tier = \"tin\" }\n";
    let environment = [("A", "rg-a-5f1c09d2e7"), ("B", "rg-b-93ab77d4c1")];
    let gateway = Gateway::start_with(&format!("{keys}{sections}"), &environment, &[]);
    Stand { gateway, providers }
}

/// A request of the key `a` that says one thing more: `metadata JSON`, `header LINE`, `body MEMBERS`,
/// `model NAME`, `path PATH`, or that it is of the key `b`.
fn request_with(attribute: &str, config: &Value) -> String {
    let (what, it) = attribute.split_once(' ').unwrap_or_default();
    let key = if attribute == "key b" { "rg-b-93ab77d4c1" } else { "rg-a-5f1c09d2e7" };
    let line = match what {
        "metadata" => format!("x-ringgate-metadata: {it}\r\n"),
        "header" => format!("{it}\r\n"),
        _ => String::new(),
    };
    let fields = format!("authorization: Bearer {key}\r\nx-ringgate-config: {config}\r\n{line}");
    let members = if what == "body" { it } else { "\"top_p\":1" };
    let body = chat(if what == "model" { it } else { "m" });
    let body = body.replacen('{', &format!("{{\"max_tokens\":5,{members},"), 1);
    post(if what == "path" { it } else { CHAT_PATH }, &fields, &body)
}

#[test]
fn conditions_match_any_request_field() {
    const PAID: &str = r#"metadata {"plan":"paid"}"#;
    const PAID_EU: &str = r#"metadata {"plan":"paid","at":"eu"}"#;
    const FREE: &str = r#"metadata {"plan":"free"}"#;
    const FREE_EU: &str = r#"metadata {"plan":"free","at":"eu"}"#;
    let stand = with_keys(vec![well(), well()]);
    let long = format!("body \"stop\":\"{}\"", "a".repeat(8_000));
    let either = json!([{ "metadata.at": "eu" }, { "metadata.at": "us" }]);
    for (query, holding, others) in [
        (json!({ "metadata.plan": { "$eq": "paid" } }), &[PAID][..], &[FREE, ""][..]),
        (json!({ "metadata.plan": { "$ne": "paid" } }), &[FREE, ""], &[PAID]),
        // The key's own wins.
        (json!({ "metadata.tier": "gold" }), &["", r#"metadata {"tier":"tin"}"#], &["key b"]),
        (json!({ "params.n": { "$gt": 1, "$lt": 3 } }), &[r#"body "n":2"#], &[r#"body "n":1"#, ""]),
        (json!({ "params.f.g": "h" }), &[r#"body "f":{"g":"h"}"#], &[r#"body "f":{"g":1}"#, ""]),
        (json!({ "url.pathname": { "$regex": "/completions$" } }), &[""], &["path /v1/embeddings"]),
        (json!({ "headers.X-At": { "$in": ["b"] } }), &["header x-at: b"], &["header x-at: c"]),
        (json!({ "model": { "$nin": ["n", "o"] } }), &["", "model p"], &["model o"]),
        (json!({ "key.name": "a" }), &[""], &["key b"]),
        (json!({ "key.metadata.tier": "gold" }), &[""], &["key b"]),
        (json!({ "tokens.estimate": { "$gte": 1000 } }), &[&long], &[""]),
        (json!({ "$or": either, "metadata.plan": "paid" }), &[PAID_EU], &[PAID, FREE_EU, ""]),
        (json!({ "$and": [{ "key.name": "a" }, { "$or": either }] }), &[FREE_EU], &[PAID, "key b"]),
    ] {
        let holding = holding.iter().map(|attribute| (attribute, FIRST));
        for (attribute, expected) in
            holding.chain(others.iter().map(|attribute| (attribute, SECOND)))
        {
            let response = stand.gateway.send(&request_with(attribute, &condition(&query)));
            assert_eq!(response.status, 200, "{query} {attribute}: {}", response.text());
            assert_eq!(option(&response), expected, "{query} {attribute}");
        }
    }
}

#[test]
fn unmatched_conditions_without_default_are_rejected() {
    let stand = Stand::new(vec![well(), well()]);
    let paid = json!({ "metadata.plan": "paid" });
    let (mut without, mut elsewhere) = (condition(&paid), condition(&paid));
    without["strategy"].as_object_mut().expect("a table").remove("default");
    elsewhere["strategy"]["conditions"][0]["then"] = json!("maybe");
    let query = "config.strategy.conditions[0].query";
    for (config, expected) in [
        (without, "no condition of the route is true"),
        (elsewhere, "config.strategy.conditions[0].then"),
        (condition(&json!({ "metadata.plan": { "$like": "p" } })), query),
        (condition(&json!({ "$xor": [] })), query),
        (condition(&json!({ "cookies.plan": "p" })), query),
        (condition(&json!({ "metadata.plan": { "$regex": "(" } })), query),
    ] {
        let response = stand.send_chat(&config);
        assert_eq!((response.status, &*response.code()), (400, "invalid_config"), "{config}");
        assert!(response.text().contains(expected), "{config}: {}", response.text());
    }
    assert_eq!(stand.counts(), [0, 0]);
}

#[test]
fn cache_key_includes_condition_fields() {
    let named =
        |name: &str| Provider::always(json_answer("200 OK", "", &CHAT_ANSWER.replace("Hi", name)));
    for (query, one) in [
        (json!({ "metadata.plan": "paid" }), r#"metadata {"plan":"paid"}"#),
        (json!({ "metadata.tier": "tin" }), "key b"),
        (json!({ "headers.x-team": "red" }), "header x-team: red"),
        (json!({ "key.name": "b" }), "key b"),
        (json!({ "key.metadata.tier": "tin" }), "key b"),
        (json!({ "params.user": "u" }), "body \"top_p\":1,\"user\":\"u\""),
        (json!({ "params.store": false }), "body \"top_p\":1,\"store\":false"),
        (json!({ "url.pathname": "/v1/messages" }), "path /v1/messages"),
    ] {
        let stand = with_keys(vec![named("larger"), named("lesser")]);
        let mut config = condition(&query);
        config["cache"] = json!({ "mode": "simple", "scope": "shared" });
        for status in ["MISS", "HIT"] {
            for (attribute, name) in [(one, "larger"), ("", "lesser")] {
                let response = stand.gateway.send(&request_with(attribute, &config));
                let what = format!("{query}, {status} {attribute}: {}", response.text());
                assert!(response.text().contains(name), "{what}");
                assert_eq!(response.field("x-ringgate-cache-status"), Some(status), "{what}");
            }
        }
    }
    // Nor another config of the same targets.
    let stand = Stand::new(vec![well(), well()]);
    for (number, plan) in ["paid", "free"].into_iter().enumerate() {
        let mut config = condition(&json!({ "metadata.plan": plan }));
        config["cache"] = json!({ "mode": "simple" });
        stand.send(&config, "x-ringgate-metadata: {\"plan\":\"paid\"}\r\n", &chat("m"));
        assert_eq!(stand.counts(), [1, number], "{config}");
    }
}

#[test]
fn request_timeout_bounds_all_attempts() {
    const HEADER: &str = "x-portkey-request-timeout: 200\r\n";
    let route = "[routes.r]\nrequest_timeout = 200\nstrategy = { mode = \"fallback\" }\n\
                 targets = [{ provider = \"p0\" }, { provider = \"p1\" }]\n";
    let stand = Stand::with(route, vec![silent(), silent(), failing(503, "retry-after: 2\r\n")]);
    let limited = |strategy: Value, limit: u64, own: u64, field: &str| {
        let mut config = config(&strategy, 2);
        config["request_timeout"] = json!(limit);
        config["targets"][0]["request_timeout"] = json!(own);
        request(&config, field, &chat("m"))
    };
    let by = |mode: &str| json!({ "mode": mode });
    let mut inner = fallback(2);
    inner["request_timeout"] = json!(100);
    let mut nested = fallback(2);
    (nested["request_timeout"], nested["targets"][0]) = (json!(200), inner);
    let retried = |provider: &str| {
        let retry = json!({ "attempts": 5 });
        let config = json!({ "provider": provider, "request_timeout": 200, "retry": retry });
        request(&config, "", &chat("m"))
    };
    let named = |fields: &str| post(CHAT_PATH, fields, &chat("m"));
    let (one, both) = (&[(FIRST, 504)][..], &[(FIRST, 504), (SECOND, 504)][..]);
    let within = &[("config.targets[0].targets[0]", 504), (SECOND, 504)];
    for (what, request, status, expected) in [
        ("fallback", limited(by("fallback"), 200, 60_000, ""), 504, one),
        ("own limits", limited(by("fallback"), 200, 100, ""), 504, both),
        ("race", limited(by("race"), 200, 60_000, ""), 504, both),
        ("hedge", limited(json!({ "mode": "race", "hedge_ms": 50 }), 200, 60_000, ""), 504, both),
        ("nested", request(&nested, "", &chat("m")), 504, within),
        ("a stream, nested", request(&nested, "", &stream("m")), 504, within),
        ("retries", retried("p0"), 504, &[("config", 504)]),
        // A timeout that cannot be met is reported at once.
        ("a wait for a retry", retried("p2"), 503, &[("config", 503)]),
        ("by name", named("x-portkey-config: r\r\n"), 504, one),
        ("the header", request(&fallback(2), HEADER, &chat("m")), 504, one),
        ("the smaller of both", limited(by("fallback"), 9_000, 8_000, HEADER), 504, one),
        ("no route", named(&format!("{HEADER}x-portkey-provider: p0\r\n")), 504, &[]),
    ] {
        let begun = Instant::now();
        let response = stand.gateway.send(&request);
        let took = begun.elapsed().as_millis();
        story_is(&response, expected, what);
        assert_eq!(response.status, status, "{what}");
        assert!(took < 1_500 && (took >= 195 || status == 503), "{what}: {took} ms");
    }
    // A stream that drips for ten seconds ends with an error.
    let dripping = Provider::start(|visit| {
        visit.request();
        visit.send(STREAM_HEAD.as_bytes());
        for _ in 0..200 {
            visit.send(event(&delta("drip")).as_bytes());
            thread::sleep(Duration::from_millis(50));
        }
    });
    let stand = Stand::with(route, vec![dripping, well()]);
    let begun = Instant::now();
    let request = post(CHAT_PATH, "x-ringgate-config: r\r\n", &stream("m"));
    let text = stand.gateway.send(&request).text();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(text.contains("drip") && text.contains("upstream_timeout"), "{text}");
    assert!(!text.contains("[DONE]") && stand.counts() == [1, 0], "{text}");
}

#[test]
fn nested_route_reports_target_path() {
    let stand = Stand::new(vec![failing(500, ""), well()]);
    let inner = json!({ "targets": [{ "provider": "p1" }] });
    let mut tree = fallback(2);
    tree["targets"][1] = json!({ "strategy": { "mode": "loadbalance" }, "targets": [inner] });
    let leaf = "config.targets[1].targets[0].targets[0]";
    let field = format!("x-portkey-config: {tree}\r\n");
    let response = stand.gateway.send(&post(CHAT_PATH, &field, &chat("m")));
    assert_eq!((response.status, option(&response)), (200, leaf));
    story_is(&response, &[(FIRST, 500), (leaf, 200)], "a tree");
    let names = "attempts cache-status last-used-option-index provider request-id trace-id \
                 retry-attempt-count";
    for name in names.split(' ') {
        let ours = response.field(&format!("x-ringgate-{name}"));
        assert!(ours.is_some(), "{name}");
        assert_eq!(response.field(&format!("x-portkey-{name}")), ours, "{name}");
    }
    let response = stand.send_chat(&tree);
    assert!(!response.fields.keys().any(|name| name.starts_with("x-portkey-")), "{response:?}");
}

/// Names in camelCase, whole numbers with a point, and what is empty, in a header and by name.
#[test]
fn portkey_spellings_are_accepted() {
    let camel_case = json!({
        "strategy": { "mode": "fallback", "onStatusCodes": [418.0] },
        "requestTimeout": 0, "customHost": "", "retry": { "attempts": 1.0, "onStatusCodes": [503] },
        "targets": [
            { "provider": "p0", "overrideParams": { "model": "one", "maxTokens": 7 } },
            { "provider": "p1", "requestTimeout": 9000.0, "defaultParams": { "top_p": 0.5 } },
        ],
    });
    let single =
        json!({ "strategy": { "mode": "single" }, "targets": [{ "virtualKey": "p1" }, {}] });
    let route = "[routes.r]\nstrategy = { mode = \"fallback\", onStatusCodes = [418] }\n\
                 retry = { attempts = 1, onStatusCodes = [503] }\n\
                 targets = [{ virtualKey = \"p0\", overrideParams = { model = \"one\", maxTokens = 7 } }, \
                 { provider = \"p1\", defaultParams = { top_p = 0.5 } }]\n";
    let stand = Stand::with(route, vec![failing(418, ""), well()]);
    for config in [camel_case.to_string(), "r".to_owned()] {
        let fields = format!("x-portkey-config: {config}\r\n");
        let response = stand.gateway.send(&post(CHAT_PATH, &fields, &chat("m")));
        story_is(&response, &[(FIRST, 418), (SECOND, 200)], &config);
        assert_eq!(response.field("x-portkey-warnings"), None, "{config}");
        let [first, second] = [0, 1].map(|place| stand.providers[place].last_request());
        assert!(
            first.contains(r#""model":"one""#) && first.contains(r#""maxTokens":7"#),
            "{first}"
        );
        assert!(second.contains(r#""model":"m""#) && second.contains(r#""top_p":0.5"#), "{second}");
    }
    let response = stand.send_chat(&single);
    assert_eq!((response.status, option(&response)), (200, FIRST));
    for (timeout, host, status) in [
        ("0", "", 200),
        ("9000.0", " ", 200),
        ("1.5", "", 400),
        ("-1", "", 400),
        ("", "", 200),
        ("5000", "http://other/v1", 400),
    ] {
        let fields = format!(
            "x-portkey-provider: p1\r\nx-portkey-request-timeout: {timeout}\r\n\
             x-portkey-custom-host: {host}\r\n"
        );
        let response = stand.gateway.send(&post(CHAT_PATH, &fields, &chat("m")));
        assert_eq!(response.status, status, "{timeout} {host}");
    }
}

#[test]
fn unknown_and_unsupported_names_are_reported() {
    let stand = Stand::new(vec![well()]);
    let unknown = json!({ "strategy": { "mode": "fallback", "colour": 1 }, "retyr": {},
        "targets": [{ "provider": "p0", "wieght": 1 }] });
    let field = format!("x-portkey-config: {unknown}\r\n");
    let response = stand.gateway.send(&post(CHAT_PATH, &field, &chat("m")));
    let warnings = response.field("x-ringgate-warnings").expect("warnings");
    for path in ["config.retyr", "config.strategy.colour", "config.targets[0].wieght"] {
        assert!(warnings.contains(path), "{path}: {warnings}");
    }
    assert_eq!(response.field("x-portkey-warnings"), Some(warnings));
    assert_eq!(stand.send_chat(&fallback(1)).field("x-ringgate-warnings"), None);
    let inner = |name: &str| json!({ "targets": [{ "provider": "p0", name: "x" }] });
    for (config, path) in [
        (json!({ "provider": "p0", "input_guardrails": ["g"] }), "config.input_guardrails"),
        (json!({ "provider": "p0", "prompt_id": "p" }), "config.prompt_id"),
        (inner("output_guardrails"), "config.targets[0].output_guardrails"),
        (json!({ "targets": [inner("aws_region")] }), "config.targets[0].targets[0].aws_region"),
    ] {
        let response = stand.send_chat(&config);
        assert_eq!((response.status, &*response.code()), (400, "invalid_config"), "{path}");
        assert!(response.text().contains(path), "{path}: {}", response.text());
    }
    assert_eq!(stand.counts(), [2]);
    assert_eq!(stand.send_chat(&json!({ "provider": "p0", "input_guardrails": [] })).status, 200);

    let folder = Folder::new();
    let routes = "[routes.r]\nretyr = {}\nstrategy = { mode = \"fallback\", colour = 1 }\n\
                  targets = [{ provider = \"echo\", wieght = 1 }]\n[routes.s]\n\
                  provider = \"echo\"\ninput_guardrails = [\"g\"]\n";
    let file = folder.write("bad.toml", routes);
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringgate"));
    let output = command.args(["check", "--config"]).arg(file).output().expect("the binary");
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    for path in ["r.retyr", "r.strategy.colour", "r.targets[0].wieght", "s.input_guardrails"] {
        assert!(text.contains(&format!("routes.{path}")), "{path}: {text}");
    }
}

/// The request log of a gateway, which ends.
fn log_of(gateway: &mut Gateway) -> String {
    gateway.signal("TERM");
    assert_eq!(gateway.exit_code(), Some(0));
    std::fs::read_to_string(gateway.folder.path().join("requests.jsonl")).expect("the log")
}

/// The body that a provider has received.
fn last_body(provider: &Provider) -> Value {
    let text = provider.last_request();
    let (_, body) = text.split_once("\r\n\r\n").expect("a head");
    serde_json::from_str(body).expect("JSON")
}

#[test]
fn body_edits_apply_in_order() {
    let anthropic = failing(500, "");
    let other = anthropic.section("p1", "").replace("openai-chat", "anthropic-messages");
    let stand = Stand::with(&other, vec![well()]);
    let config = |provider: &str| {
        json!({
            "default_params": { "temperature": 0.1, "max_tokens": 7, "seed": 1, "stop": ["a"] },
            "override_params": { "top_p": 0.5, "user": "route" }, "drop_params": ["seed", "user"],
            "targets": [{ "provider": provider, "default_params": { "max_tokens": 9 },
                "override_params": { "model": "large", "top_p": 0.25 },
                "drop_params": ["response_format.a.b", "tools[*].x", "messages[1].content[0].y"] }],
        })
    };
    let function = json!({ "name": "f", "parameters": { "type": "object" } });
    let tool = json!({ "type": "function", "x": 1, "function": function });
    let body = json!({
        "model": "m", "temperature": 0.7, "tools": [tool, tool], "user": "client",
        "response_format": { "type": "text", "a": { "b": 1, "c": 2 } },
        "messages": [{ "role": "user", "content": "a" },
            { "role": "user", "content": [{ "type": "text", "text": "b", "y": 1 }] }],
    });
    let response = stand.send(&config("p0"), "", &body.to_string());
    assert_eq!(response.status, 200, "{}", response.text());
    let tool = json!({ "type": "function", "function": function });
    let expected = json!({
        "model": "large", "temperature": 0.7, "tools": [tool, tool], "top_p": 0.25,
        "max_tokens": 9, "stop": ["a"], "response_format": { "type": "text", "a": { "c": 2 } },
        "messages": [{ "role": "user", "content": "a" },
            { "role": "user", "content": [{ "type": "text", "text": "b" }] }],
    });
    assert_eq!(last_body(&stand.providers[0]), expected);
    stand.send(&config("p1"), "", &body.to_string());
    let sent = last_body(&anthropic);
    let names = ["model", "temperature", "top_p", "max_tokens", "stop_sequences"];
    let values: Vec<&Value> = names.iter().map(|name| &sent[name]).collect();
    assert_eq!(json!(values), json!(["large", 0.7, 0.25, 9, ["a"]]), "{sent}");
    assert_eq!(sent["tools"].as_array().map(Vec::len), Some(2), "{sent}");
    for gone in ["seed", "client", "route", "\"x\"", "\"y\""] {
        assert!(!sent.to_string().contains(gone), "{gone}: {sent}");
    }
}

#[test]
fn config_credential_goes_to_its_provider_only() {
    const SECRET: &str = "sk-of-a-config-70ac19fe";
    let (vendor, elsewhere) = (well(), well());
    let refusing = failing(401, "");
    let mut gateway = Gateway::start(&format!(
        "[server]\ncustom_hosts = [\"{}\", \"{}\"]\n[log]\nrequests = \"requests.jsonl\"\n",
        vendor.address, refusing.address
    ));
    let target = |provider: &Provider| {
        let host = format!("http://{}/v1", provider.address);
        json!({ "provider": "openai", "api_key": SECRET, "custom_host": host })
    };
    let both = |other: &Provider, weight: i64| {
        let mut config = fallback(2);
        config["targets"] = json!([target(&refusing), target(other)]);
        config["targets"][0]["weight"] = json!(weight);
        config
    };
    for (what, config, expected) in [
        ("allowed", target(&vendor), 200),
        ("after a refusal", both(&vendor, 1), 200),
        ("refused", target(&refusing), 401),
        ("not allowed", target(&elsewhere), 400),
        ("not allowed, after a refusal", both(&elsewhere, 1), 400),
        ("something wrong", both(&vendor, -1), 400),
        ("no text", json!({ "provider": "openai", "api_key": [SECRET] }), 400),
        ("nobody", json!({ "provider": "nobody", "api_key": SECRET }), 400),
        ("another name", json!({ "provider": "openai", "api_keys": SECRET }), 400),
    ] {
        let before = vendor.request_count();
        let response = gateway.send(&request(&config, "", &chat("m")));
        let text = format!("{:?} {}", response.fields, response.text());
        assert!(response.status == expected && !text.contains(SECRET), "{what}: {text}");
        assert_eq!(vendor.request_count() - before, usize::from(expected == 200), "{what}");
    }
    let bearer = format!("authorization: Bearer {SECRET}\r\n");
    assert_eq!(vendor.last_request().matches(SECRET).count(), 1);
    assert!(vendor.last_request().contains(&bearer));
    assert_eq!(elsewhere.connections.load(Ordering::SeqCst), 0);
    for page in ["/metrics", "/targets"] {
        let (status, text) = gateway.admin_page(page);
        assert!(status == 200 && !text.contains(SECRET), "{page}: {text}");
    }
    let log = log_of(&mut gateway);
    assert!(log.lines().count() == 9 && !log.contains(SECRET), "{log}");
    assert!(!gateway.has_printed(SECRET));
}

/// What the admin API tells of a provider's target.
fn known(gateway: &Gateway, provider: &str) -> Value {
    let (_, page) = gateway.admin_page("/targets");
    let page: Value = serde_json::from_str(&page).expect("JSON");
    let list = page["targets"].as_array().expect("a list");
    list.iter().find(|it| it["provider"] == provider).cloned().unwrap_or_default()
}

#[test]
fn admin_api_reports_target_health() {
    let route = "[routes.r]\ntargets = [{ provider = \"p0\" }, { provider = \"p1\" }, \
                 { provider = \"p2\", override_params = { model = \"n\" } }, \
                 { provider = \"p3\" }]\n[routes.r.strategy]\nmode = \"fallback\"\n\
                 cb_config = { failure_threshold = 3, cooldown_interval = 2500 }\n";
    let limited = failing(429, "retry-after: 20\r\n");
    let stand = Stand::with(route, vec![failing(500, ""), failing(401, ""), limited, well()]);
    let gateway = &stand.gateway;
    let before = known(gateway, "p0");
    assert_eq!((&before["breaker"], &before["last_status"]), (&json!("closed"), &Value::Null));
    for _ in 0..4 {
        gateway.send(&post(CHAT_PATH, "x-ringgate-config: r\r\n", &chat("m")));
    }
    gateway.expect_metric("ringgate_requests_in_flight", &[], 0.0);
    for (provider, expected) in [
        ("p0", json!([null, "open", null, 3, 3, 500, 0, false])),
        ("p1", json!([null, "closed", "credential_or_model_refused", 1, 1, 401, 0, false])),
        ("p2", json!(["n", "closed", "rate_limited", 1, 1, 429, 0, false])),
        ("p3", json!([null, "closed", null, 4, 0, 200, 0, false])),
    ] {
        let it = known(gateway, provider);
        let names = "model breaker benched attempts failures last_status in_flight inline";
        let values: Vec<&Value> = names.split(' ').map(|name| &it[name]).collect();
        assert_eq!(json!(values), expected, "{it}");
        let wait = it["benched_ms"].as_u64();
        assert_eq!(wait.is_some(), expected[2].is_string(), "{it}");
        assert!(wait.is_none_or(|wait| (10_000..=30_000).contains(&wait)), "{it}");
    }
    eventually("half open", || known(gateway, "p0")["breaker"] == "half_open");
}

#[test]
fn unhealthy_provider_is_skipped() {
    let health = Arc::new(AtomicU16::new(200));
    let current = Arc::clone(&health);
    let checked = Provider::start(move |visit| {
        while let Some(request) = visit.request() {
            let is_check = request.starts_with("GET /v1/health ");
            let status = if is_check { current.load(Ordering::SeqCst) } else { 200 };
            visit.send(json_answer(&format!("{status} Told"), "", CHAT_ANSWER).as_bytes());
        }
    });
    let other = well();
    let checks = "check_path = \"/health\"\ncheck_interval_ms = 200\n";
    let route = "[server]\nshards = 2\n[routes.r]\nstrategy = { mode = \"fallback\" }\n\
                 targets = [{ provider = \"p0\" }, { provider = \"p1\" }]\n";
    let sections = [route, &checked.section("p0", checks), &other.section("p1", "")].concat();
    let gateway = Gateway::start(&sections);
    let send_chat = || gateway.send(&post(CHAT_PATH, "x-ringgate-config: r\r\n", &chat("m")));
    eventually("it is well", || option(&send_chat()) == FIRST);
    for status in [503, 404] {
        health.store(status, Ordering::SeqCst);
        eventually("it is passed over", || option(&send_chat()) == SECOND);
        for _ in 0..10 {
            story_is(&send_chat(), &[(SECOND, 200)], "not well");
        }
        let it = known(&gateway, "p0");
        assert_eq!((&it["benched"], &it["breaker"]), (&json!("check_failed"), &json!("closed")));
        health.store(200, Ordering::SeqCst);
        eventually("it is asked again", || option(&send_chat()) == FIRST);
    }
    assert!(gateway.metric("ringgate_check_errors_total", &[]) >= 2.0);
    gateway.expect_metric("ringgate_requests_total", &["endpoint=\"pass_through\""], 0.0);
}

#[test]
fn request_log_lists_attempts() {
    const LOG: &str = "[log]\nrequests = \"requests.jsonl\"\n";
    let failing = failing(503, "retry-after-ms: 1\r\n");
    let mut stand = Stand::with(LOG, vec![failing, well(), silent()]);
    let mut retried = fallback(2);
    retried["retry"] = json!({ "attempts": 1 });
    let by = |mode: &str, first: &str, second: &str| {
        let targets = json!([{ "provider": first }, { "provider": second }]);
        request(&json!({ "strategy": { "mode": mode }, "targets": targets }), "", &chat("m"))
    };
    let requests = [
        request(&retried, "", &chat("m")),
        by("race", "p2", "p1"),
        post(CHAT_PATH, "x-ringgate-provider: p1\r\n", &chat("m")),
        by("mirror", "p1", "p0"),
    ];
    let responses: Vec<Response> = requests.iter().map(|it| stand.gateway.send(it)).collect();
    stand.gateway.expect_metric("ringgate_requests_total", &["mirror"], 1.0);
    let text = log_of(&mut stand.gateway);
    let lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let lines: Vec<Value> = lines.collect();
    let line_of = |response: &Response| {
        let id = response.field("x-ringgate-request-id").expect("an id");
        lines.iter().find(|line| line["id"] == id).cloned().expect("its line")
    };
    for (response, attempts, expected) in [
        (&responses[0], 3, json!([[FIRST, "p0", 503], [FIRST, "p0", 503], [SECOND, "p1", 200]])),
        (&responses[1], 2, json!([[FIRST, "p2", 0], [SECOND, "p1", 200]])),
        (&responses[2], 1, json!([])),
        (&responses[3], 1, json!([[FIRST, "p1", 200]])),
    ] {
        let line = line_of(response);
        assert_eq!((response.status, &line["attempts"]), (200, &json!(attempts)), "{line}");
        let tried = line["tried"].as_array().cloned().unwrap_or_default();
        let values: Vec<Value> =
            tried.iter().map(|it| json!([it["target"], it["provider"], it["status"]])).collect();
        assert_eq!(json!(values), expected, "{line}");
        assert!(tried.iter().all(|it| it["ms"].is_number() && it["model"] == "m"), "{line}");
    }
    let copy = lines.iter().find(|line| line["endpoint"] == "mirror").expect("the copy's line");
    assert_eq!(copy["copy_of"], line_of(&responses[3])["id"], "{copy}");
    assert_eq!((&copy["provider"], &copy["status"]), (&json!("p0"), &json!(503)), "{copy}");
}

#[test]
fn request_log_reports_connection_reuse() {
    const LOG: &str = "[log]\nrequests = \"requests.jsonl\"\n";
    let mut stand = Stand::with(LOG, vec![well(), well()]);
    let single = json!({ "provider": "p0" });
    let retried = json!({ "provider": "p0", "retry": { "attempts": 1 } });
    for config in [&single, &single, &retried, &fallback(2)] {
        assert_eq!(stand.send_chat(config).status, 200);
    }
    let log = log_of(&mut stand.gateway);
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let values: Vec<Value> =
        lines.map(|line| json!([line["reused_connection"], line["attempts"]])).collect();
    let expected = json!([[false, 1], [true, 1], [true, 1], [true, 1]]);
    assert_eq!(json!(values), expected, "{log}");
}

#[test]
fn request_log_contains_cause_of_failed_call() {
    const LOG: &str = "[log]\nrequests = \"requests.jsonl\"\n";
    let cut = Provider::start(|visit| {
        visit.request();
        visit.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\nx\r\n\r\n");
    });
    let mut stand = Stand::with(LOG, vec![dead(), well(), cut]);
    let single = |name: &str| json!({ "provider": name });
    assert_eq!(stand.send_chat(&fallback(2)).status, 200);
    for (name, status) in [("p0", 502), ("p1", 200), ("p2", 502)] {
        let response = stand.send_chat(&single(name));
        assert_eq!(response.status, status, "{name}");
        assert!(!response.text().contains("os error"), "{}", response.text());
    }
    let log = log_of(&mut stand.gateway);
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let refused = json!("Connection refused (os error 111)");
    assert_eq!((&lines[0]["cause"], &lines[0]["tried"][0]["cause"]), (&Value::Null, &refused));
    assert_eq!(lines[0]["tried"][1]["cause"], Value::Null);
    assert_eq!((&lines[1]["cause"], &lines[2]["cause"]), (&refused, &Value::Null));
    assert!(lines[3]["cause"].is_string(), "{log}");
}
