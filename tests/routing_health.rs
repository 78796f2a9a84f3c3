//! Health of targets: breakers that open, probe and close, benches, and whose fault a failure is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};

use crate::harness::{
    CHAT_ANSWER, FINISH, Provider, Response, STREAM_HEAD, chat, delta, event, eventually,
    json_answer, post, stream,
};
use crate::routing::{
    CHAT_PATH, Stand, config, dead, error_answer, fallback, option, request, story_is, well,
};

const FIRST: &str = "config.targets[0]";
const SECOND: &str = "config.targets[1]";

/// A status that is sent only once it has changed.
const WAITS: u16 = 0;

/// A provider whose status can be moved.
fn moved(status: u16, fields: &'static str) -> (Provider, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(status));
    let current = Arc::clone(&status);
    let provider = Provider::start(move |visit| {
        while visit.request().is_some() {
            eventually("a status", || current.load(Ordering::SeqCst) != WAITS);
            let answer = match current.load(Ordering::SeqCst) {
                200 => json_answer("200 OK", "", CHAT_ANSWER),
                status => error_answer(status, fields),
            };
            visit.send(answer.as_bytes());
        }
    });
    (provider, status)
}

/// A config with a breaker that opens at the third failure, for so long.
fn with_breaker(mode: &str, cooldown_ms: u64) -> Value {
    let breaker = json!({ "failure_threshold": 3, "cooldown_interval": cooldown_ms });
    config(&json!({ "mode": mode, "cb_config": breaker }), 2)
}

#[test]
fn breaker_opens_probes_and_closes() {
    let (first, status) = moved(500, "");
    let stand = Stand::new(vec![first, well()]);
    let config = with_breaker("fallback", 300);
    for _ in 0..3 {
        story_is(&stand.send_chat(&config), &[(FIRST, 500), (SECOND, 200)], "closed");
    }
    for _ in 0..5 {
        story_is(&stand.send_chat(&config), &[(SECOND, 200)], "open");
    }
    status.store(WAITS, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let probing = scope.spawn(|| {
            let mut last = stand.send_chat(&config);
            eventually("the probe", || {
                let is_probe = option(&last) == FIRST;
                if !is_probe {
                    last = stand.send_chat(&config);
                }
                is_probe
            });
            last
        });
        eventually("the probe is under way", || stand.counts()[0] == 4);
        for _ in 0..20 {
            story_is(&stand.send_chat(&config), &[(SECOND, 200)], "beside the probe");
        }
        assert_eq!(stand.counts()[0], 4, "one probe");
        status.store(200, Ordering::SeqCst);
        story_is(&probing.join().expect("no panic"), &[(FIRST, 200)], "the probe");
    });
    story_is(&stand.send_chat(&config), &[(FIRST, 200)], "closed again");
}

#[test]
fn failed_probe_reopens_breaker() {
    let (first, _status) = moved(503, "");
    let stand = Stand::new(vec![first, well()]);
    let config = with_breaker("fallback", 150);
    for round in 0..4 {
        eventually("a call", || {
            assert_eq!(stand.send_chat(&config).status, 200);
            stand.counts()[0] == 3 + round
        });
        story_is(&stand.send_chat(&config), &[(SECOND, 200)], "open again");
    }
}

#[test]
fn breaker_is_shared_between_shards() {
    let (first, _status) = moved(500, "");
    let route = "[server]\nshards = 2\n[routes.r]\ntargets = [{ provider = \"p0\" }, \
                 { provider = \"p1\" }]\n[routes.r.strategy]\nmode = \"fallback\"\n\
                 cb_config = { failure_threshold = 3, cooldown_interval = 60000 }\n";
    let stand = Stand::with(route, vec![first, well()]);
    for _ in 0..60 {
        let request = post(CHAT_PATH, "x-ringgate-config: r\r\n", &chat("m"));
        assert_eq!(stand.gateway.send(&request).status, 200);
    }
    assert_eq!(stand.counts(), [3, 60]);
}

#[test]
fn failures_that_open_the_breaker() {
    let cb = |more: Value| {
        let mut breaker = json!({ "failure_threshold": 3, "cooldown_interval": 60_000 });
        breaker
            .as_object_mut()
            .expect("a table")
            .extend(more.as_object().cloned().expect("a table"));
        config(&json!({ "mode": "fallback", "cb_config": breaker }), 2)
    };
    let percentage = json!({ "mode": "fallback", "cb_config": {
        "failure_threshold_percentage": 50, "minimum_requests": 4, "cooldown_interval": 60_000 } });
    for (what, status, config, expected) in [
        ("failures", 500, cb(json!({})), 3),
        ("a client's own mistakes", 400, cb(json!({})), 10),
        ("mistakes that are listed", 400, cb(json!({ "failure_status_codes": [400] })), 3),
        ("failures that are not", 500, cb(json!({ "failure_status_codes": [429] })), 10),
        ("a percentage", 500, config(&percentage, 2), 4),
        ("limits", 429, cb(json!({})), 10),
        ("no config", 500, fallback(2), 5),
        ("no config, a client's own mistakes", 422, fallback(2), 10),
        ("a refused credential", 401, fallback(2), 1),
        ("a refused account", 403, fallback(2), 1),
    ] {
        let (first, _status) = moved(status, "");
        let stand = Stand::new(vec![first, well()]);
        for _ in 0..10 {
            assert_eq!(stand.send_chat(&config).status, 200, "{what}");
        }
        assert_eq!(stand.counts(), [expected, 10], "{what}");
    }
    let stand = Stand::new(vec![dead(), well()]);
    for number in 0..10 {
        let response = stand.send_chat(&fallback(2));
        let expected: &[_] =
            if number < 5 { &[(FIRST, 502), (SECOND, 200)] } else { &[(SECOND, 200)] };
        story_is(&response, expected, "refused connections");
    }
}

