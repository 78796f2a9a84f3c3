//! Expensive configs in request headers: memory, time and provider calls of one request stay within
//! a hundred times of the client's bytes, and each limit is reported.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::endpoints::{peak, resident};
use crate::harness::{Gateway, Provider, chat, eventually};
use crate::routing::{CHAT_PATH, Stand, failing, option, request, silent, well};

/// What the slowest request may take in a debug build on a busy machine. Before there were bounds, these
/// took ten times as long in a release build.
const SLOW: Duration = Duration::from_secs(8);

fn group(mode: &str, targets: Vec<Value>) -> Value {
    json!({ "strategy": { "mode": mode }, "targets": targets })
}

fn leaves(count: usize) -> Vec<Value> {
    vec![json!({ "provider": "p0" }); count]
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|at| format!("{prefix}{at}")).collect()
}

/// A chat of about `bytes`, most of it many small lists and objects in the member `x`.
fn long_chat(bytes: usize) -> String {
    let item = r#"{"a":[0,{"b":1}],"c":[]},"#;
    let list = item.repeat(bytes / item.len());
    chat("m").replacen('{', &format!("{{\"x\":[{list}0],"), 1)
}

/// Configs that are as large as can be when all that targets inherit is copied, by what is inherited.
fn inheriting(number: usize) -> Vec<(&'static str, Value)> {
    let nested = |what: &str, list: Value, own: Value| {
        let mut leaf = json!({ "provider": "p0" });
        leaf[what] = own;
        let mut config = group("fallback", vec![group("fallback", vec![leaf; 60])]);
        config[what] = list;
        config["override_params"]["user"] = json!(format!("user-{number}"));
        config
    };
    let long = |prefix: &str, count: usize| names(&format!("{prefix}{}", "y".repeat(100)), count);
    let params: Value = long("p", 120).into_iter().map(|name| (name, json!(1))).collect();
    let statuses: Vec<u16> = (0..4_000).map(|at| 400 + at % 200).collect();
    let conditional = json!({ "strategy": { "mode": "conditional", "default": "d", "conditions": [
        { "query": { "model": { "$in": vec![7; 1_000] } }, "then": "d" },
        { "query": { "model": { "$regex": "(a|b)*a(a|b){200}c" } }, "then": "d" },
    ] }, "override_params": { "user": format!("user-{number}") },
        "targets": [{ "name": "d", "provider": "p0" }, { "name": "e", "provider": "p0" }] });
    vec![
        ("drop_params", nested("drop_params", json!(long("d", 120)), json!(["own"]))),
        ("default_params", nested("default_params", params.clone(), json!({ "own": 1 }))),
        ("forward_headers", nested("forward_headers", json!(long("h", 60)), json!([]))),
        ("retry", nested("retry", json!({ "on_status_codes": statuses }), Value::Null)),
        ("conditions", conditional),
    ]
}

#[test]
fn inline_config_memory_is_bounded() {
    const CONFIGS: usize = 60;
    let stand = Stand::new(vec![well()]);
    let pid = stand.gateway.pid();
    let mut client = stand.gateway.connect();
    let mut send = |config: &Value| {
        let text = request(config, "", &chat("m"));
        client.send(text.as_bytes());
        let response = client.response();
        assert_eq!(response.status, 200, "{}", response.text());
        text.len()
    };
    for (what, config) in inheriting(usize::MAX) {
        assert!(config.to_string().len() > 2_000, "{what}");
        send(&config);
    }
    let before = resident(pid);
    let mut sent = 0;
    for number in 0..CONFIGS {
        sent += inheriting(number).iter().map(|(_, config)| send(config)).sum::<usize>();
    }
    let grown = resident(pid).saturating_sub(before) * 1024;
    // The table holds 32 MiB of configs, whatever their number.
    assert!(grown < 64 * 1024 * 1024, "{grown} bytes for {sent} that were sent");
    assert!(grown < 20 * sent as u64, "{grown} bytes for {sent} that were sent");
}

