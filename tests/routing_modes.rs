//! Routing strategies end to end: which targets are called or skipped, what a client sees, and costs.
//!
//! Fallback, retries, streams, health and request edits have their own files.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    CHAT_ANSWER, FINISH, Gateway, Provider, STREAM_HEAD, USAGE, chat, delta, event, eventually,
    json_answer, post, stream,
};
use crate::routing::{
    CHAT_PATH, Stand, config, dead, error_answer, failing, option, request, silent, story_is, well,
};

const FIRST: &str = "config.targets[0]";
const SECOND: &str = "config.targets[1]";

/// A provider that takes so long for each answer.
fn late(delay_ms: u64, answer: String) -> Provider {
    Provider::start(move |visit| {
        while visit.request().is_some() {
            thread::sleep(Duration::from_millis(delay_ms));
            visit.send(answer.as_bytes());
        }
    })
}

fn good() -> String {
    json_answer("200 OK", "", CHAT_ANSWER)
}

/// A whole stream of one word.
fn good_stream() -> String {
    let events = [event(&delta("Hi")), event(FINISH), event(USAGE), event("[DONE]")].concat();
    format!("{STREAM_HEAD}{events}0\r\n\r\n")
}

/// Asks so often on one connection, and counts who has answered.
fn shares(gateway: &Gateway, count: usize, request: impl Fn(usize) -> String) -> [usize; 2] {
    let mut client = gateway.connect();
    let mut shares = [0, 0];
    for number in 0..count {
        client.send(request(number).as_bytes());
        let response = client.response();
        assert_eq!(response.status, 200, "{}", response.text());
        shares[usize::from(option(&response) == SECOND)] += 1;
    }
    shares
}

fn shares_of(stand: &Stand, count: usize, config: &Value) -> [usize; 2] {
    shares(&stand.gateway, count, |_| request(config, "", &chat("m")))
}

fn weighted(mode: &str, weights: &[f64]) -> Value {
    let mut config = config(&json!({ "mode": mode }), weights.len());
    for (place, weight) in weights.iter().enumerate() {
        config["targets"][place]["weight"] = json!(weight);
    }
    config
}

/// A request by a route's name.
fn by_name(route: &str, fields: &str) -> String {
    post(CHAT_PATH, &format!("x-ringgate-config: {route}\r\n{fields}"), &chat("m"))
}

fn user(number: usize) -> String {
    format!("x-ringgate-metadata: {{\"user\":\"user-{number}\"}}\r\n")
}

/// The modes in which a target of weight 0 gets nothing.
const SHARING: [&str; 6] =
    ["loadbalance", "round_robin", "least_latency", "least_busy", "cheapest", "fastest"];

#[test]
fn load_follows_weights() {
    let stand = Stand::new(vec![well(), well()]);
    // Of 400 draws; five standard deviations to each side.
    for (weights, expected) in [
        ([3.0, 1.0], 256..=344),
        ([1.0, 1.0], 150..=250),
        ([0.25, 0.75], 56..=144),
        ([1.0, 0.0], 400..=400),
        ([0.0, 5.0], 0..=0),
    ] {
        let [first, _] = shares_of(&stand, 400, &weighted("loadbalance", &weights));
        assert!(expected.contains(&first), "{weights:?}: {first}");
    }
    for (what, first) in [("500", failing(500, "")), ("refused", dead())] {
        let stand = Stand::new(vec![first, well()]);
        for mode in SHARING {
            let mut config = weighted(mode, &[1.0, 0.0]);
            config["strategy"]["on_status_codes"] = json!([500, 502]);
            for _ in 0..8 {
                let status = stand.send_chat(&config).status;
                assert!(status >= 500, "{what} by {mode}: {status}");
            }
        }
        assert_eq!(stand.counts()[1], 0, "{what}: no weight, no request");
    }
}

