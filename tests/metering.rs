//! Usage, metrics and the request log: usage is counted once, and dropped log lines are counted.

use crate::harness::{
    CHAT_ANSWER, Gateway, Provider, STREAM_HEAD, chat, delta, event, eventually, json_answer, post,
    stream,
};

#[test]
fn usage_is_counted_by_key_provider_and_model() {
    let provider = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let settings = format!(
        "{}[keys.team-a]\nsecret = \"${{SECRET}}\"\nmetadata = {{ team = \"a\" }}\n",
        provider.section("p", "")
    );
    let environment = [("SECRET", "secret-of-team-a")];
    let gateway = Gateway::start_with(&settings, &environment, &[]);
    let key = "authorization: Bearer secret-of-team-a\r\n";
    for model in ["gpt-4o", "gpt-4o", "other"] {
        let response = gateway.send(&post("/v1/chat/completions", key, &chat(model)));
        assert_eq!(response.status, 200);
    }
    let who = ["key=\"team-a\"", "provider=\"p\"", "model=\"gpt-4o\""];
    let labelled = |kind| [who[0], who[1], who[2], kind];
    gateway.expect_metric("ringgate_requests_total", &labelled("status=\"200\""), 2.0);
    gateway.expect_metric("ringgate_tokens_total", &labelled("kind=\"input\""), 14.0);
    gateway.expect_metric("ringgate_tokens_total", &labelled("kind=\"output\""), 6.0);
    gateway.expect_metric("ringgate_tokens_total", &labelled("kind=\"cached\""), 4.0);
    gateway.expect_metric("ringgate_request_duration_seconds_count", &["chat"], 3.0);
    gateway.expect_metric("ringgate_overhead_seconds_count", &[], 3.0);
    gateway.expect_metric("ringgate_usage_estimated_total", &[], 0.0);
    gateway.expect_metric("ringgate_requests_in_flight", &[], 0.0);
}

#[test]
fn unknown_models_do_not_displace_known_labels() {
    let provider = Provider::start(|visit| {
        while let Some(request) = visit.request() {
            let is_known = !request.contains("nonsense-");
            let refusal = r#"{"error":{"message":"no such model"}}"#;
            visit.send(
                match is_known {
                    true => json_answer("200 OK", "", CHAT_ANSWER),
                    false => json_answer("404 Not Found", "", refusal),
                }
                .as_bytes(),
            );
        }
    });
    let mut answering = Provider::always(json_answer("200 OK", "", CHAT_ANSWER)).section("any", "");
    answering.push_str("[catalogue.any.priced]\nprices = [{ input = 2, output = 8 }]\n");
    let settings = format!(
        "{}{answering}[keys.k]\nsecret = \"${{SECRET}}\"\n[keys.limited]\nsecret = \"${{LIMITED}}\"\n\
         models = [\"listed-by-key\"]\n[routes.r]\noverride_params = {{ model = \"set-by-route\" }}\n\
         targets = [{{ provider = \"any\" }}]\n",
        provider.section("p", "models = [\"listed\"]")
    );
    let environment = [("SECRET", "secret-of-k"), ("LIMITED", "secret-of-limited")];
    let gateway = Gateway::start_with(&settings, &environment, &[]);
    let key = "authorization: Bearer secret-of-k\r\n";
    let limited = "authorization: Bearer secret-of-limited\r\n";
    let mut client = gateway.connect();
    let mut send = |fields: &str, model: &str| {
        client.send(post("/v1/chat/completions", fields, &chat(model)).as_bytes());
        client.response().status
    };
    const COUNT: usize = 1_000;
    for number in 0..COUNT {
        // Not there, refused for the key, for the model, without a key; and answered all the same.
        assert_eq!(send(key, &format!("p/nonsense-{number}")), 404);
        assert_eq!(send(limited, &format!("any/nonsense-{number}")), 403);
        assert_eq!(send(key, &format!("nonsense-{number}")), 400);
        // A connection ends where a body is refused unread.
        let stranger = post("/v1/chat/completions", "", &chat(&format!("nonsense-{number}")));
        assert_eq!(gateway.send(&stranger).status, 401);
        assert_eq!(send(key, &format!("any/invented-{number}")), 200);
    }
    let route = format!("{key}x-ringgate-config: r\r\n");
    // Of a name that only requests know the first calls count among the others.
    for _ in 0..2 {
        assert_eq!(send(key, "p/real"), 200);
    }
    for (fields, model, label, status) in [
        (key, "p/listed", "listed", 200),
        (key, "p/real", "real", 200),
        (key, "any/gpt-4o", "gpt-4o", 200),
        (key, "any/priced", "priced", 200),
        (&route, "x", "set-by-route", 200),
        (limited, "any/listed-by-key", "listed-by-key", 200),
    ] {
        assert_eq!(send(fields, model), status, "{model}");
        let labels = [&*format!("model=\"{label}\""), "status=\"200\""];
        gateway.expect_metric("ringgate_requests_total", &labels, 1.0);
        gateway.expect_metric("ringgate_tokens_total", &[labels[0], "kind=\"input\""], 7.0);
    }
    let (_, text) = gateway.admin_page("/metrics");
    assert!(!text.contains("nonsense"), "a refused name is a label");
    let invented = text
        .lines()
        .filter(|line| line.starts_with("ringgate_requests_total") && line.contains("invented"));
    assert_eq!(invented.count(), 100);
    let count = COUNT as f64;
    gateway.expect_metric("ringgate_requests_total", &[], 5.0 * count + 8.0);
    gateway.expect_metric("ringgate_requests_total", &["status=\"200\""], count + 8.0);
    gateway.expect_metric("ringgate_tokens_total", &["kind=\"input\""], 7.0 * (count + 8.0));
    // 7 tokens at 2 and 3 at 8 dollars for a million.
    gateway.expect_metric("ringgate_cost_usd_total", &["model=\"priced\""], 0.000_038);
}