#[test]
fn config_limit_errors_name_the_limit() {
    let stand = Stand::new(vec![well()]);
    let deep = |levels: usize| (0..levels).fold(json!({}), |inner, _| json!({"targets": [inner]}));
    let conditional = |queries: Vec<Value>| {
        let conditions: Vec<Value> =
            queries.iter().map(|query| json!({ "query": query, "then": "d" })).collect();
        json!({ "strategy": { "mode": "conditional", "conditions": conditions },
            "targets": [{ "name": "d", "provider": "p0" }] })
    };
    let patterns = |pattern: &str, count: usize| {
        conditional(vec![json!({ "model": { "$regex": pattern } }); count])
    };
    let params = |count: usize| -> Value {
        names("p", count).into_iter().map(|name| (name, json!(1))).collect()
    };
    let fields: Vec<Value> =
        names("params.f", 65).into_iter().map(|name| json!({ name: 1 })).collect();
    for (config, expected) in [
        (json!({ "override_params": { "a": "y".repeat(24 * 1024) } }), "at most 24576 bytes"),
        (group("fallback", vec![group("fallback", leaves(33)); 2]), "at most 64 targets in all"),
        (group("fallback", leaves(65)), "at most 64 targets"),
        (deep(17), "at most 16 groups inside one another"),
        (json!({ "drop_params": names("d", 129) }), "at most 128 different paths"),
        (json!({ "drop_params": [names("d", 17).join(".")] }), "at most 16 steps"),
        (json!({ "override_params": params(257) }), "at most 256 members of `override_params`"),
        (json!({ "forward_headers": names("h", 65) }), "at most 64 names"),
        (json!({ "custom_host": "h".repeat(513) }), "at most 512 bytes"),
        (group("race", leaves(17)), "at most 16 provider calls at a time"),
        (group("race", vec![group("race", leaves(5)); 4]), "at most 16 provider calls at a time"),
        (group("mirror", leaves(17)), "at most 16 provider calls at a time"),
        (conditional(vec![json!({ "model": "a" }); 257]), "at most 256 tests"),
        (patterns("a", 17), "at most 16 `$regex`"),
        (patterns("(a|b)*a(a|b){500}c", 16), "a shorter regular expression"),
        (conditional(fields), "64 different fields at most"),
        (conditional(vec![json!({ "model": { "$in": vec![1; 1025] } })]), "at most 1024 values"),
    ] {
        let begun = Instant::now();
        let response = stand.send_chat(&config);
        let text = response.text();
        assert_eq!((response.status, &*response.code()), (400, "invalid_config"), "{text}");
        assert!(text.contains(expected), "{expected}: {text}");
        assert!(begun.elapsed() < SLOW, "{expected}: {:?}", begun.elapsed());
    }
    assert_eq!(stand.counts(), [0], "none of them reaches a provider");
    // A config of the most bytes fits into a head.
    let mut longest = json!({ "provider": "p0", "override_params": { "a": "" } });
    let room = 24 * 1024 - longest.to_string().len();
    longest["override_params"]["a"] = json!("y".repeat(room));
    assert_eq!(longest.to_string().len(), 24 * 1024);
    assert_eq!(stand.send_chat(&longest).status, 200);
}

#[test]
fn config_limits_are_documented() {
    let page = include_str!("../docs/routing.md");
    for bound in [
        "24 KiB",
        "64 targets",
        "16 groups",
        "16 provider calls",
        "128 different paths",
        "256 members",
        "256 tests",
        "16 `$regex`",
        "64 different fields",
        "64 attempts",
        "64 names",
        "512 bytes",
        "32 MiB",
    ] {
        assert!(page.contains(bound), "{bound}");
    }
}

#[test]
fn nested_races_share_one_body() {
    const BODY_BYTES: usize = 3 * 1024 * 1024;
    let stand = Stand::new(vec![silent()]);
    let text = format!("\"content\":\"{}", "y".repeat(BODY_BYTES));
    let body = chat("m").replacen("\"content\":\"", &text, 1);
    assert!(body.len() > BODY_BYTES);
    let pid = stand.gateway.pid();
    let before = resident(pid) * 1024;
    let config = group("race", vec![group("race", leaves(4)); 4]);
    let mut client = stand.gateway.connect();
    client.send(request(&config, "", &body).as_bytes());
    eventually("all lanes ask", || stand.counts() == [16]);
    let whole = stand.providers[0].last_request();
    assert!(whole.ends_with(&body), "the body arrives as it was sent");
    // The body, what the scanner needs, and what is on its way into sockets; not sixteen bodies.
    let grown = (peak(pid) * 1024).saturating_sub(before);
    assert!(grown < 8 * BODY_BYTES as u64, "{grown} bytes at the most");
    drop(client);
    stand.gateway.expect_metric("ringgate_buffered_bytes", &[], 0.0);
    assert_eq!(stand.counts(), [16]);
}

#[test]
fn large_body_arrives_complete_at_all_attempts() {
    let body = long_chat(300 * 1024);
    let stand = Stand::new(vec![failing(500, ""), well()]);
    let targets = vec![
        json!({ "provider": "p0" }),
        json!({ "provider": "p0", "override_params": { "seed": 1 } }),
        json!({ "provider": "p1" }),
    ];
    let response = stand.send(&group("fallback", targets), "", &body);
    assert_eq!((response.status, option(&response)), (200, "config.targets[2]"));
    let first = stand.providers[0].last_request();
    assert!(first.ends_with(&format!("{},\"seed\":1}}", &body[..body.len() - 1])));
    assert!(stand.providers[1].last_request().ends_with(&body));
    assert_eq!(stand.counts(), [2, 1]);
}