#[test]
fn sticky_sessions_keep_target() {
    const USERS: usize = 30;
    let stand = Stand::new(vec![well(), well()]);
    for mode in ["loadbalance", "round_robin", "least_busy", "canary"] {
        for field in ["metadata.user", "params.user", "headers.x-user"] {
            let mut strategy = json!({ "mode": mode, "sticky": { "hash_fields": [field] } });
            if mode == "canary" {
                strategy["percent"] = json!(50);
            }
            let config = config(&strategy, 2);
            let of = |number: usize| format!("{{\"user\":\"u{number}\",");
            let request = |number: usize| match field {
                "params.user" => request(&config, "", &chat("m").replacen('{', &of(number), 1)),
                "metadata.user" => request(&config, &user(number), &chat("m")),
                _ => request(&config, &format!("x-user: {number}\r\n"), &chat("m")),
            };
            let mut firsts = 0;
            for number in 0..USERS {
                let homes = shares(&stand.gateway, 3, |_| request(number));
                assert!(homes.contains(&3), "{mode} by {field}: {number} moves: {homes:?}");
                firsts += homes[0] / 3;
            }
            assert!((5..=USERS - 5).contains(&firsts), "{mode} by {field}: {firsts} of {USERS}");
        }
    }
}

#[test]
fn all_zero_weights_are_rejected() {
    let stand = Stand::new(vec![well(), well()]);
    for mode in SHARING {
        let none = weighted(mode, &[0.0, 0.0]);
        let nested = json!({ "strategy": { "mode": "fallback" },
            "targets": [{ "provider": "p0" }, none] });
        for (config, path) in [(none, "config.strategy"), (nested, "config.targets[1].strategy")] {
            let response = stand.send_chat(&config);
            let text = response.text();
            assert_eq!((response.status, &*response.code()), (400, "invalid_config"), "{mode}");
            assert!(text.contains(&format!("{path}: expected a `weight`")), "{mode}: {text}");
        }
    }
    assert_eq!(stand.counts(), [0, 0]);
}

#[test]
fn round_robin_takes_turns() {
    let route = "[server]\nshards = 2\n[routes.r]\nstrategy = { mode = \"round_robin\" }\n\
                 targets = [{ provider = \"p0\" }, { provider = \"p1\" }]\n";
    let stand = Stand::with(route, vec![well(), well()]);
    // Each on a connection of its own, so that both shards are asked.
    let answered: Vec<String> =
        (0..60).map(|_| option(&stand.gateway.send(&by_name("r", ""))).to_owned()).collect();
    assert!(answered.windows(2).all(|pair| pair[0] != pair[1]), "{answered:?}");
    assert_eq!(stand.counts(), [30, 30]);
    let stand = Stand::new(vec![well(), well()]);
    assert_eq!(shares_of(&stand, 40, &weighted("round_robin", &[1.0, 1.0])), [20, 20]);
    assert_eq!(shares_of(&stand, 40, &weighted("round_robin", &[3.0, 1.0])), [30, 10]);
    let stand = Stand::new(vec![dead(), well()]);
    assert_eq!(shares_of(&stand, 10, &weighted("round_robin", &[1.0, 1.0])), [0, 10]);
}

/// A provider that begins to answer like this and then says nothing more. Counts its connections
/// that the gateway has closed.
fn stalling(begin: String) -> (Provider, Arc<AtomicUsize>) {
    let ended = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&ended);
    let provider = Provider::start(move |visit| {
        visit.request();
        visit.send(begin.as_bytes());
        visit.wait_for_end();
        counted.fetch_add(1, Ordering::SeqCst);
    });
    (provider, ended)
}

fn race(hedge_ms: u64) -> Value {
    config(&json!({ "mode": "race", "hedge_ms": hedge_ms }), 2)
}

