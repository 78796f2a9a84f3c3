//! OpenAI's responses over a WebSocket: each message a request of its own, for every provider.

use serde_json::{Value, json};

use crate::harness::{Gateway, Provider, STREAM_HEAD, event, json_answer};
use crate::realtime::{CLOSE, Peer, TEXT};

const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

const GOOGLE: &str = r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"Rome."}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":5,"totalTokenCount":15},"modelVersion":"m","responseId":"rNAME"}"#;

/// A gateway in front of one provider of Google's dialect, which refuses what holds `too many`.
fn stand(more: &str) -> (Gateway, Provider) {
    let provider = Provider::start(|visit| {
        while let Some(request) = visit.request() {
            if request.contains("too many") {
                let body = r#"{"error":{"code":429,"message":"slow down","status":"X"}}"#;
                visit.send(json_answer("429 Too Many Requests", "", body).as_bytes());
                continue;
            }
            let answer = GOOGLE.replace("NAME", &request.len().to_string());
            visit.send(format!("{STREAM_HEAD}{}0\r\n\r\n", event(&answer)).as_bytes());
        }
    });
    let settings = format!(
        "[providers.google]\ndialect = \"gemini\"\nbase_url = \"http://{}/v1beta\"\n{more}",
        provider.address
    );
    (Gateway::start(&settings), provider)
}

fn send(peer: &mut Peer, message: &Value) {
    assert!(peer.send(TEXT, message.to_string().as_bytes()));
}

/// The events up to the one that ends an answer.
fn events(peer: &mut Peer) -> Vec<Value> {
    let mut events: Vec<Value> = Vec::new();
    loop {
        let (first, payload) = peer.frame().expect("a frame");
        assert_eq!(first, TEXT, "{payload:?}");
        let event: Value = serde_json::from_slice(&payload).expect("JSON");
        let kind = event["type"].as_str().expect("a type").to_owned();
        events.push(event);
        if ["response.completed", "response.failed", "error"].contains(&kind.as_str()) {
            return events;
        }
    }
}

fn sent(provider: &Provider) -> Value {
    let request = provider.last_request();
    serde_json::from_str(request.split_once("\r\n\r\n").expect("a body").1).expect("JSON")
}

fn texts(contents: &Value) -> Vec<&str> {
    let turns = contents.as_array().expect("turns").iter();
    let parts = turns.flat_map(|turn| turn["parts"].as_array().expect("parts"));
    parts.filter_map(|part| part["text"].as_str()).collect()
}

#[test]
fn each_message_gets_its_stream_events() {
    let (gateway, provider) = stand("");
    let (_, mut peer) = Peer::open(&gateway, "/v1/responses", "");
    let create = json!({"type": "response.create", "model": "google/m", "store": false,
        "input": "one"});
    send(&mut peer, &create);
    let first = events(&mut peer);
    assert_eq!(first[0]["type"], "response.created");
    for (number, event) in first.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
    }
    let last = &first.last().expect("events")["response"];
    assert_eq!(last["output"][0]["content"][0]["text"], "Rome.");
    assert!(peer.send(PING, b"there?"));
    assert_eq!(peer.frame(), Some((PONG, b"there?".to_vec())));
    // The conversation goes on from the answer, which is stored nowhere else.
    send(
        &mut peer,
        &json!({"type": "response.create", "model": "google/m", "store": false,
            "previous_response_id": last["id"], "input": [{"role": "user", "content": "two"}]}),
    );
    let second = events(&mut peer);
    assert_eq!(texts(&sent(&provider)["contents"]), ["one", "Rome.", "two"]);
    let id = &second.last().expect("events")["response"]["id"];
    send(
        &mut peer,
        &json!({"type": "response.create", "model": "google/m", "store": false,
            "previous_response_id": id, "input": [{"role": "user", "content": "three"}]}),
    );
    events(&mut peer);
    assert_eq!(texts(&sent(&provider)["contents"]), ["one", "Rome.", "two", "Rome.", "three"]);
    assert!(peer.send(CLOSE, &1000_u16.to_be_bytes()));
    assert_eq!(peer.frame(), Some((CLOSE, 1000_u16.to_be_bytes().to_vec())));
    assert_eq!(peer.frame(), None);
    gateway.expect_metric("ringgate_requests_in_flight", &[], 0.0);
    gateway.expect_metric("ringgate_requests_total", &["endpoint=\"responses\""], 3.0);
}