#[test]
fn edited_bodies_count_as_buffered() {
    let settings = "[server]\nbody_bytes_max = 1048576\nanswer_bytes_max = 1048576\n\
                    buffered_bytes_max = 1572864\n";
    let stand = Stand::with(settings, vec![well()]);
    let body = long_chat(1_000_000);
    let edits = json!({ "provider": "p0", "override_params": { "seed": 1 } });
    for (config, status) in [(json!({ "provider": "p0" }), 200), (edits, 503)] {
        let response = stand.send(&config, "", &body);
        assert_eq!(response.status, status, "{config}: {}", response.text());
        stand.gateway.expect_metric("ringgate_buffered_bytes", &[], 0.0);
    }
    assert_eq!(stand.send(&json!({ "provider": "p0" }), "", &body).status, 200);
}

#[test]
fn attempts_per_request_are_limited_to_64() {
    let targets = |first: usize| -> Vec<String> {
        let one = |at: usize| {
            format!("{{ provider = \"p0\", override_params = {{ model = \"m{at}\" }} }}")
        };
        (first..first + 50).map(one).collect()
    };
    let groups: Vec<String> = [0, 50]
        .iter()
        .map(|first| {
            let targets = targets(*first).join(", ");
            format!("{{ strategy = {{ mode = \"fallback\" }}, targets = [{targets}] }}")
        })
        .collect();
    let route = format!(
        "[routes.all]\nstrategy = {{ mode = \"fallback\" }}\ntargets = [{}]\n",
        groups.join(", ")
    );
    let provider = failing(500, "");
    let gateway = Gateway::start(&format!("{route}{}", provider.section("p0", "")));
    let request = crate::harness::post(CHAT_PATH, "x-ringgate-config: all\r\n", &chat("m"));
    let response = gateway.send(&request);
    assert_eq!(response.status, 500, "{}", response.text());
    assert_eq!(provider.request_count(), 64);
}

fn status_within_limit(gateway: &Gateway, what: &str, config: &Value, body: &str) -> u16 {
    let begun = Instant::now();
    let status = gateway.send(&request(config, "", body)).status;
    assert!(begun.elapsed() < SLOW, "{what}: {:?}", begun.elapsed());
    status
}

#[test]
fn edits_and_conditions_scan_body_once() {
    let provider: Provider = well();
    let stand = Stand::new(vec![provider]);
    let body = long_chat(1_300_000);
    // Paths that match the same places, as far as they go.
    let wildcards: Vec<String> = (0..128_usize)
        .map(|at| {
            let step = |bit: usize| if at >> bit & 1 == 0 { "[*]" } else { "[1]" };
            format!("x{}.a{}.b.z{}", step(0), step(1), at / 4)
        })
        .collect();
    let params: Value = names("p", 256).into_iter().map(|name| (name, json!(1))).collect();
    let looks: Vec<Value> = (0..64)
        .map(|at| json!({ "query": { format!("params.o.f{at}.g"): 1 }, "then": "d" }))
        .collect();
    let looks = json!({ "strategy": { "mode": "conditional", "conditions": looks, "default": "d" },
        "targets": [{ "name": "d", "provider": "p0" }, { "name": "e", "provider": "p0" }] });
    let object = body.replacen("\"x\":[", "\"o\":{\"f63\":{\"g\":2,\"l\":[", 1);
    let object = object.replacen(",0],", ",0]}},", 1);
    assert_eq!(serde_json::from_str::<Value>(&object).expect("JSON")["o"]["f63"]["g"], 2);
    let cheapest = json!({ "strategy": { "mode": "cheapest" }, "targets": vec![
        json!({ "provider": "p0", "override_params": { "model": "gpt-4o" } }); 64] });
    let format = body.replacen("\"x\":", "\"response_format\":", 1);
    for (what, config, body, status) in [
        ("900 paths", json!({ "provider": "p0", "drop_params": names("x[*].a", 900) }), &body, 400),
        ("wildcards", json!({ "provider": "p0", "drop_params": wildcards }), &body, 200),
        ("overrides", json!({ "provider": "p0", "override_params": params }), &body, 200),
        ("conditions", looks, &object, 200),
        ("abilities", cheapest, &format, 200),
    ] {
        assert_eq!(status_within_limit(&stand.gateway, what, &config, body), status, "{what}");
    }
    let dropped = json!({ "provider": "p0", "drop_params": ["x[*].a", "x[*].c", "x[0]"] });
    assert_eq!(status_within_limit(&stand.gateway, "drops", &dropped, &body), 200);
    let last = stand.providers[0].last_request();
    let sent: Value =
        serde_json::from_str(last.split_once("\r\n\r\n").expect("a body").1).expect("JSON");
    let left = sent["x"].as_array().expect("a list");
    let original: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(left.len() + 1, original["x"].as_array().expect("a list").len());
    assert!(left.iter().all(|item| *item == json!({}) || *item == json!(0)));
}