#[test]
fn absurd_usage_is_clamped_and_flagged() {
    for usage in [
        r#"{"prompt_tokens":-5,"completion_tokens":"many"}"#,
        r#"{"prompt_tokens":1000000000000000000,"completion_tokens":1}"#,
    ] {
        let body = format!(r#"{{"choices":[{{"index":0}}],"usage":{usage}}}"#);
        let provider = Provider::always(json_answer("200 OK", "", &body));
        let gateway = Gateway::start(&provider.section("p", ""));
        assert_eq!(gateway.post("/v1/chat/completions", &chat("m")).text(), body);
        gateway.expect_metric("ringgate_usage_estimated_total", &[], 1.0);
        let input = gateway.metric("ringgate_tokens_total", &["input"]);
        assert!((0.0..=1e12).contains(&input), "{usage}: {input}");
    }
}

#[test]
fn missing_usage_is_estimated_and_flagged() {
    let provider = Provider::always(json_answer("200 OK", "", r#"{"choices":[{"index":0}]}"#));
    let gateway = Gateway::start(&provider.section("p", ""));
    gateway.post("/v1/chat/completions", &chat("m"));
    gateway.expect_metric("ringgate_usage_estimated_total", &[], 1.0);
    eventually("its input is estimated", || {
        gateway.metric("ringgate_tokens_total", &["input"]) > 0.0
    });
}

#[test]
fn request_log_has_one_json_line_without_secrets() {
    let settings = "[log]\nrequests = \"requests.jsonl\"\n[keys.k]\nsecret = \"${SECRET}\"\n\
                    metadata = { team = \"a\" }\n";
    let environment = [("SECRET", "secret-of-this-test")];
    let mut gateway = Gateway::start_with(settings, &environment, &[]);
    let key = "authorization: Bearer secret-of-this-test\r\nx-ringgate-trace-id: t-1\r\n";
    gateway.send(&post("/v1/chat/completions", key, &chat("m")));
    gateway.send(&post("/v1/chat/completions", key, &stream("m")));
    gateway.send(&post("/v1/chat/completions", "", &chat("m")));
    gateway.signal("TERM");
    assert_eq!(gateway.exit_code(), Some(0));
    let path = gateway.folder.path().join("requests.jsonl");
    let text = std::fs::read_to_string(path).expect("the log");
    assert!(!text.contains("secret-of-this-test") && !text.contains("Hello"), "{text}");
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert_eq!(lines[0]["key"], "k");
    assert_eq!(lines[0]["metadata"]["team"], "a");
    assert_eq!(lines[0]["trace_id"], "t-1");
    assert!(lines[0]["input_tokens"].as_u64() > Some(0));
    assert_eq!((&lines[1]["stream"], &lines[1]["status"]), (&true.into(), &200.into()));
    assert_eq!((&lines[2]["status"], &lines[2]["code"]), (&401.into(), &"invalid_api_key".into()));
}

/// Prices of a model `m` of the provider `p`, in dollars for a million tokens.
const PRICES: &str = "[catalogue.p.m]\nprices = [{ input = 2, cache_read = 0.5, output = 8 }, \
                      { tier = \"priority\", input = 4, output = 16 }]\n";

#[test]
fn cost_is_exact_to_the_pico_dollar() {
    let provider = Provider::start(|visit| {
        while let Some(request) = visit.request() {
            let is_prior = request.contains("priority");
            let tier = if is_prior { "\"service_tier\":\"priority\"," } else { "" };
            let answer = CHAT_ANSWER.replacen('{', &format!("{{{tier}"), 1);
            visit.send(json_answer("200 OK", "", &answer).as_bytes());
        }
    });
    let settings = format!(
        "[log]\nrequests = \"requests.jsonl\"\n{}{PRICES}[routes.kept]\ntargets = [{{ provider = \"p\" \
         }}]\ncache = {{ mode = \"simple\" }}\n",
        provider.section("p", "")
    );
    let mut gateway = Gateway::start(&settings);
    let kept = "x-ringgate-config: kept\r\n";
    let prior = chat("m").replacen('{', "{\"service_tier\":\"priority\",", 1);
    for (fields, body) in [
        ("", chat("m")),
        ("", prior),
        ("", chat("of-unknown-price")),
        (kept, chat("m")),
        // From the cache.
        (kept, chat("m")),
    ] {
        let response = gateway.send(&post("/v1/chat/completions", fields, &body));
        assert_eq!(response.status, 200, "{}", response.text());
    }
    // 5 tokens at 2, 2 at 0.5 and 3 at 8 dollars for a million; 7 at 4 and 3 at 16; once more the first.
    let usd = "ringgate_cost_usd_total";
    gateway.expect_metric(usd, &["provider=\"p\"", "model=\"m\""], 0.000_146);
    gateway.expect_metric("ringgate_cost_unknown_total", &["model=\"of-unknown-price\""], 1.0);
    gateway.expect_metric("ringgate_cost_unknown_total", &[], 1.0);
    gateway.signal("TERM");
    assert_eq!(gateway.exit_code(), Some(0));
    let path = gateway.folder.path().join("requests.jsonl");
    let text = std::fs::read_to_string(path).expect("the log");
    let costs: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split("\"cost_usd\":").nth(1)?.split(',').next())
        .collect();
    assert_eq!(costs, ["0.000035", "0.000076", "null", "0.000035", "0"], "{text}");
}

#[test]
fn broken_stream_cost_is_estimated() {
    let provider = Provider::start(|visit| {
        if visit.request().is_some() {
            visit.send(STREAM_HEAD.as_bytes());
            // A running count, which the cut leaves behind.
            let usage = r#"{"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":10,"completion_tokens":1}}"#;
            visit.send(event(usage).as_bytes());
            for _ in 0..4 {
                visit.send(event(&delta("b")).as_bytes());
            }
        }
    });
    let gateway = Gateway::start(&format!("{}{PRICES}", provider.section("p", "")));
    let response = gateway.post("/v1/chat/completions", &stream("m"));
    assert!(response.text().contains("error"), "{}", response.text());
    gateway.expect_metric("ringgate_usage_estimated_total", &[], 1.0);
    gateway.expect_metric("ringgate_tokens_total", &["output"], 5.0);
    gateway.expect_metric("ringgate_cost_usd_total", &[], 0.000_060);
}

/// The value of a member in each line of a request log.
fn logged<'l>(text: &'l str, member: &str) -> Vec<&'l str> {
    let key = format!("\"{member}\":");
    let value = |line: &'l str| line.split_once(key.as_str())?.1.split([',', '}']).next();
    text.lines().map(|line| value(line).unwrap_or("none")).collect()
}