#[test]
fn rejected_model_ejects_only_its_target() {
    // The provider knows one model.
    let provider = Provider::start(|visit| {
        while let Some(request) = visit.request() {
            let is_known = request.contains("\"known\"");
            let answer = json_answer("200 OK", "", CHAT_ANSWER);
            visit.send(if is_known { answer } else { error_answer(404, "") }.as_bytes());
        }
    });
    let stand = Stand::new(vec![provider]);
    let named = |model: &str| json!({ "provider": "p0", "override_params": { "model": model } });
    let config = json!({ "strategy": { "mode": "fallback" },
        "targets": [named("unknown"), named("known")] });
    story_is(&stand.send_chat(&config), &[(FIRST, 404), (SECOND, 200)], "asked");
    for _ in 0..3 {
        story_is(&stand.send_chat(&config), &[(SECOND, 200)], "benched");
    }
    // A client that names a model that is not there has nobody to blame.
    let stand = Stand::new(vec![moved(404, "").0, well()]);
    for _ in 0..3 {
        story_is(
            &stand.send_chat(&fallback(2)),
            &[(FIRST, 404), (SECOND, 200)],
            "the client's model",
        );
    }
}

#[test]
fn retry_after_ejects_for_its_duration() {
    let (first, status) = moved(429, "retry-after-ms: 300\r\n");
    let stand = Stand::new(vec![first, well()]);
    story_is(&stand.send_chat(&fallback(2)), &[(FIRST, 429), (SECOND, 200)], "asked");
    story_is(&stand.send_chat(&fallback(2)), &[(SECOND, 200)], "benched");
    status.store(200, Ordering::SeqCst);
    eventually("it is asked again", || option(&stand.send_chat(&fallback(2))) == FIRST);
}

#[test]
fn all_targets_are_used_when_all_are_ejected() {
    let (first, _one) = moved(500, "");
    let (second, _other) = moved(500, "");
    let stand = Stand::new(vec![first, second]);
    let config = with_breaker("fallback", 60_000);
    for _ in 0..5 {
        story_is(&stand.send_chat(&config), &[(FIRST, 500), (SECOND, 500)], "all are out");
    }
}

/// Asks a balance until the breaker of its first provider has opened, by one failure, and has been
/// probed five times since. Gives the answers of those who noticed from then on.
fn noticed(stand: &Stand, body: &str, is_well: fn(&Response) -> bool) -> Vec<String> {
    let breaker = json!({ "failure_threshold": 1, "cooldown_interval": 60 });
    let config = config(&json!({ "mode": "loadbalance", "cb_config": breaker }), 2);
    eventually("the breaker opens", || !is_well(&stand.send(&config, "", body)));
    let before = stand.counts()[0];
    let mut noticed = Vec::new();
    eventually("some probes", || {
        let response = stand.send(&config, "", body);
        if !is_well(&response) {
            noticed.push(format!("{:?} {}", response.fields, response.text()));
        }
        stand.counts()[0] >= before + 5
    });
    noticed
}

#[test]
fn dead_half_of_targets_is_invisible_to_clients() {
    let broken = |body: &'static str| {
        Provider::start(move |visit| {
            if visit.request().is_some() {
                visit.send(body.as_bytes());
            }
        })
    };
    for (what, first) in [
        ("an error", moved(500, "").0),
        ("closed", broken("")),
        ("half a body", broken("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")),
    ] {
        let stand = Stand::new(vec![first, well()]);
        let count = noticed(&stand, &chat("m"), |response| response.status == 200);
        assert!(count.is_empty(), "{what}: {count:#?}");
    }
}

#[test]
fn early_stream_failures_are_invisible_to_clients() {
    let first = Provider::start(|visit| {
        if visit.request().is_some() {
            visit.send(STREAM_HEAD.as_bytes());
        }
    });
    let second = Provider::start(|visit| {
        while visit.request().is_some() {
            visit.send(STREAM_HEAD.as_bytes());
            visit.send([event(&delta("Hi")), event(FINISH), event("[DONE]")].concat().as_bytes());
            visit.send(b"0\r\n\r\n");
        }
    });
    let stand = Stand::new(vec![first, second]);
    let is_well = |response: &Response| response.text().ends_with("data: [DONE]\n\n");
    let noticed = noticed(&stand, &stream("m"), is_well);
    assert!(noticed.is_empty(), "{noticed:#?}");
}

#[test]
fn client_disconnect_does_not_affect_health() {
    let (first, status) = moved(WAITS, "");
    let stand = Stand::new(vec![first, well()]);
    let config = with_breaker("fallback", 60_000);
    for number in 1..=6 {
        let mut client = stand.gateway.connect();
        client.send(request(&config, "", &chat("m")).as_bytes());
        eventually("it is asked", || stand.counts()[0] == number);
        drop(client);
        stand.gateway.expect_metric("ringgate_requests_in_flight", &[], 0.0);
    }
    status.store(200, Ordering::SeqCst);
    story_is(&stand.send_chat(&config), &[(FIRST, 200)], "still closed");
}
