//! Usage, metrics and the request log: what was used is counted once, and dropped lines are said.

use crate::stage::{CHAT_ANSWER, Gateway, Provider, chat, eventually, json_answer, post, stream};

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
fn absurd_usage_is_clamped_and_flagged() {
    for usage in [
        r#"{"prompt_tokens":-5,"completion_tokens":"many"}"#,
        r#"{"prompt_tokens":1000000000000000000,"completion_tokens":1}"#,
    ] {
        let body = format!(r#"{{"choices":[],"usage":{usage}}}"#);
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
    let provider = Provider::always(json_answer("200 OK", "", r#"{"choices":[]}"#));
    let gateway = Gateway::start(&provider.section("p", ""));
    gateway.post("/v1/chat/completions", &chat("m"));
    gateway.expect_metric("ringgate_usage_estimated_total", &[], 1.0);
    eventually("its input is estimated", || {
        gateway.metric("ringgate_tokens_total", &["input"]) > 0.0
    });
}

#[test]
fn each_request_is_one_line_of_json_without_secrets() {
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

#[test]
fn a_full_disk_costs_lines_and_not_requests() {
    let gateway = Gateway::start("[log]\nrequests = \"/dev/full\"\n");
    for _ in 0..20 {
        assert_eq!(gateway.post("/v1/chat/completions", &chat("m")).status, 200);
    }
    eventually("all lines are counted as lost", || {
        gateway.metric("ringgate_log_write_errors_total", &[]) == 20.0
    });
}