#[test]
fn generate_false_prepares_next_request() {
    let (gateway, provider) = stand("");
    let (_, mut peer) = Peer::open(&gateway, "/v1/responses", "");
    send(
        &mut peer,
        &json!({"type": "response.create", "model": "google/m", "generate": false,
            "input": [{"role": "user", "content": "one"}]}),
    );
    let prepared = events(&mut peer);
    let answer = &prepared.last().expect("events")["response"];
    assert_eq!((&answer["status"], &answer["output"]), (&json!("completed"), &json!([])));
    assert_eq!(provider.request_count(), 0);
    send(
        &mut peer,
        &json!({"type": "response.create", "model": "google/m",
            "previous_response_id": answer["id"], "input": [{"role": "user", "content": "two"}]}),
    );
    events(&mut peer);
    assert_eq!(texts(&sent(&provider)["contents"]), ["one", "two"]);
}

#[test]
fn events_name_their_request_stream() {
    let (gateway, provider) = stand("");
    let (_, mut peer) = Peer::open(&gateway, "/v1/responses", "");
    let create = |stream: &str, previous: Option<&Value>, input: &str| {
        let mut create = json!({"type": "response.create", "model": "google/m", "store": false,
            "stream_id": stream, "input": [{"role": "user", "content": input}]});
        if let Some(previous) = previous {
            create["previous_response_id"] = previous.clone();
        }
        create
    };
    let mut send_on = |stream: &str, previous: Option<&Value>, input: &str| {
        send(&mut peer, &create(stream, previous, input));
        let events = events(&mut peer);
        assert!(events.len() > 2);
        for event in &events {
            assert_eq!(event["stream_id"], stream, "{event}");
        }
        events.last().expect("events")["response"]["id"].clone()
    };
    let main = send_on("main", None, "one");
    let other = send_on("other", None, "uno");
    // Each goes on from its own last answer, and a new one from any of them.
    send_on("fork", Some(&main), "three");
    assert_eq!(texts(&sent(&provider)["contents"]), ["one", "Rome.", "three"]);
    send_on("main", Some(&main), "two");
    assert_eq!(texts(&sent(&provider)["contents"]), ["one", "Rome.", "two"]);
    send_on("other", Some(&other), "due");
    assert_eq!(texts(&sent(&provider)["contents"]), ["uno", "Rome.", "due"]);
    // So do errors, of the provider and of the gateway, and answers without a provider.
    for (more, kind) in [
        (json!({"input": "too many"}), "error"),
        (json!({"type": "nonsense"}), "error"),
        (json!({"generate": false}), "response.completed"),
    ] {
        let mut message = create("main", None, "x");
        for (key, value) in more.as_object().expect("members") {
            message[key] = value.clone();
        }
        send(&mut peer, &message);
        let events = events(&mut peer);
        let last = events.last().expect("events");
        assert_eq!((&last["type"], &last["stream_id"]), (&kind.into(), &"main".into()), "{last}");
    }
}

#[test]
fn unused_steering_input_is_returned() {
    let (gateway, provider) = stand("");
    let (_, mut peer) = Peer::open(&gateway, "/v1/responses", "");
    let input = json!([{"role": "user", "content": "rather this"}]);
    let steer = json!({"type": "response.steer", "previous_response_id": "resp_1", "input": input});
    send(&mut peer, &steer);
    let (first, payload) = peer.frame().expect("a frame");
    assert_eq!(first, TEXT);
    let event: Value = serde_json::from_slice(&payload).expect("JSON");
    assert_eq!(event["type"], "response.steer.failed");
    assert_eq!(event["error"]["code"], "steering_not_supported");
    assert_eq!(event["error"]["type"], "invalid_request_error");
    assert_eq!(event["steer"], json!({"previous_response_id": "resp_1", "input": input}));
    assert!(event["sequence_number"].is_u64());
    assert_eq!(provider.request_count(), 0);
    // The connection serves on.
    send(&mut peer, &json!({"type": "response.create", "model": "google/m", "input": "one"}));
    assert_eq!(events(&mut peer)[0]["type"], "response.created");
}

