//! The semantic cache with the real model: questions of the same meaning share an answer, others never.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::{Client, Folder, Gateway, Provider, Response, eventually, post};

const PATH: &str = "/v1/chat/completions";
const SEMANTIC: &str = "x-ringgate-config: {\"cache\":{\"mode\":\"semantic\"}}\r\n";

/// Three wordings of one question.
const POTHOLE: [&str; 3] =
    ["How do I report a pothole?", "How can I report a pothole?", "How do I report potholes?"];

/// Where the model is; none, loudly, where it has not been fetched.
fn model_dir() -> Option<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/all-minilm-l6-v2");
    let is_there = dir.join("model.safetensors").exists();
    if !is_there {
        eprintln!("SKIPPED: no model in {}; `ringgate models fetch` brings it", dir.display());
    }
    is_there.then_some(dir)
}

/// An answer that says which request it is of, and repeats the question.
fn provider() -> Provider {
    answering(|text| format!("about {text:?}"))
}

/// Answers the last message with what `answer` makes of it.
fn answering(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Provider {
    Provider::start(move |visit| {
        while let Some(request) = visit.request() {
            let body: Value =
                serde_json::from_str(request.split("\r\n\r\n").nth(1).expect("a body"))
                    .expect("JSON");
            let text = body["messages"].as_array().and_then(|it| it.last()).expect("a message");
            let content = answer(text["content"].as_str().unwrap_or_default());
            let answer = json!({
                "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
                "choices": [{
                    "index": 0,
                    "message": {"role": "assistant", "content": content},
                    "finish_reason": "stop",
                }],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            });
            visit.send(crate::harness::json_answer("200 OK", "", &answer.to_string()).as_bytes());
        }
    })
}

/// A gateway whose semantic tier is ready. Debug builds embed slowly, so there is time.
fn gateway(provider: &Provider, more: &str, tier: &str) -> Option<Gateway> {
    let dir = model_dir()?;
    let settings = format!(
        "{more}\n[semantic_cache]\nmodel_dir = \"{}\"\ntimeout_ms = 10000\n{tier}\n\
         [routes.shadowed]\nprovider = \"p\"\ncache = {{ mode = \"semantic\", shadow = true }}\n{}",
        dir.display(),
        provider.section("p", "")
    );
    let gateway = Gateway::start(&settings);
    eventually("the model is open", || stats(&gateway)["semantic"] == "on");
    Some(gateway)
}

fn stats(gateway: &Gateway) -> Value {
    serde_json::from_str(&gateway.admin_page("/cache/stats").1).expect("JSON")
}

fn status(response: &Response) -> &str {
    response.field("x-ringgate-cache-status").expect("a cache status")
}

fn messages(text: &str) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": text}]})
}

fn send(gateway: &Gateway, body: &Value) -> Response {
    gateway.send(&post(PATH, SEMANTIC, &body.to_string()))
}

/// Asks, and waits until the answer can be found by meaning.
fn teach(gateway: &Gateway, body: &Value) {
    let before = stats(gateway)["questions"].as_u64();
    assert_eq!(status(&send(gateway, body)), "SEMANTIC MISS");
    eventually("it is in the index", || stats(gateway)["questions"].as_u64() > before);
}

