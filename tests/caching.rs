//! The cache: the same request is answered once by its provider, and another never by accident.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    CHAT_ANSWER, Client, FINISH, Folder, Gateway, Provider, Response, STREAM_HEAD, USAGE, chat,
    delta, event, eventually, json_answer, post, stream,
};

const PATH: &str = "/v1/chat/completions";
const CACHED: &str = "x-ringgate-config: {\"cache\":{\"mode\":\"simple\"}}\r\n";

fn status(response: &Response) -> &str {
    response.field("x-ringgate-cache-status").expect("a cache status")
}

/// Sends a request whose answers are cached.
fn send(gateway: &Gateway, fields: &str, body: &str) -> Response {
    gateway.send(&post(PATH, &format!("{CACHED}{fields}"), body))
}

fn answering() -> (Provider, Gateway) {
    let provider = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let gateway = Gateway::start(&provider.section("p", ""));
    (provider, gateway)
}

/// The text of a streamed answer.
fn text_of(events: &str) -> String {
    let data = events.lines().filter_map(|line| line.strip_prefix("data: "));
    let chunks = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    chunks
        .filter_map(|chunk| Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned()))
        .collect()
}

#[test]
fn identical_request_is_a_cache_hit() {
    let (provider, gateway) = answering();
    let first = send(&gateway, "", &chat("m"));
    assert_eq!((status(&first), first.text().as_str()), ("MISS", CHAT_ANSWER));
    let again = send(&gateway, "", &chat("m"));
    assert_eq!((again.status, status(&again)), (200, "HIT"));
    assert_eq!(again.field("x-ringgate-provider"), Some("p"));
    assert!(again.field("age").is_some());
    let (mut given, mut kept) = (again.json(), first.json());
    let id = again.field("x-ringgate-request-id").expect("an id");
    assert_eq!(given["id"], format!("chatcmpl-{id}"), "an id of its own");
    (given["id"], kept["id"]) = (Value::Null, Value::Null);
    assert_eq!(given, kept);

    let reordered =
        r#"{ "messages" : [{"role":"user","content":"Hello"}], "user":"u", "model":"m" }"#;
    assert_eq!(status(&send(&gateway, "", reordered)), "HIT", "order and end user say nothing");
    assert_eq!(provider.request_count(), 1);
    gateway.expect_metric("ringgate_cache_hits_total", &[], 2.0);
    gateway.expect_metric("ringgate_cache_misses_total", &[], 1.0);
    gateway.expect_metric("ringgate_cache_stores_total", &[], 1.0);
    gateway.expect_metric("ringgate_tokens_total", &["input"], 7.0);
}

#[test]
fn caching_is_off_by_default() {
    let (provider, gateway) = answering();
    for _ in 0..2 {
        assert_eq!(status(&gateway.post(PATH, &chat("m"))), "DISABLED");
    }
    assert_eq!(provider.request_count(), 2);
}