#[test]
fn fast_mode_and_us_region_raise_cost() {
    let answer = |usage: &str| {
        [
            format!(
                r#"{{"type":"message_start","message":{{"id":"m","type":"message","role":"assistant","model":"claude-opus-4-8","content":[],"stop_reason":null,"usage":{{"input_tokens":2000,"output_tokens":1{usage}}}}}}}"#
            ),
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#.to_owned(),
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#.to_owned(),
            r#"{"type":"content_block_stop","index":0}"#.to_owned(),
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":200}}"#.to_owned(),
            r#"{"type":"message_stop"}"#.to_owned(),
        ]
        .map(|data| {
            let (_, rest) = data.split_once("\"type\":\"").expect("a type");
            let name = rest.split('"').next().unwrap_or_default().to_owned();
            let event = format!("event: {name}\ndata: {data}\n\n");
            format!("{:x}\r\n{event}\r\n", event.len())
        })
        .concat()
    };
    for (usage, members, dollars) in [
        (r#","speed":"fast""#, r#","speed":"fast""#, 0.03),
        (r#","speed":"standard""#, r#","speed":"fast""#, 0.015),
        (r#","inference_geo":"us""#, "", 0.0165),
        ("", r#","inference_geo":"us""#, 0.0165),
        ("", "", 0.015),
    ] {
        let provider = Provider::always(format!("{STREAM_HEAD}{}0\r\n\r\n", answer(usage)));
        let gateway = Gateway::start(&format!(
            "[providers.anthropic]\npreset = \"anthropic\"\napi_key = \"test-credential\"\n\
             base_url = \"http://{}/v1\"\n",
            provider.address
        ));
        let messages = format!(
            r#"{{"model":"anthropic/claude-opus-4-8","max_tokens":2000,"stream":true,"messages":[{{"role":"user","content":"x"}}]{members}}}"#
        );
        let response = gateway.post("/v1/messages", &messages);
        assert_eq!(response.status, 200, "{}", response.text());
        gateway.expect_metric("ringgate_cost_usd_total", &[], dollars);
        if members.is_empty() {
            // A client of another dialect pays the same.
            let chat = stream("anthropic/claude-opus-4-8");
            assert_eq!(gateway.post("/v1/chat/completions", &chat).status, 200);
            gateway.expect_metric("ringgate_cost_usd_total", &[], 2.0 * dollars);
        }
    }
}

#[test]
fn vendor_reported_cost_is_used() {
    let usage =
        r#""usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10,"cost":0.00014}"#;
    let whole = format!(
        r#"{{"id":"c","model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"Hi"}},"finish_reason":"stop"}}],{usage}}}"#
    );
    let last = format!(r#"{{"id":"c","object":"chat.completion.chunk","choices":[],{usage}}}"#);
    let finish = r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let events = [event(&delta("Hi")), event(finish), event(&last), event("[DONE]")].concat();
    let streamed = format!("{STREAM_HEAD}{events}0\r\n\r\n");
    let provider = Provider::start(move |visit| {
        while let Some(request) = visit.request() {
            let whole = json_answer("200 OK", "", &whole);
            let is_stream = request.contains("\"stream\":true");
            visit.send(if is_stream { streamed.as_bytes() } else { whole.as_bytes() });
        }
    });
    let folder = crate::harness::Folder::new();
    let log = folder.path().join("requests.log");
    let mut gateway = Gateway::start(&format!(
        "[log]\nrequests = \"{}\"\n{}[catalogue.p.m]\nprices = [{{ input = 2, output = 8 }}]\n",
        log.display(),
        provider.section("p", "")
    ));
    assert_eq!(gateway.post("/v1/chat/completions", &chat("m")).status, 200);
    assert_eq!(gateway.post("/v1/chat/completions", &stream("m")).status, 200);
    let messages = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}]}"#;
    assert_eq!(gateway.post("/v1/messages", messages).status, 200);
    gateway.expect_metric("ringgate_cost_usd_total", &["model=\"m\""], 0.000_42);
    gateway.expect_metric("ringgate_cost_reported_total", &["model=\"m\""], 3.0);
    gateway.signal("TERM");
    assert_eq!(gateway.exit_code(), Some(0));
    let text = std::fs::read_to_string(&log).expect("a log");
    assert_eq!(logged(&text, "cost_usd"), ["0.00014"; 3], "{text}");
    assert_eq!(logged(&text, "cost_source"), ["\"provider\""; 3], "{text}");
}

#[test]
fn rejected_requests_cost_nothing() {
    let refused = json_answer("429 Too Many Requests", "", r#"{"error":{"message":"slow down"}}"#);
    let provider = Provider::always(refused);
    let gateway = Gateway::start(&format!("{}{PRICES}", provider.section("p", "")));
    assert_eq!(gateway.post("/v1/chat/completions", &chat("m")).status, 429);
    gateway.expect_metric("ringgate_requests_total", &["status=\"429\""], 1.0);
    gateway.expect_metric("ringgate_cost_usd_total", &[], 0.0);
    gateway.expect_metric("ringgate_cost_unknown_total", &[], 0.0);
}

#[test]
fn translation_warnings_are_logged() {
    let mock = loadtest::mock::start(loadtest::mock::MockOptions::default()).expect("a mock");
    let settings = format!(
        "[log]\nrequests = \"requests.jsonl\"\n[providers.p]\ndialect = \"anthropic-messages\"\n\
         base_url = \"{}\"\n",
        mock.url()
    );
    let mut gateway = Gateway::start(&settings);
    let body = chat("m").replacen('{', "{\"logit_bias\":{\"1\":2},", 1);
    let response = gateway.post("/v1/chat/completions", &body);
    assert_eq!(response.status, 200, "{}", response.text());
    gateway.signal("TERM");
    assert_eq!(gateway.exit_code(), Some(0));
    let path = gateway.folder.path().join("requests.jsonl");
    let text = std::fs::read_to_string(path).expect("the log");
    let line: serde_json::Value = serde_json::from_str(text.trim_end()).expect("one line");
    assert_eq!(line["warnings"].as_str(), response.field("x-ringgate-warnings"));
    assert!(line["warnings"].as_str().is_some_and(|it| it.contains("logit_bias")), "{text}");
}

#[test]
fn full_disk_drops_log_lines_not_requests() {
    let gateway = Gateway::start("[log]\nrequests = \"/dev/full\"\n");
    for _ in 0..20 {
        assert_eq!(gateway.post("/v1/chat/completions", &chat("m")).status, 200);
    }
    eventually("all lines are counted as lost", || {
        gateway.metric("ringgate_log_write_errors_total", &[]) == 20.0
    });
}