#[test]
fn paraphrased_question_is_a_semantic_hit() {
    let provider = provider();
    let Some(gateway) = gateway(&provider, "", "") else { return };
    teach(&gateway, &messages(POTHOLE[0]));
    for text in &POTHOLE[1..] {
        let again = send(&gateway, &messages(text));
        assert_eq!(status(&again), "SEMANTIC HIT", "{text}");
        let similarity = again.field("x-ringgate-cache-similarity").expect("a similarity");
        assert!(similarity.parse::<f32>().expect("a number") > 0.8, "{similarity}");
        let content = &again.json()["choices"][0]["message"]["content"];
        assert_eq!(content, "about \"How do I report a pothole?\"");
    }
    let normal = send(&gateway, &messages("Hi, how do I report a pothole?  Thanks!"));
    assert_eq!(status(&normal), "HIT", "the same by rule");
    assert_eq!(normal.field("x-ringgate-cache-similarity"), None);
    let mut streamed = messages(POTHOLE[1]);
    streamed["stream"] = json!(true);
    let events = send(&gateway, &streamed);
    assert_eq!(status(&events), "SEMANTIC HIT");
    assert!(events.text().ends_with("data: [DONE]\n\n"), "{}", events.text());
    assert_eq!(provider.request_count(), 1);
    let metrics = gateway.admin_page("/metrics").1;
    for line in [
        "ringgate_cache_semantic_hits_total 3",
        "ringgate_cache_normalised_hits_total 1",
        "ringgate_cache_semantic_misses_total 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[test]
fn similar_question_with_other_answer_is_a_miss() {
    let provider = provider();
    let Some(gateway) = gateway(&provider, "", "") else { return };
    teach(&gateway, &messages("How do I turn on the heating on Monday?"));
    for text in [
        "How do I turn off the heating on Monday?",
        "How do I turn on the heating on Friday?",
        "How do I not turn on the heating on Monday?",
        "How do I turn on the cooling on Monday?",
        "What is the capital of Australia?",
    ] {
        let other = send(&gateway, &messages(text));
        assert_eq!(status(&other), "SEMANTIC MISS", "{text}");
        assert!(other.field("x-ringgate-cache-similarity").is_some());
    }
}

#[test]
fn function_words_signs_and_quotes_distinguish_questions() {
    let provider = provider();
    let Some(gateway) = gateway(&provider, "", "") else { return };
    for (one, other) in [
        ("Which firm sued Oracle?", "Which firm did Oracle sue?"),
        ("Are all cats predators?", "Are all predators cats?"),
        ("What is 12 divided by 3?", "What is 3 divided by 12?"),
        ("Should nurses wear masks?", "May nurses wear masks?"),
        ("Only members may vote", "Members may only vote"),
        ("Select users where age > 18", "Select users where age < 18"),
        ("The shop is closed.", "The shop is closed?"),
        ("How many blanks: x   y", "How many blanks: x y"),
        ("Convert to snake case: myVar", "Convert to snake case: myvar"),
    ] {
        teach(&gateway, &messages(one));
        assert_eq!(status(&send(&gateway, &messages(other))), "SEMANTIC MISS", "{other}");
    }
    teach(&gateway, &messages("How do I calibrate my thermometer at home?"));
    let misspelled = send(&gateway, &messages("How do I calibrate my thermomter at home?"));
    assert_eq!(status(&misspelled), "SEMANTIC HIT");
}

#[test]
fn other_languages_use_exact_match_only() {
    let provider = provider();
    let Some(gateway) = gateway(&provider, "", "") else { return };
    for (text, near) in [
        ("Wie schalte ich das Licht ein?", "Wie schalte ich das Licht aus?"),
        ("怎么开灯？", "怎么关灯？"),
    ] {
        assert_eq!(status(&send(&gateway, &messages(text))), "MISS", "{text}");
        assert_eq!(status(&send(&gateway, &messages(near))), "MISS", "{near}");
        assert_eq!(status(&send(&gateway, &messages(text))), "HIT", "{text}");
    }
    assert_eq!(stats(&gateway)["questions"], 0);
}

#[test]
fn standalone_turn_matches_without_history_if_enabled() {
    let provider = provider();
    let Some(gateway) = gateway(&provider, "", "") else { return };
    let standalone =
        "x-ringgate-config: {\"cache\":{\"mode\":\"semantic\",\"standalone_turns\":true}}\r\n";
    let after = |system: &str, before: &str, text: &str| {
        json!({"model": "m", "messages": [
            {"role": "system", "content": system},
            {"role": "user", "content": before}, {"role": "assistant", "content": "Sure."},
            {"role": "user", "content": text},
        ]})
    };
    let send = |headers: &str, body: &Value| {
        status(&gateway.send(&post(PATH, headers, &body.to_string()))).to_owned()
    };
    let question = "What is the notice period for tenants in Scotland?";
    let reworded = "What's the notice period for tenants in Scotland?";
    let before = stats(&gateway)["questions"].as_u64();
    assert_eq!(send(standalone, &after("Be kind.", "Hello", question)), "SEMANTIC MISS");
    eventually("it is in the index", || stats(&gateway)["questions"].as_u64() > before);
    assert_eq!(send(standalone, &after("Be kind.", "Good day", reworded)), "SEMANTIC HIT");
    assert_eq!(send(standalone, &after("Be brief.", "Good day", reworded)), "SEMANTIC MISS");
    assert_eq!(send(SEMANTIC, &after("Be kind.", "Good day", reworded)), "SEMANTIC MISS");
    let hanging = "What is the notice period for them in Scotland?";
    assert_eq!(send(standalone, &after("Be kind.", "Tenants", hanging)), "SEMANTIC MISS");
    assert_eq!(send(standalone, &after("Be kind.", "Landlords", hanging)), "SEMANTIC MISS");
}

#[test]
fn semantic_match_stays_within_partition() {
    let provider = provider();
    let Some(gateway) = gateway(&provider, "", "") else { return };
    let system = |system: &str, text: &str| {
        json!({"model": "m", "messages": [
            {"role": "system", "content": system}, {"role": "user", "content": text},
        ]})
    };
    teach(&gateway, &system("Be kind.", POTHOLE[0]));
    assert_eq!(status(&send(&gateway, &system("Be kind.", POTHOLE[1]))), "SEMANTIC HIT");
    let mut others = vec![system("Be kind!", POTHOLE[1]), messages(POTHOLE[1])];
    for (name, value) in [
        ("model", json!("n")),
        ("temperature", json!(0.5)),
        ("max_tokens", json!(5)),
        ("response_format", json!({"type": "json_object"})),
        ("seed", json!(1)),
        ("x_unknown", json!(1)),
    ] {
        let mut other = system("Be kind.", POTHOLE[1]);
        other[name] = value;
        others.push(other);
    }
    let mut history = system("Be kind.", POTHOLE[1]);
    let turns = history["messages"].as_array_mut().expect("messages");
    turns.insert(1, json!({"role": "user", "content": "Hello"}));
    turns.insert(2, json!({"role": "assistant", "content": "Hello!"}));
    others.push(history);
    for other in &others {
        let answer = send(&gateway, other);
        assert_eq!(status(&answer), "SEMANTIC MISS", "{other}");
    }
    for field in [
        "x-ringgate-cache-namespace: n\r\n",
        "anthropic-beta: x\r\n",
        "authorization: Bearer o\r\n",
    ] {
        let body = system("Be kind.", POTHOLE[2]).to_string();
        let answer = gateway.send(&post(PATH, &format!("{SEMANTIC}{field}"), &body));
        assert_eq!(status(&answer), "SEMANTIC MISS", "{field}");
    }
}

#[test]
fn unsuitable_requests_use_exact_match_only() {
    let provider = provider();
    let Some(gateway) = gateway(&provider, "", "") else { return };
    let mut bodies = vec![
        messages(&"words and words ".repeat(60)),
        messages(&"x".repeat(1_000_000)),
        messages("bell \u{7} and \u{1b}[2J"),
        messages("12345"),
        messages(&"x1 y2 ".repeat(60)),
    ];
    for (name, value) in [("tools", json!([{"type": "function"}])), ("n", json!(2))] {
        let mut body = messages(POTHOLE[0]);
        body[name] = value;
        bodies.push(body);
    }
    for body in &bodies {
        let named: String = body.to_string().chars().take(60).collect();
        assert_eq!(status(&send(&gateway, body)), "MISS", "{named}");
        assert_eq!(status(&send(&gateway, body)), "HIT", "{named}");
    }
    assert_eq!(stats(&gateway)["questions"], 0);
}

#[test]
fn force_refresh_evicts_semantic_match() {
    let provider = provider();
    let Some(gateway) = gateway(&provider, "", "") else { return };
    teach(&gateway, &messages(POTHOLE[0]));
    let refresh = format!("{SEMANTIC}x-ringgate-cache-force-refresh: true\r\n");
    let fresh = gateway.send(&post(PATH, &refresh, &messages(POTHOLE[1]).to_string()));
    assert_eq!(status(&fresh), "REFRESH");
    eventually("the new one is found", || {
        let answer = send(&gateway, &messages(POTHOLE[2]));
        answer.json()["choices"][0]["message"]["content"] == "about \"How can I report a pothole?\""
    });
}

#[test]
fn missing_model_disables_semantic_cache_with_message() {
    let provider = provider();
    let settings =
        format!("[semantic_cache]\nmodel_dir = \"/nowhere\"\n{}", provider.section("p", ""));
    let gateway = Gateway::start(&settings);
    for expected in ["MISS", "HIT"] {
        assert_eq!(status(&send(&gateway, &messages(POTHOLE[0]))), expected);
    }
    eventually("it says so", || gateway.has_printed("semantic cache is off"));
    assert_eq!(stats(&gateway)["semantic"], "off");
}

#[test]
fn reload_with_a_semantic_route_opens_the_model() {
    let provider = provider();
    let settings =
        format!("[semantic_cache]\nmodel_dir = \"/nowhere\"\n{}", provider.section("p", ""));
    let gateway = Gateway::start(&settings);
    let file = gateway.folder.path().join("ringgate.toml");
    let reload = |more: &str| {
        std::fs::write(&file, format!("{settings}{more}")).expect("the file");
        gateway.signal("HUP");
    };
    reload("[routes.r]\nprovider = \"p\"\ncache = { mode = \"simple\" }\n");
    eventually("the first reload", || gateway.has_printed("changed: routes"));
    assert!(!gateway.has_printed("semantic cache is off"));
    reload("[routes.r]\nprovider = \"p\"\ncache = { mode = \"semantic\" }\n");
    eventually("it is looked for", || gateway.has_printed("semantic cache is off"));
}

#[test]
fn negative_feedback_blocks_the_pair() {
    let provider = provider();
    let Some(gateway) = gateway(&provider, "", "") else { return };
    teach(&gateway, &messages(POTHOLE[0]));
    let feedback = |body: &Value| gateway.send(&post("/v1/feedback", "", &body.to_string()));
    let traced = format!("{SEMANTIC}x-ringgate-trace-id: trace-7\r\n");
    let send_traced = || gateway.send(&post(PATH, &traced, &messages(POTHOLE[1]).to_string()));
    assert_eq!(status(&send_traced()), "SEMANTIC HIT");
    for (body, evicted) in [
        (json!({"trace_id": "another", "value": -10}), 0),
        (json!({"trace_id": "trace-7", "value": 5, "weight": 0.5, "metadata": {"a": "b"}}), 0),
        (json!({"trace_id": "trace-7", "value": -5}), 1),
        (json!({"trace_id": "trace-7", "value": -5}), 0),
    ] {
        let answer = feedback(&body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json();
        assert_eq!((&answer["status"], &answer["evicted"]), (&json!("success"), &json!(evicted)));
        assert!(answer["feedback_ids"][0].is_string());
    }
    assert_eq!(status(&send_traced()), "SEMANTIC MISS", "evicted");
    assert_eq!(status(&send(&gateway, &messages(POTHOLE[0]))), "SEMANTIC MISS", "and parted");
    for bad in [
        json!({"value": 1}),
        json!({"trace_id": "t"}),
        json!({"trace_id": "t", "value": 11}),
        json!({"trace_id": "t", "value": 0.5}),
        json!({"trace_id": "", "value": 1}),
        json!({"trace_id": "t", "value": 1, "weight": 2}),
    ] {
        assert_eq!(feedback(&bad).status, 400, "{bad}");
    }
}

#[test]
fn shadow_mode_serves_nothing_and_reports() {
    let provider = provider();
    let folder = Folder::new();
    let more = format!("[cache]\ndir = \"{}\"", folder.path().display());
    let Some(gateway) = gateway(&provider, &more, "") else { return };
    let shadowed = "x-ringgate-config: shadowed\r\n";
    let send = |text: &str| gateway.send(&post(PATH, shadowed, &messages(text).to_string()));
    for text in [POTHOLE[0], "What is the capital of Australia?"] {
        let before = stats(&gateway)["questions"].as_u64();
        assert_eq!(status(&send(text)), "SEMANTIC MISS");
        eventually("it is in the index", || stats(&gateway)["questions"].as_u64() > before);
    }
    let would = send(POTHOLE[1]);
    assert_eq!(status(&would), "SEMANTIC MISS");
    assert!(would.field("x-ringgate-cache-similarity").is_some());
    assert_eq!(status(&send(POTHOLE[1])), "HIT", "the exact tier serves");
    let seen = || std::fs::read_to_string(folder.path().join("shadow.jsonl")).unwrap_or_default();
    eventually("three are written", || seen().lines().count() == 3);
    assert!(!seen().contains("pothole"), "no text of anybody: {}", seen());
    let last: Value = serde_json::from_str(seen().lines().last().expect("a line")).expect("JSON");
    assert_eq!((&last["would_hit"], &last["agreed"]), (&json!(true), &json!(true)), "{last}");
    let report = std::process::Command::new(env!("CARGO_BIN_EXE_ringgate"))
        .args(["cache", "report", "--input-price", "1", "--dir"])
        .arg(folder.path())
        .output()
        .expect("a report");
    let report = String::from_utf8(report.stdout).expect("text");
    assert!(report.contains("3 look-ups"), "{report}");
    assert!(report.contains("0.90     33.3%       0.0 % of 1"), "{report}");
}

#[test]
fn error_limit_raises_the_threshold() {
    // The two wordings have different answers here, which nobody can tell from the questions.
    let provider = answering(|text| {
        if text == POTHOLE[1] { "It costs 5 dollars.".into() } else { "It costs 9 dollars.".into() }
    });
    let route = "[routes.limited]\nprovider = \"p\"\ncache = { mode = \"semantic\" }";
    let Some(gateway) = gateway(&provider, route, "max_error_rate = 0.01") else { return };
    let limited = "x-ringgate-config: limited\r\n";
    let send = |text: &str| gateway.send(&post(PATH, limited, &messages(text).to_string()));
    assert_eq!(status(&send(POTHOLE[0])), "SEMANTIC MISS");
    eventually("it is in the index", || stats(&gateway)["questions"] == 1);
    for round in 1..4 {
        assert_eq!(status(&send(POTHOLE[1])), "SEMANTIC HIT", "{round}");
    }
    let checked = send(POTHOLE[1]);
    assert_eq!(status(&checked), "SEMANTIC MISS", "one in four is asked anew at first");
    assert_eq!(checked.json()["choices"][0]["message"]["content"], "It costs 5 dollars.");
    let risk = || stats(&gateway)["risks"]["limited"].clone();
    eventually("the answers are compared", || risk()["wrong"] == 1);
    assert!(risk()["bar"].as_f64().expect("a bar") > 0.95, "{}", risk());
    assert_eq!(status(&send(POTHOLE[1])), "HIT", "it has an answer of its own");
    assert_eq!(status(&send(POTHOLE[2])), "SEMANTIC MISS", "{}", risk());
    assert_eq!(risk()["withheld"], 2);
}

#[test]
fn semantic_entries_survive_restart_and_kill() {
    let provider = provider();
    let folder = Folder::new();
    let more = format!("[cache]\ndir = \"{}\"", folder.path().display());
    let Some(mut first) = gateway(&provider, &more, "") else { return };
    teach(&first, &messages(POTHOLE[0]));
    let size = || std::fs::metadata(folder.path().join("00000001.cache")).map_or(0, |it| it.len());
    eventually("it is written", || size() > 500);
    first.signal("KILL");
    first.exit_code();
    let second = gateway(&provider, &more, "").expect("the model is there");
    eventually("it is loaded", || stats(&second)["questions"] == 1);
    assert_eq!(status(&send(&second, &messages(POTHOLE[1]))), "SEMANTIC HIT");
    let mut admin = Client::connect(second.admin);
    admin.send(post("/cache/purge", "", "{}").as_bytes());
    assert_eq!(admin.response().json(), json!({"purged": 1}));
    eventually("the question goes too", || stats(&second)["questions"] == 0);
    assert_eq!(status(&send(&second, &messages(POTHOLE[1]))), "SEMANTIC MISS");
}