#[test]
fn cached_response_serves_json_and_stream() {
    let (provider, gateway) = answering();
    send(&gateway, "", &chat("m"));
    let streamed = send(&gateway, "", &stream("m"));
    assert_eq!(status(&streamed), "HIT");
    assert_eq!(streamed.field("content-type"), Some("text/event-stream; charset=utf-8"));
    let events = streamed.text();
    assert_eq!(text_of(&events), "Hi");
    assert!(events.ends_with("data: [DONE]\n\n") && !events.contains("usage"), "{events}");
    let body = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hello"}]}"#;
    let with_usage = send(&gateway, "", body).text();
    assert!(with_usage.contains(r#""prompt_tokens":7"#), "{with_usage}");
    assert_eq!(provider.request_count(), 1);
}

#[test]
fn complete_stream_is_cached_and_broken_one_is_not() {
    let whole = Arc::new(AtomicUsize::new(0));
    let number = Arc::clone(&whole);
    let provider = Provider::start(move |visit| {
        while visit.request().is_some() {
            let is_whole = number.fetch_add(1, Ordering::SeqCst) > 0;
            visit.send(STREAM_HEAD.as_bytes());
            visit.send(event(&delta("Hel")).as_bytes());
            visit.send(event(&delta("lo")).as_bytes());
            if !is_whole {
                return;
            }
            visit.send(event(FINISH).as_bytes());
            visit.send(event(USAGE).as_bytes());
            visit.send(event("[DONE]").as_bytes());
            visit.send(b"0\r\n\r\n");
        }
    });
    let gateway = Gateway::start(&provider.section("p", ""));
    let broken = send(&gateway, "", &stream("m"));
    assert!(!broken.text().contains("[DONE]"));
    assert_eq!(status(&send(&gateway, "", &stream("m"))), "MISS", "half an answer is none");
    let again = send(&gateway, "", &stream("m"));
    assert_eq!((status(&again), text_of(&again.text()).as_str()), ("HIT", "Hello"));
    let json = send(&gateway, "", &chat("m"));
    assert_eq!(status(&json), "HIT");
    assert_eq!(json.json()["choices"][0]["message"]["content"], "Hello");
    assert_eq!(json.json()["object"], "chat.completion");
    assert!(json.json()["usage"]["prompt_tokens"].is_number(), "{}", json.text());
    assert_eq!(whole.load(Ordering::SeqCst), 2);
}

#[test]
fn any_request_difference_is_a_cache_miss() {
    let (provider, gateway) = answering();
    let variant = |edit: &dyn Fn(&mut Value)| {
        let mut body = json!({
            "model": "m", "temperature": 0.5, "max_tokens": 5, "stop": ["x"], "seed": 1,
            "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "none",
            "response_format": {"type": "text"},
            "messages": [
                {"role": "system", "content": "s"}, {"role": "user", "content": "a"},
                {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"},
            ],
        });
        edit(&mut body);
        body.to_string()
    };
    let plain = variant(&|_| {});
    let bodies = [
        variant(&|body| body["model"] = json!("n")),
        variant(&|body| body["temperature"] = json!(0.6)),
        variant(&|body| body["top_p"] = json!(0.6)),
        variant(&|body| body["max_tokens"] = json!(6)),
        variant(&|body| body["stop"] = json!(["y"])),
        variant(&|body| body["seed"] = json!(2)),
        variant(&|body| body["n"] = json!(1)),
        variant(&|body| body["tools"][0]["function"]["name"] = json!("g")),
        variant(&|body| body["tool_choice"] = json!("auto")),
        variant(&|body| body["response_format"] = json!({"type": "json_object"})),
        variant(&|body| body["messages"][0]["content"] = json!("t")),
        variant(&|body| body["messages"][0]["role"] = json!("developer")),
        variant(&|body| body["messages"][1]["content"] = json!("A")),
        variant(&|body| body["messages"][2]["content"] = json!("B")),
        variant(&|body| body["messages"][3]["content"] = json!("C")),
    ];
    let fields = [
        "x-ringgate-cache-namespace: n\r\n",
        "x-ringgate-provider: p\r\n",
        "authorization: Bearer another\r\n",
        "openai-organization: o\r\n",
        "anthropic-beta: b\r\n",
        "accept-language: de\r\n",
        "x-ringgate-forward-headers: x-a\r\nx-a: 1\r\n",
        "x-ringgate-forward-headers: x-a\r\nx-a: 2\r\n",
    ];
    assert_eq!(status(&send(&gateway, "", &plain)), "MISS");
    for body in &bodies {
        assert_eq!(status(&send(&gateway, "", body)), "MISS", "{body}");
    }
    for fields in fields {
        assert_eq!(status(&send(&gateway, fields, &plain)), "MISS", "{fields}");
    }
    let config = r#"{"cache":{"mode":"simple"},"override_params":{"top_k":1}}"#;
    let other_route = post(PATH, &format!("x-ringgate-config: {config}\r\n"), &plain);
    assert_eq!(status(&gateway.send(&other_route)), "MISS");
    let count = 1 + bodies.len() + fields.len() + 1;
    assert_eq!(provider.request_count(), count);
    // All of them are stored, and each under its own name.
    for body in bodies.iter().chain([&plain]) {
        assert_eq!(status(&send(&gateway, "", body)), "HIT", "{body}");
    }
    assert_eq!(provider.request_count(), count);
}

/// Fields of a request that the gateway may let through, each with a value that means something.
const FIELDS: [&str; 34] = [
    "accept: text/plain",
    "accept-charset: utf-8",
    "accept-encoding: br",
    "accept-language: de",
    "anthropic-beta: b",
    "anthropic-note: n",
    "anthropic-version: 2023-01-01",
    "anthropic-workspace-id: w",
    "api-key: k",
    "baggage: a=1",
    "content-language: de",
    "content-type: application/json; charset=latin1",
    "cookie: a=1",
    "dnt: 1",
    "expect: 100-continue",
    "forwarded: for=1.2.3.4",
    "from: a@example.com",
    "idempotency-key: i",
    "if-match: \"a\"",
    "if-modified-since: Sun, 06 Nov 1994 08:49:37 GMT",
    "if-none-match: \"a\"",
    "openai-beta: b",
    "openai-note: n",
    "openai-organization: o",
    "openai-project: p",
    "origin: http://a",
    "prefer: respond-async",
    "range: bytes=0-1",
    "referer: http://a/",
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "user-agent: another/1",
    "via: 1.1 a",
    "x-forwarded-for: 1.2.3.4",
    "x-named: 1",
];

/// What a provider gets, less what says nothing about the answer.
fn substance(request: &str) -> String {
    let is_noise = |line: &str| {
        ["traceparent: ", "tracestate: ", "user-agent: "].iter().any(|name| line.starts_with(name))
    };
    request.lines().filter(|line| !is_noise(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn provider_settings_are_part_of_the_cache_key() {
    let provider = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let route = "[routes.kept]\nforward_headers = [\"x-named\"]\ncache = { mode = \"simple\", scope = \
                 \"shared\" }\ntargets = [{ provider = \"p\" }]\n";
    let through = provider.section("q", "").replace("openai-chat", "passthrough");
    let through = format!(
        "{through}[routes.ranks]\ncache = {{ mode = \"simple\" }}\ntargets = [{{ \
                           provider = \"q\" }}]\n"
    );
    let gateway = Gateway::start(&format!("{}{route}{through}", provider.section("p", "")));
    let body = r#"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hello"}],"input":"Hello","prompt":"Hello","query":"Hello","documents":["a"]}"#;
    let messages = r#"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"Hello"}]}"#;
    let google = r#"{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}"#;
    let mut distinct = 0;
    for (path, body, route) in [
        (PATH, body, "kept"),
        ("/v1/completions", body, "kept"),
        ("/v1/embeddings", body, "kept"),
        ("/v1/messages", messages, "kept"),
        ("/v1/responses", r#"{"model":"m","input":"Hello"}"#, "kept"),
        ("/v1beta/models/m:generateContent", google, "kept"),
        ("/v1/rerank", body, "ranks"),
    ] {
        // A namespace for each path: those of one meaning share their answers otherwise.
        let space = path.replace(['/', ':'], "-");
        let send = |target: &str, fields: &str| {
            let is_typed = fields.starts_with("content-type");
            let fields = format!(
                "x-ringgate-config: {route}\r\nx-ringgate-cache-namespace: {space}\r\n{fields}"
            );
            let request = post(target, &fields, body);
            let untyped = request.replacen("content-type: application/json\r\n", "", 1);
            gateway.send(if is_typed { &untyped } else { &request })
        };
        // As it arrives, and whether it was asked for before.
        let look = |target: &str, fields: &str| {
            send(target, &format!("{fields}cache-control: no-store\r\n"));
            let seen = substance(&provider.last_request());
            let response = send(target, fields);
            let found = response.field("x-ringgate-cache-status").unwrap_or("none").to_owned();
            (seen, found)
        };
        let (plain, first) = look(path, "");
        assert_eq!(first, "MISS", "{path}");
        let mut variants: Vec<(String, String)> =
            FIELDS.map(|field| (path.to_owned(), format!("{field}\r\n"))).to_vec();
        for query in
            ["persona=evil", "persona=good", "a", "alt=sse", "%70ersona=evil", "api-version=1"]
        {
            variants.push((format!("{path}?{query}"), String::new()));
        }
        variants.push((path.to_owned(), "x-named: 2\r\n".to_owned()));
        variants.push((
            path.to_owned(),
            "x-ringgate-forward-headers: x-other\r\nx-other: 1\r\n".to_owned(),
        ));
        if path == "/v1/rerank" {
            variants.push(("/v2/rerank".to_owned(), String::new()));
        }
        for (target, fields) in variants {
            let (seen, found) = look(&target, &fields);
            let is_other = seen != plain;
            distinct += usize::from(is_other);
            assert!(!is_other || found == "MISS", "{target} {fields}: {found}\n{plain}\n{seen}");
        }
        assert_eq!(look(path, "").1, "HIT", "{path}");
        assert_eq!(look(path, "user-agent: another/2\r\naccept: */*\r\n").1, "HIT", "{path}");
    }
    assert!(distinct > 60, "{distinct} variants arrived as others");
}

#[test]
fn query_string_prevents_sharing_in_flight_responses() {
    // Answers say what was asked for; the first waits until the second has come.
    let count = Arc::new(AtomicUsize::new(0));
    let came = Arc::clone(&count);
    let provider = Provider::start(move |visit| {
        while let Some(request) = visit.request() {
            came.fetch_add(1, Ordering::SeqCst);
            eventually("both have come", || came.load(Ordering::SeqCst) >= 2);
            let target = request.split(' ').nth(1).unwrap_or_default();
            visit.send(json_answer("200 OK", "", &CHAT_ANSWER.replace("Hi", target)).as_bytes());
        }
    });
    let gateway = Gateway::start(&provider.section("p", ""));
    thread::scope(|scope| {
        for query in ["?persona=evil", "?persona=good"] {
            let gateway = &gateway;
            scope.spawn(move || {
                let request = post(&format!("{PATH}{query}"), CACHED, &chat("m"));
                for expected in ["MISS", "HIT"] {
                    let response = gateway.send(&request);
                    assert_eq!(status(&response), expected, "{query}");
                    assert!(response.text().contains(query), "{}", response.text());
                }
            });
        }
    });
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[test]
fn route_overrides_are_part_of_the_cache_key() {
    let provider = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let settings = |persona: &str, key: &str| {
        provider.section(
            "p",
            &format!("api_key = \"{key}\"\nheaders = {{ x-persona = \"{persona}\" }}"),
        )
    };
    let gateway = Gateway::start(&settings("kind", "test-credential-1"));
    let mut generation = 1.0;
    let mut reload = |text: &str| {
        gateway.folder.write("ringgate.toml", text);
        gateway.signal("HUP");
        generation += 1.0;
        gateway.expect_metric("ringgate_settings_generation", &[], generation);
        // The shard hears of it a moment later.
        eventually("the shard has them", || {
            let response = gateway.post(PATH, &chat("m"));
            response.status == 200
                && text.contains(header(&provider.last_request(), "x-persona"))
                && text.contains(
                    header(&provider.last_request(), "authorization").trim_start_matches("Bearer "),
                )
        });
    };
    assert_eq!(status(&send(&gateway, "", &chat("m"))), "MISS");
    reload(&settings("kind", "test-credential-2"));
    assert_eq!(status(&send(&gateway, "", &chat("m"))), "HIT", "the account is the same");
    reload(&settings("evil", "test-credential-2"));
    assert_eq!(status(&send(&gateway, "", &chat("m"))), "MISS");
}

/// The value of a field of a request as text.
fn header<'r>(request: &'r str, name: &str) -> &'r str {
    let line = request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.expect("a field of that name")
}

#[test]
fn cache_is_isolated_by_tenant_by_default() {
    let provider = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let settings = format!(
        "{}[keys.a]\nsecret = \"${{A}}\"\n[keys.b]\nsecret = \"${{B}}\"\nmodels = [\"m\"]\n\
         [routes.own]\ncache = {{ mode = \"simple\" }}\n\
         [routes.all]\ncache = {{ mode = \"simple\", scope = \"shared\" }}\n\
         [routes.user]\ncache = {{ mode = \"simple\", scope = \"user\" }}\n",
        provider.section("p", "")
    );
    let environment = [("A", "the-secret-of-key-a"), ("B", "the-secret-of-key-b")];
    let gateway = Gateway::start_with(&settings, &environment, &[]);
    let send = |key: &str, route: &str, fields: &str, body: &str| {
        let fields = format!(
            "authorization: Bearer the-secret-of-key-{key}\r\nx-ringgate-config: \
             {route}\r\n{fields}"
        );
        let response = gateway.send(&post(PATH, &fields, body));
        assert!(response.status == 200 || response.status == 403, "{}", response.text());
        if response.status == 403 { "403".to_owned() } else { status(&response).to_owned() }
    };
    let user = |name: &str| {
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"user":"{name}"}}"#)
    };
    for (key, route, fields, body, expected) in [
        ("a", "own", "", chat("m"), "MISS"),
        ("a", "own", "", chat("m"), "HIT"),
        ("b", "own", "", chat("m"), "MISS"),
        ("b", "own", "", chat("m"), "HIT"),
        ("a", "all", "", chat("m"), "MISS"),
        ("b", "all", "", chat("m"), "HIT"),
        // What is shared is the answer, not the leave to use the model.
        ("a", "all", "", chat("n"), "MISS"),
        ("b", "all", "", chat("n"), "403"),
        ("a", "user", "", chat("m"), "DISABLED"),
        ("a", "user", "", user("1"), "MISS"),
        ("a", "user", "", user("2"), "MISS"),
        ("a", "user", "", user("1"), "HIT"),
        ("b", "user", "", user("1"), "MISS"),
        ("a", "user", "x-ringgate-metadata: {\"_user\":\"3\"}\r\n", chat("m"), "MISS"),
        ("a", "user", "x-portkey-metadata: {\"_user\":\"3\"}\r\n", chat("m"), "HIT"),
    ] {
        assert_eq!(send(key, route, fields, &body), expected, "{key} {route} {fields} {body}");
    }
}

#[test]
fn only_complete_successful_responses_are_cached() {
    let with = |edit: &dyn Fn(&mut Value)| {
        let mut answer: Value = serde_json::from_str(CHAT_ANSWER).expect("JSON");
        edit(&mut answer["choices"][0]);
        json_answer("200 OK", "", &answer.to_string())
    };
    for answer in [
        json_answer("500 Oops", "", r#"{"error":{"message":"x"}}"#),
        json_answer("429 Slow", "", r#"{"error":{"message":"x"}}"#),
        json_answer("201 Made", "", CHAT_ANSWER),
        json_answer("200 OK", "", r#"{"error":{"message":"x"}}"#),
        with(&|choice| choice["finish_reason"] = json!("length")),
        with(&|choice| choice["finish_reason"] = json!("content_filter")),
        with(&|choice| choice["message"]["refusal"] = json!("no")),
        with(&|choice| choice["message"]["tool_calls"] = json!([{"id": "t"}])),
    ] {
        let provider = Provider::always(answer.clone());
        let gateway = Gateway::start(&provider.section("p", ""));
        for _ in 0..2 {
            assert_eq!(status(&send(&gateway, "", &chat("m"))), "MISS", "{answer}");
        }
        assert_eq!(provider.request_count(), 2, "{answer}");
    }
}

#[test]
fn client_headers_control_the_cache() {
    let (provider, gateway) = answering();
    for (fields, expected, calls) in [
        ("cache-control: no-store\r\n", "DISABLED", 1),
        ("x-portkey-debug: false\r\n", "DISABLED", 2),
        ("cache-control: no-cache\r\n", "REFRESH", 3),
        ("", "HIT", 3),
        ("x-portkey-cache-force-refresh: true\r\n", "REFRESH", 4),
        ("x-portkey-cache-force-refresh: false\r\n", "HIT", 4),
        ("cache-control: max-age=600\r\n", "HIT", 4),
        ("x-portkey-cache-namespace: n\r\n", "MISS", 5),
        ("x-ringgate-cache-namespace: n\r\n", "HIT", 5),
    ] {
        let response = send(&gateway, fields, &chat("m"));
        assert_eq!(status(&response), expected, "{fields}");
        if fields.contains("x-portkey") {
            assert_eq!(response.field("x-portkey-cache-status"), Some(expected));
        }
        assert_eq!(provider.request_count(), calls, "{fields}");
    }
}

#[test]
fn embeddings_are_cached() {
    let answer = r#"{"object":"list","data":[{"embedding":[0.5]}],"model":"m","usage":{"prompt_tokens":1,"total_tokens":1}}"#;
    let provider = Provider::always(json_answer("200 OK", "", answer));
    let gateway = Gateway::start(&provider.section("p", ""));
    for expected in ["MISS", "HIT"] {
        let request = post("/v1/embeddings", CACHED, r#"{"model":"m","input":"x"}"#);
        let response = gateway.send(&request);
        assert_eq!((status(&response), response.text().as_str()), (expected, answer));
    }
}

/// A provider that takes a while for each answer.
fn slow(answer: &'static str) -> Provider {
    Provider::start(move |visit| {
        while visit.request().is_some() {
            thread::sleep(Duration::from_millis(300));
            visit.send(json_answer("200 OK", "", answer).as_bytes());
        }
    })
}

const ONE_SHARD: &str = "[server]\nshards = 1\n";

#[test]
fn identical_requests_in_flight_share_one_call() {
    let provider = slow(CHAT_ANSWER);
    let gateway = Gateway::start(&format!("{FOUR_SHARDS}{}", provider.section("p", "")));
    let mut clients: Vec<Client> = (0..20).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        client.send(post(PATH, CACHED, &chat("m")).as_bytes());
    }
    let answers: Vec<Response> = clients.iter_mut().map(Client::response).collect();
    let mut ids: Vec<String> =
        answers.iter().map(|answer| answer.json()["id"].to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20, "each has an id of its own");
    assert!(answers.iter().all(|it| it.json()["choices"][0]["message"]["content"] == "Hi"));
    assert_eq!(answers.iter().filter(|it| status(it) == "HIT").count(), 19);
    assert_eq!(provider.request_count(), 1);
    gateway.expect_metric("ringgate_cache_joins_total", &[], 19.0);
}

/// A provider that streams "Hel", waits for the signal, and streams "lo" and the end.
fn halting() -> (Provider, Arc<AtomicBool>) {
    let go_on = Arc::new(AtomicBool::new(false));
    let may_go_on = Arc::clone(&go_on);
    let provider = Provider::start(move |visit| {
        while visit.request().is_some() {
            visit.send(STREAM_HEAD.as_bytes());
            visit.send(event(&delta("Hel")).as_bytes());
            eventually("it may go on", || may_go_on.load(Ordering::SeqCst));
            for data in [&delta("lo"), FINISH, USAGE, "[DONE]"] {
                visit.send(event(data).as_bytes());
            }
            visit.send(b"0\r\n\r\n");
        }
    });
    (provider, go_on)
}

/// A client that has asked for the stream and had its first event.
fn in_a_stream(gateway: &Gateway) -> Client {
    let mut client = gateway.connect();
    client.send(post(PATH, CACHED, &stream("m")).as_bytes());
    client.wait_for("Hel");
    client
}

const FOUR_SHARDS: &str = "[server]\nshards = 4\n";

#[test]
fn identical_streams_in_flight_share_one_call() {
    let (provider, go_on) = halting();
    let gateway = Gateway::start(&format!("{FOUR_SHARDS}{}", provider.section("p", "")));
    let with_usage = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Hello"}]}"#;
    let mut clients: Vec<Client> = (0..12).map(|_| gateway.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let body = if number % 2 == 0 { stream("m") } else { with_usage.to_owned() };
        client.send(post(PATH, CACHED, &body).as_bytes());
        client.wait_for("Hel");
    }
    let mut whole = gateway.connect();
    whole.send(post(PATH, CACHED, &chat("m")).as_bytes());
    eventually("all are here", || gateway.metric("ringgate_requests_in_flight", &[]) == 13.0);
    go_on.store(true, Ordering::SeqCst);
    let mut ids = std::collections::BTreeSet::new();
    for (number, client) in clients.iter_mut().enumerate() {
        let answer = client.response();
        let text = answer.text();
        assert_eq!(status(&answer), if number == 0 { "MISS" } else { "HIT" });
        assert_eq!(answer.field("x-ringgate-provider"), Some("p"));
        assert_eq!(text_of(&text), "Hello", "{text}");
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
        assert_eq!(text.contains("\"usage\""), number % 2 == 1, "{number}: {text}");
        let first = text.lines().find_map(|line| line.strip_prefix("data: ")).expect("an event");
        let first: Value = serde_json::from_str(first).expect("JSON");
        ids.insert(first["id"].to_string());
    }
    assert_eq!(ids.len(), 12, "each has an id of its own: {ids:?}");
    let whole = whole.response();
    assert_eq!((status(&whole), &whole.json()["object"]), ("HIT", &json!("chat.completion")));
    assert_eq!(provider.request_count(), 1);
    gateway.expect_metric("ringgate_cache_joins_total", &[], 12.0);
}

#[test]
fn shared_stream_outlives_its_leaders_client() {
    let (provider, go_on) = halting();
    let gateway = Gateway::start(&format!("{FOUR_SHARDS}{}", provider.section("p", "")));
    let [first, mut second] = [(); 2].map(|()| in_a_stream(&gateway));
    first.reset();
    // Long enough for the gateway to notice.
    thread::sleep(Duration::from_millis(200));
    go_on.store(true, Ordering::SeqCst);
    let text = second.response().text();
    assert!(text_of(&text) == "Hello" && text.ends_with("[DONE]\n\n"), "{text}");
    gateway.expect_metric("ringgate_requests_in_flight", &[], 0.0);
    assert_eq!(status(&send(&gateway, "", &stream("m"))), "HIT", "and is stored");
    assert_eq!(provider.request_count(), 1);

    // When all are gone, so is the provider's connection.
    let provider = Provider::start(|visit| {
        while visit.request().is_some() {
            visit.send(STREAM_HEAD.as_bytes());
            visit.send(event(&delta("Hel")).as_bytes());
            visit.wait_for_end();
        }
    });
    let gateway = Gateway::start(&format!("{FOUR_SHARDS}{}", provider.section("p", "")));
    let clients = [(); 3].map(|()| in_a_stream(&gateway));
    clients.into_iter().for_each(Client::reset);
    gateway.expect_metric("ringgate_requests_in_flight", &[], 0.0);
    eventually("nothing is open", || gateway.sockets_to(provider.address.port()) == 0);
}

#[test]
fn slow_leader_does_not_stall_followers() {
    let text = "x".repeat(64 * 1024);
    let provider = Provider::start(move |visit| {
        if visit.request().is_some() {
            visit.send(STREAM_HEAD.as_bytes());
            visit.send(event(&delta("Hel")).as_bytes());
            for _ in 0..200 {
                visit.send(event(&delta(&text)).as_bytes());
            }
            visit.send(event(FINISH).as_bytes());
            visit.send(event("[DONE]").as_bytes());
            // It closes without the last chunk, after all events.
        }
    });
    let gateway = Gateway::start(&format!("{FOUR_SHARDS}{}", provider.section("p", "")));
    let mut never_reads = gateway.connect();
    never_reads.send(post(PATH, CACHED, &stream("m")).as_bytes());
    eventually("the provider is asked", || provider.request_count() == 1);
    let begun = std::time::Instant::now();
    let shared = send(&gateway, "", &stream("m"));
    assert_eq!(status(&shared), "HIT");
    assert_eq!(text_of(&shared.text()).len(), 3 + 200 * 64 * 1024);
    assert!(shared.text().ends_with("data: [DONE]\n\n"));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(provider.request_count(), 1);
}

#[test]
fn broken_shared_stream_fails_all_followers() {
    let go_on = Arc::new(AtomicBool::new(false));
    let may_go_on = Arc::clone(&go_on);
    let provider = Provider::start(move |visit| {
        if visit.request().is_some() {
            visit.send(STREAM_HEAD.as_bytes());
            visit.send(event(&delta("Hel")).as_bytes());
            eventually("it may go on", || may_go_on.load(Ordering::SeqCst));
            visit.reset();
        }
    });
    let gateway = Gateway::start(&format!("{FOUR_SHARDS}{}", provider.section("p", "")));
    let mut clients = [(); 3].map(|()| in_a_stream(&gateway));
    go_on.store(true, Ordering::SeqCst);
    for client in &mut clients {
        let text = client.response().text();
        assert!(text.contains("\"error\"") && !text.contains("[DONE]"), "{text}");
    }
}

#[test]
fn followers_survive_a_failed_leader() {
    // Its answer cannot be stored, so that each asks for itself.
    const CUT: &str = r#"{"object":"chat.completion","choices":[{"message":{"content":"Hi"},"finish_reason":"length"}]}"#;
    let provider = slow(CUT);
    let gateway = Gateway::start(&format!("{ONE_SHARD}{}", provider.section("p", "")));
    let mut clients: Vec<Client> = (0..3).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        client.send(post(PATH, CACHED, &chat("m")).as_bytes());
    }
    assert!(clients.iter_mut().all(|client| client.response().text() == CUT));
    assert_eq!(provider.request_count(), 3);

    // It leaves.
    let provider = slow(CHAT_ANSWER);
    let gateway = Gateway::start(&format!("{ONE_SHARD}{}", provider.section("p", "")));
    let mut first = gateway.connect();
    first.send(post(PATH, CACHED, &chat("m")).as_bytes());
    eventually("the provider is asked", || provider.request_count() == 1);
    let mut second = gateway.connect();
    second.send(post(PATH, CACHED, &chat("m")).as_bytes());
    eventually("the second waits", || gateway.metric("ringgate_requests_in_flight", &[]) == 2.0);
    first.reset();
    let answer = second.response();
    assert_eq!((status(&answer), &answer.json()["object"]), ("HIT", &json!("chat.completion")));
    assert_eq!(provider.request_count(), 1, "the call goes on for the second");
}

#[test]
fn admin_api_shows_and_purges_the_cache() {
    let provider = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let settings = format!(
        "[server]\nadmin_token = \"${{TOKEN}}\"\n{}[routes.r]\ncache = {{ mode = \"simple\" }}\n",
        provider.section("p", "")
    );
    let gateway = Gateway::start_with(&settings, &[("TOKEN", "the-token-of-the-admin")], &[]);
    let admin = |request: String| {
        let mut client = Client::connect(gateway.admin);
        client.send(request.as_bytes());
        client.response()
    };
    let token = "authorization: Bearer the-token-of-the-admin\r\n";
    let stats = || {
        let page = admin(format!("GET /cache/stats HTTP/1.1\r\nhost: localhost\r\n{token}\r\n"));
        page.json()["entries"].as_u64().expect("a number")
    };
    let route = "x-ringgate-config: r\r\n";
    gateway.send(&post(PATH, route, &chat("m")));
    gateway.send(&post(PATH, route, &chat("n")));
    eventually("both are stored", || stats() == 2);
    for (fields, body, expected) in [
        ("", "{}", 401),
        ("authorization: Bearer another-token-than-that\r\n", "{}", 401),
        (token, "{", 400),
        (token, r#"{"rute":"r"}"#, 400),
        (token, r#"{"route":"other"}"#, 200),
    ] {
        let page = admin(post("/cache/purge", fields, body));
        assert_eq!(page.status, expected, "{body}");
    }
    assert_eq!(stats(), 2);
    let page = admin(post("/cache/purge", token, r#"{"route":"r"}"#));
    assert_eq!(page.json(), json!({"purged": 2}));
    assert_eq!(status(&gateway.send(&post(PATH, route, &chat("m")))), "MISS");
}

#[test]
fn cached_responses_survive_restart_and_kill() {
    let provider = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let folder = Folder::new();
    let settings = format!(
        "[cache]\ndir = \"{}\"\n{}",
        folder.path().join("kept").display(),
        provider.section("p", "")
    );
    let mut gateway = Gateway::start(&settings);
    assert_eq!(status(&send(&gateway, "", &chat("m"))), "MISS");
    gateway.signal("TERM");
    assert_eq!(gateway.exit_code(), Some(0));

    let loaded = |gateway: &Gateway, entries: u64| {
        eventually("the cache is loaded", || {
            let (_, page) = gateway.admin_page("/cache/stats");
            let stats: Value = serde_json::from_str(&page).expect("JSON");
            stats["loading"] == false && stats["entries"] == entries
        });
    };
    let mut gateway = Gateway::start(&settings);
    loaded(&gateway, 1);
    let kept = send(&gateway, "", &chat("m"));
    assert_eq!(status(&kept), "HIT");
    assert_eq!(kept.json()["choices"][0]["message"]["content"], "Hi");
    // What is on disk is what counts after a kill: at most the last second of it is missing.
    let segment = || {
        let files = std::fs::read_dir(folder.path().join("kept")).expect("the folder");
        let sizes = files.filter_map(|file| file.ok()?.metadata().ok()).map(|it| it.len());
        sizes.sum::<u64>()
    };
    for model in ["n", "o"] {
        let before = segment();
        assert_eq!(status(&send(&gateway, "", &chat(model))), "MISS");
        eventually("it is written", || segment() > before);
    }
    gateway.signal("KILL");
    gateway.exit_code();

    let other = Gateway::start(&settings);
    loaded(&other, 3);
    for model in ["m", "n", "o"] {
        assert_eq!(status(&send(&other, "", &chat(model))), "HIT", "{model}");
    }
    assert_eq!(provider.request_count(), 3);
    let third = Gateway::start(&settings);
    assert!(third.has_printed("another process uses it"), "{:?}", third.lines);
    assert_eq!(status(&send(&third, "", &chat("m"))), "MISS");
}

#[test]
fn unusable_cache_folder_falls_back_to_memory() {
    let provider = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let settings = format!("[cache]\ndir = \"/dev/null/x\"\n{}", provider.section("p", ""));
    let gateway = Gateway::start(&settings);
    assert!(gateway.has_printed("will not survive a restart"), "{:?}", gateway.lines);
    for expected in ["MISS", "HIT"] {
        assert_eq!(status(&send(&gateway, "", &chat("m"))), expected);
    }
}

#[test]
fn slow_reader_does_not_block_followers() {
    let text = "x".repeat(8 * 1024 * 1024);
    let mut answer: Value = serde_json::from_str(CHAT_ANSWER).expect("JSON");
    answer["choices"][0]["message"]["content"] = json!(text);
    let body = answer.to_string();
    let provider = Provider::start(move |visit| {
        while visit.request().is_some() {
            thread::sleep(Duration::from_millis(200));
            visit.send(json_answer("200 OK", "", &body).as_bytes());
        }
    });
    let gateway = Gateway::start(&format!("{ONE_SHARD}{}", provider.section("p", "")));
    let mut never_reads = gateway.connect();
    never_reads.send(post(PATH, CACHED, &chat("m")).as_bytes());
    eventually("the provider is asked", || provider.request_count() == 1);
    let joined = send(&gateway, "", &chat("m"));
    assert_eq!(status(&joined), "HIT");
    assert_eq!(joined.json()["choices"], answer["choices"]);
    assert_eq!(provider.request_count(), 1);

    // Who has a limit of its own asks for itself.
    let provider = slow(CHAT_ANSWER);
    let gateway = Gateway::start(&format!("{ONE_SHARD}{}", provider.section("p", "")));
    let mut first = gateway.connect();
    first.send(post(PATH, CACHED, &chat("m")).as_bytes());
    eventually("the provider is asked", || provider.request_count() == 1);
    let hurried = send(&gateway, "x-ringgate-request-timeout: 50\r\n", &chat("m"));
    assert_eq!(hurried.status, 504, "{}", hurried.text());
    assert_eq!(first.response().text(), CHAT_ANSWER);
}