#[test]
fn race_winner_cancels_loser() {
    let role = r#"{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#;
    let half = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{";
    for (what, begin) in [
        ("silence", String::new()),
        ("half an answer", half.to_owned()),
        ("an opening", format!("{STREAM_HEAD}{}", event(role))),
    ] {
        for (body, answer) in [(chat("m"), good()), (stream("m"), good_stream())] {
            let ((slow, ended), fast) = (stalling(begin.clone()), late(30, answer));
            let stand = Stand::new(vec![slow, fast]);
            for (first, second, statuses, winner) in
                [("p0", "p1", [0, 200], SECOND), ("p1", "p0", [200, 0], FIRST)]
            {
                let mut config = race(0);
                config["targets"] = json!([{ "provider": first }, { "provider": second }]);
                let response = stand.send(&config, "", &body);
                let text = response.text();
                assert!(response.status == 200 && response.complete, "{what}: {text}");
                assert!(
                    text.contains("\"Hi\"") && !text.contains("content\":\"\""),
                    "{what}: {text}"
                );
                story_is(&response, &[(FIRST, statuses[0]), (SECOND, statuses[1])], what);
                assert_eq!(option(&response), winner, "{what}");
                assert_eq!(response.field("x-ringgate-provider"), Some("p1"), "{what}");
            }
            eventually("the loser is cut off", || ended.load(Ordering::SeqCst) == 2);
            assert_eq!(stand.counts(), [2, 2], "{what}");
            // The winner's connection is kept.
            assert_eq!(stand.providers[1].connections.load(Ordering::SeqCst), 1, "{what}");
        }
    }
}

#[test]
fn hedge_starts_after_delay_or_failure() {
    let stand = Stand::new(vec![well(), well()]);
    for _ in 0..5 {
        story_is(&stand.send_chat(&race(10_000)), &[(FIRST, 200)], "a fast first");
    }
    assert_eq!(stand.counts(), [5, 0]);
    let stand = Stand::new(vec![silent(), well()]);
    let begun = Instant::now();
    story_is(&stand.send_chat(&race(150)), &[(FIRST, 0), (SECOND, 200)], "a slow first");
    assert!((150..5_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    let closing = Provider::start(|visit| drop(visit.request()));
    let opening = format!("{STREAM_HEAD}{}0\r\n\r\n", event("{\"error\":{\"message\":\"no\"}}"));
    for (what, status, first) in [
        ("500", 500, failing(500, "")),
        ("429", 429, failing(429, "retry-after: 9\r\n")),
        ("400", 400, failing(400, "")),
        ("refused", 502, dead()),
        ("closed", 502, closing),
        ("no JSON", 502, Provider::always(json_answer("200 OK", "", "what"))),
        ("an error as a stream", 502, Provider::always(opening)),
    ] {
        let stand = Stand::new(vec![first, well()]);
        let begun = Instant::now();
        story_is(&stand.send_chat(&race(30_000)), &[(FIRST, status), (SECOND, 200)], what);
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
    }
}

#[test]
fn failure_does_not_win_race() {
    for (what, first, second, expected) in [
        ("the second is good", failing(500, ""), late(50, good()), [500, 200]),
        ("the first is good", late(50, good()), failing(503, ""), [200, 503]),
        ("the first fails last", late(50, error_answer(503, "")), failing(500, ""), [503, 500]),
        ("the second fails last", dead(), late(50, error_answer(429, "")), [502, 429]),
    ] {
        let stand = Stand::new(vec![first, second]);
        let response = stand.send_chat(&race(0));
        story_is(&response, &[(FIRST, expected[0]), (SECOND, expected[1])], what);
        let last = usize::from(what.contains("second"));
        assert_eq!(response.status, expected[last], "{what}");
        assert_eq!(option(&response), [FIRST, SECOND][last], "{what}");
        if response.status != 200 {
            assert!(response.text().contains(&format!("told {}", expected[last])), "{what}");
        }
    }
}

/// A gateway before providers that it takes for OpenAI's, so that it knows their prices.
fn priced(more: &str, providers: Vec<Provider>) -> Stand {
    let mut settings = more.to_owned();
    for (place, provider) in providers.iter().enumerate() {
        settings.push_str(&format!(
            "[providers.p{place}]\npreset = \"openai\"\napi_key = \"${{KEY}}\"\nbase_url = \
             \"http://{}/v1\"\n",
            provider.address
        ));
    }
    Stand { gateway: Gateway::start_with(&settings, &[("KEY", "sk-a")], &[]), providers }
}

fn of_models(mode: &str, models: [&str; 2]) -> Value {
    let mut config = config(&json!({ "mode": mode }), 2);
    for (place, model) in models.iter().enumerate() {
        config["targets"][place]["override_params"] = json!({ "model": model });
    }
    config
}

#[test]
fn cost_of_race_losers_is_counted() {
    let stand = priced("", vec![silent(), late(30, good())]);
    let gateway = &stand.gateway;
    let config = of_models("race", ["gpt-4o", "gpt-4o-mini"]);
    for _ in 0..3 {
        story_is(&stand.send_chat(&config), &[(FIRST, 0), (SECOND, 200)], "a race");
    }
    let loser = ["provider=\"p0\"", "model=\"gpt-4o\""];
    let winner = ["provider=\"p1\"", "model=\"gpt-4o-mini\""];
    gateway.expect_metric("ringgate_attempts_total", &[loser[0], loser[1], "status=\"0\""], 3.0);
    gateway.expect_metric("ringgate_attempts_total", &[winner[0], winner[1], "\"200\""], 3.0);
    gateway.expect_metric("ringgate_requests_total", &["provider=\"p1\"", "\"200\""], 3.0);
    gateway.expect_metric("ringgate_requests_total", &["provider=\"p0\""], 0.0);
    assert!(gateway.metric("ringgate_cost_usd_total", &winner) > 0.0);
    // At least the request, of ten tokens and more at 2.5 dollars for a million.
    let cost = gateway.metric("ringgate_cost_usd_total", &loser);
    assert!((3.0 * 10.0 * 2.5e-6..1e-3).contains(&cost), "{cost}");
    assert_eq!(gateway.metric("ringgate_cost_unknown_total", &[]), 0.0);
    // What could not be sent costs nothing.
    let stand = priced("", vec![dead(), late(30, good())]);
    story_is(&stand.send_chat(&config), &[(FIRST, 502), (SECOND, 200)], "a dead one");
    stand.gateway.expect_metric("ringgate_attempts_total", &[loser[0], "\"502\""], 1.0);
    assert_eq!(stand.gateway.metric("ringgate_cost_usd_total", &loser), 0.0);
}

/// Afterwards nothing is under way, and the connections of the losers are closed.
#[test]
fn ten_thousand_races_leak_nothing() {
    const RACES: usize = 10_000;
    const AT_ONCE: usize = 4;
    let start = || loadtest::mock::start(loadtest::mock::MockOptions::default()).expect("a mock");
    let mocks = [start(), start()];
    let sections = [0, 1].map(|place: usize| {
        let url = mocks[place].url();
        format!("[providers.p{place}]\ndialect = \"openai-chat\"\nbase_url = \"{url}\"\n")
    });
    let gateway = Gateway::start(&sections.concat());
    thread::scope(|scope| {
        for lane in 0..AT_ONCE {
            let gateway = &gateway;
            scope.spawn(move || {
                let body = if lane % 2 == 0 { chat("m") } else { stream("m") };
                shares(gateway, RACES / AT_ONCE, |_| request(&race(0), "", &body));
            });
        }
    });
    for name in ["requests_in_flight", "buffered_bytes", "panics_total"] {
        gateway.expect_metric(&format!("ringgate_{name}"), &[], 0.0);
    }
    gateway.expect_metric("ringgate_requests_total", &["\"200\""], RACES as f64);
    gateway.expect_metric("ringgate_attempts_total", &[], 2.0 * RACES as f64);
    let (_, page) = gateway.admin_page("/targets");
    let page: Value = serde_json::from_str(&page).expect("JSON");
    let targets = page["targets"].as_array().expect("a list");
    assert_eq!(targets.len(), 2, "{page}");
    assert!(targets.iter().all(|it| it["in_flight"] == 0 && it["attempts"] == RACES), "{page}");
    // One for each that was under way at once.
    for mock in &mocks {
        eventually("the losers are gone", || gateway.sockets_to(mock.addr.port()) <= AT_ONCE);
        eventually("their provider sees it", || mock.stats().connections_open as usize <= AT_ONCE);
    }
    eventually("and it is told", || {
        gateway.metric("ringgate_upstream_connections_open", &[]) <= (2 * AT_ONCE) as f64
    });
}

fn canary(percent: f64) -> Value {
    config(&json!({ "mode": "canary", "percent": percent }), 2)
}

#[test]
fn canary_gets_its_percentage() {
    let stand = Stand::new(vec![well(), well()]);
    // Of 300; five standard deviations to each side.
    for (percent, expected) in [(0.0, 0..=0), (100.0, 300..=300), (30.0, 50..=130), (2.5, 0..=21)] {
        let [_, second] = shares_of(&stand, 300, &canary(percent));
        assert!(expected.contains(&second), "{percent}: {second}");
    }
    // A failure is delivered without failover, and an ejected canary gives its share back.
    let stand = Stand::new(vec![well(), failing(500, "")]);
    for _ in 0..5 {
        story_is(
            &stand.send_chat(&canary(99.999_999)),
            &[(SECOND, 500)],
            "until its breaker opens",
        );
    }
    story_is(&stand.send_chat(&canary(99.999_999)), &[(FIRST, 200)], "its breaker is open");
}

#[test]
fn reload_changes_canary_percentage() {
    const USERS: usize = 60;
    let route = "[routes.r]\ntargets = [{ provider = \"p0\" }, { provider = \"p1\" }]\n\
                 strategy = { mode = \"canary\", percent = 0, sticky = { hash_fields = \
                 [\"metadata.user\"] } }\n";
    let stand = Stand::with(route, vec![well(), well()]);
    let gateway = &stand.gateway;
    let seconds = || -> Vec<bool> {
        let is_second = |number| shares(gateway, 1, |_| by_name("r", &user(number))) == [0, 1];
        (0..USERS).map(is_second).collect()
    };
    let file = gateway.folder.path().join("ringgate.toml");
    let mut before = seconds();
    assert!(!before.contains(&true), "{before:?}");
    for (generation, (was, percent, expected)) in
        [(0, 30, 4..=32), (30, 70, 24..=56), (70, 100, 60..=60)].into_iter().enumerate()
    {
        let text = std::fs::read_to_string(&file).expect("the settings");
        let moved = text.replace(&format!("percent = {was},"), &format!("percent = {percent},"));
        std::fs::write(&file, moved).expect("the settings");
        gateway.signal("HUP");
        gateway.expect_metric("ringgate_settings_generation", &[], (generation + 2) as f64);
        // Those who were there stay, once the shard has taken it over.
        eventually("the share", || expected.contains(&seconds().iter().filter(|it| **it).count()));
        let after = seconds();
        assert_eq!(after, seconds(), "{percent}: nobody moves without cause");
        assert!(before.iter().zip(&after).all(|(before, after)| !before || *after), "{after:?}");
        before = after;
    }
}

#[test]
fn mirror_does_not_delay_response() {
    let mirror = config(&json!({ "mode": "mirror" }), 2);
    let copy = "endpoint=\"mirror\"";
    for (what, second, status) in [
        ("well", well(), "200"),
        ("failing", failing(500, ""), "500"),
        ("dead", dead(), "0"),
        ("hanging", silent(), "0"),
    ] {
        let stand = Stand::new(vec![well(), second]);
        let gateway = &stand.gateway;
        let mut config = mirror.clone();
        config["targets"][1]["request_timeout"] = json!(300);
        let response = stand.send_chat(&config);
        assert_eq!((response.status, response.text().as_str()), (200, CHAT_ANSWER), "{what}");
        story_is(&response, &[(FIRST, 200)], what);
        gateway.expect_metric("ringgate_requests_total", &[copy], 1.0);
        let labels = [copy, "provider=\"p1\"", &format!("status=\"{status}\"")];
        gateway.expect_metric("ringgate_requests_total", &labels, 1.0);
        gateway.expect_metric("ringgate_requests_total", &["chat_completions", "\"200\""], 1.0);
        gateway.expect_metric("ringgate_tokens_total", &["p0", "\"input\""], 7.0);
        let tokens = if what == "well" { 7.0 } else { 0.0 };
        gateway.expect_metric("ringgate_tokens_total", &["p1", "\"input\""], tokens);
        let sent = stand.providers[1].last_request();
        assert!(what == "dead" || sent.ends_with(&format!("\r\n\r\n{}", chat("m"))), "{sent}");
        gateway.expect_metric("ringgate_buffered_bytes", &[], 0.0);
    }
    // Of a stream, too, with what the provider tells of it.
    let stand = Stand::new(vec![Provider::always(good_stream()), Provider::always(good_stream())]);
    let response = stand.send(&mirror, "", &stream("m"));
    assert!(response.text().ends_with("data: [DONE]\n\n"), "{}", response.text());
    stand.gateway.expect_metric("ringgate_requests_total", &[copy, "\"200\""], 1.0);
    stand.gateway.expect_metric("ringgate_tokens_total", &["p1", "\"output\""], 5.0);
    assert_eq!(stand.counts(), [1, 1]);
}

#[test]
fn cheapest_capable_target_is_selected() {
    let little = "[catalogue.p1.\"gpt-4o-mini\"]\ncontext_tokens = 2000\n\
                  abilities = [\"reasoning\"]\n";
    let stand = priced(little, vec![well(), well()]);
    let config = of_models("cheapest", ["gpt-4o", "gpt-4o-mini"]);
    let with = |members: &str| chat("m").replacen('{', &format!("{{{members},"), 1);
    let tool = r#"{"type":"function","function":{"name":"f","parameters":{}}}"#;
    let picture = r#"[{"type":"image_url","image_url":{"url":"https://a/b.png"}}]"#;
    let schema = r#"{"type":"json_schema","json_schema":{"name":"s","schema":{}}}"#;
    for (what, body, expected) in [
        ("a question", chat("m"), SECOND),
        ("no tools", with("\"tools\":[]"), SECOND),
        ("tools", with(&format!("\"tools\":[{tool}]")), FIRST),
        ("a picture", chat("m").replace("\"Hello\"", picture), FIRST),
        ("a schema", with(&format!("\"response_format\":{schema}")), FIRST),
        ("a long text", chat("m").replace("Hello", &"Hello ".repeat(4_000)), FIRST),
        ("a long answer", with("\"max_tokens\":3000"), FIRST),
        ("too long for all", with("\"max_tokens\":3000000"), SECOND),
    ] {
        for _ in 0..3 {
            let response = stand.send(&config, "", &body);
            assert_eq!((response.status, option(&response)), (200, expected), "{what}");
        }
    }
    let stand = priced("", vec![failing(500, ""), well()]);
    let config = of_models("cheapest", ["gpt-4o-mini", "gpt-4o"]);
    story_is(&stand.send_chat(&config), &[(FIRST, 500), (SECOND, 200)], "the next cheapest");
}

#[test]
fn slow_or_busy_targets_get_less_load() {
    let of = |mode: &str| config(&json!({ "mode": mode }), 2);
    for mode in ["least_latency", "fastest"] {
        let stand = Stand::new(vec![late(100, good()), well()]);
        let [slow, fast] = shares_of(&stand, 60, &of(mode));
        assert!(slow <= 8, "{mode}: {slow} to {fast}");
    }
    // One target of two routes is known to both.
    let targets = "targets = [{ provider = \"p0\" }, { provider = \"p1\" }]\n";
    let route =
        |mode: &str| format!("[routes.{mode}]\nstrategy = {{ mode = \"{mode}\" }}\n{targets}");
    let routes = [route("fallback"), route("least_busy")].concat();
    let stand = Stand::with(&routes, vec![silent(), well()]);
    let mut waiting = stand.gateway.connect();
    waiting.send(by_name("fallback", "").as_bytes());
    eventually("it waits", || stand.counts()[0] == 1);
    assert_eq!(shares(&stand.gateway, 40, |_| by_name("least_busy", "")), [0, 40]);
}