#[test]
fn error_is_an_event_and_keeps_connection() {
    let (gateway, _provider) = stand("");
    let (_, mut peer) = Peer::open(&gateway, "/v1/responses", "");
    for (message, status, word) in [
        (json!({"type": "response.cancel"}), 400, "response.create"),
        (json!({"type": "response.create", "model": "@nobody/m", "input": "x"}), 400, "nobody"),
        (json!({"type": "response.create", "model": "google/m"}), 400, "input"),
        (
            json!({"type": "response.create", "model": "google/m", "input": "x",
                "previous_response_id": "resp_gone"}),
            400,
            "resp_gone",
        ),
        (
            json!({"type": "response.create", "model": "google/m", "input": "too many"}),
            429,
            "slow down",
        ),
    ] {
        send(&mut peer, &message);
        let events_received = events(&mut peer);
        let [error] = events_received.as_slice() else {
            panic!("{message} gave {}", events_received.len())
        };
        assert_eq!(
            (&error["type"], &error["status"]),
            (&json!("error"), &json!(status)),
            "{error}"
        );
        let text = error["error"]["message"].as_str().expect("a message");
        assert!(text.contains(word), "{text}");
    }
    assert!(peer.send(TEXT, b"no JSON"));
    assert_eq!(events(&mut peer)[0]["status"], 400);
    send(&mut peer, &json!({"type": "response.create", "model": "google/m", "input": "x"}));
    assert_eq!(events(&mut peer).last().expect("events")["type"], "response.completed");
}

#[test]
fn native_provider_gets_full_conversation() {
    let answer = |number: &str| {
        let item = format!(
            r#"{{"type":"message","id":"msg_{number}","role":"assistant","status":"completed","content":[{{"type":"output_text","text":"Rome.","annotations":[]}}]}}"#
        );
        let data = format!(
            r#"{{"type":"response.completed","sequence_number":0,"response":{{"id":"resp_{number}","status":"completed","output":[{item}]}}}}"#
        );
        let event = format!("event: response.completed\ndata: {data}\n\n");
        format!("{STREAM_HEAD}{:x}\r\n{event}\r\n0\r\n\r\n", event.len())
    };
    let provider = Provider::start(move |visit| {
        let mut number = 0;
        while visit.request().is_some() {
            number += 1;
            visit.send(answer(&number.to_string()).as_bytes());
        }
    });
    let gateway = Gateway::start(&format!(
        "[providers.own]\ndialect = \"openai-responses\"\nbase_url = \"http://{}/v1\"\n",
        provider.address
    ));
    let (_, mut peer) = Peer::open(&gateway, "/v1/responses", "");
    send(&mut peer, &json!({"type": "response.create", "model": "own/m", "input": "one"}));
    let first = events(&mut peer);
    assert_eq!(first[0]["response"]["id"], "resp_1");
    send(
        &mut peer,
        &json!({"type": "response.create", "model": "own/m", "previous_response_id": "resp_1",
            "input": [{"role": "user", "content": "two"}]}),
    );
    events(&mut peer);
    let body = sent(&provider);
    assert!(body.get("previous_response_id").is_none() && body.get("type").is_none(), "{body}");
    assert_eq!(body["stream"], true);
    let expected = json!([{"role": "user", "content": "one"},
        first[0]["response"]["output"][0], {"role": "user", "content": "two"}]);
    assert_eq!(body["input"], expected);
}

#[test]
fn unauthorized_client_is_rejected_before_handshake() {
    let (gateway, _provider) = stand("[keys.one]\nsecret = \"rg-key-one\"\n");
    let plain = gateway
        .send("GET /v1/responses HTTP/1.1\r\nhost: g\r\nauthorization: Bearer rg-key-one\r\n\r\n");
    assert_eq!(plain.status, 426, "{}", plain.text());
    let stranger = gateway.send(
        "GET /v1/responses HTTP/1.1\r\nhost: g\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert_eq!(stranger.status, 401, "{}", stranger.text());
    let fields = "authorization: Bearer rg-key-one\r\n";
    let (_, mut peer) = Peer::open(&gateway, "/v1/responses", fields);
    send(&mut peer, &json!({"type": "response.create", "model": "google/m", "input": "x"}));
    assert_eq!(events(&mut peer).last().expect("events")["type"], "response.completed");
    // A message without a mask is no client's.
    let (_, mut peer) = Peer::open(&gateway, "/v1/responses", fields);
    assert!(peer.send(0x82, b"binary"));
    assert_eq!(peer.frame(), Some((CLOSE, 1003_u16.to_be_bytes().to_vec())));
}
