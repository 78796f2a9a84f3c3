//! Virtual keys, allow-lists and the choice of a provider: who may do what, who answers, and that
//! no secret leaves by a way it should not.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::harness::{
    CHAT_ANSWER, Gateway, Provider, Response, chat, eventually, json_answer, post,
};

const CHAT_PATH: &str = "/v1/chat/completions";

/// Virtual keys: may do all; may use some models; may use some routes.
const OPEN: &str = "rg-open-6f1d0c52e8";
const LIMITED: &str = "rg-limited-93ab77d4c1";
const ROUTED: &str = "rg-routed-5c20b9e6f7";

/// What the gateway shows to the providers.
const CREDENTIAL_ONE: &str = "sk-provider-one-1b7e4a90";
const CREDENTIAL_TWO: &str = "sk-provider-two-8d3f2c61";

/// What a client brings for a provider of its own choice.
const CLIENTS_OWN: &str = "sk-clients-own-70ac19fe";

const SECRETS: [&str; 6] = [OPEN, LIMITED, ROUTED, CREDENTIAL_ONE, CREDENTIAL_TWO, CLIENTS_OWN];

/// A gateway with keys in both forms, two providers and a third that may only be named by its host.
struct Stand {
    gateway: Gateway,
    one: Provider,
    two: Provider,
    custom: Provider,
}

/// The hash of a secret as `ringgate keys hash` prints it.
fn hash(secret: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringgate"))
        .args(["keys", "hash"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the gateway's binary");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(secret.as_bytes()).expect("the secret is read");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

impl Stand {
    fn new() -> Self {
        let start = || Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
        let (one, two, custom) = (start(), start(), start());
        let settings = format!(
            r#"
[server]
custom_hosts = ["{custom}"]
[log]
requests = "requests.log"
{one}
{two}
[providers.dead]
dialect = "openai-chat"
base_url = "http://127.0.0.1:1/v1"
[keys.open]
hash = "{open}"
[keys.limited]
secret = "${{LIMITED}}"
models = ["gpt-*", "mini"]
[keys.routed]
secret = "${{ROUTED}}"
routes = ["support", "team-*"]
route = "support"
[routes.support]
targets = [{{ provider = "two", override_params = {{ model = "routed-model" }} }}]
[routes.team-a]
targets = [{{ provider = "@one" }}]
[routes.other]
targets = [{{ provider = "one" }}]
"#,
            custom = custom.address,
            one =
                one.section("one", "api_key = \"${ONE}\"\nmodels = [\"gpt-4o\", \"o1\", \"mini\"]"),
            two = two.section("two", "api_key = \"${TWO}\""),
            open = hash(OPEN),
        );
        let environment = [
            ("LIMITED", LIMITED),
            ("ROUTED", ROUTED),
            ("ONE", CREDENTIAL_ONE),
            ("TWO", CREDENTIAL_TWO),
        ];
        Self { gateway: Gateway::start_with(&settings, &environment, &[]), one, two, custom }
    }

    /// Requests that each provider has seen.
    fn counts(&self) -> [usize; 3] {
        [&self.one, &self.two, &self.custom].map(Provider::request_count)
    }

    /// Sends a request and checks who answered it: the provider of that number, or nobody but the
    /// gateway with this status and code.
    fn check(&self, request: &str, expected: Result<usize, (u16, &str)>) -> Response {
        let before = self.counts();
        let response = self.gateway.send(request);
        let text = response.text();
        let mut after = before;
        match expected {
            Ok(number) => {
                if request.contains(" /v1/responses") {
                    // The same response in another dialect.
                    assert!(response.status == 200 && text.contains("\"Hi\""), "{text}");
                } else {
                    assert_eq!((response.status, text.as_str()), (200, CHAT_ANSWER), "{request}");
                }
                after[number] += 1;
            }
            Err((status, code)) => {
                assert_eq!(
                    (response.status, &*response.code()),
                    (status, code),
                    "{request}: {text}"
                );
                let is_anthropic = request.contains(" /v1/messages");
                assert_eq!(response.json()["type"] == "error", is_anthropic, "{text}");
            }
        }
        assert_eq!(self.counts(), after, "{request}: asked the wrong provider");
        response
    }

    /// A request with that key; `fields` are whole lines.
    fn check_chat(
        &self,
        key: &str,
        fields: &str,
        body: &str,
        expected: Result<usize, (u16, &str)>,
    ) {
        self.check_path(CHAT_PATH, key, fields, body, expected);
    }

    fn check_path(
        &self,
        path: &str,
        key: &str,
        fields: &str,
        body: &str,
        expected: Result<usize, (u16, &str)>,
    ) {
        let fields = format!("authorization: Bearer {key}\r\n{fields}");
        self.check(&post(path, &fields, body), expected);
    }
}

#[test]
fn hash_command_strips_line_end_from_secret() {
    assert_eq!(hash("secret"), hash("secret\n"));
    assert_ne!(hash("secret"), hash(" secret"));
    assert!(hash("secret").starts_with("blake3:"));
}

#[test]
fn every_key_header_is_authenticated_alike() {
    const DENIED: Result<usize, (u16, &str)> = Err((401, "invalid_api_key"));
    let stand = Stand::new();
    let stored = hash(OPEN);
    for header in [
        "Authorization: Bearer ",
        "authorization: bearer ",
        "authorization: BEARER  ",
        "authorization: ",
        "x-api-key: ",
        "api-key: ",
        "X-Goog-Api-Key: ",
        "x-portkey-api-key: ",
        "x-ringgate-api-key: ",
    ] {
        for key in [OPEN, LIMITED] {
            let send =
                |value: &str| post(CHAT_PATH, &format!("{header}{value}\r\n"), &chat("gpt-4o"));
            stand.check(&send(key), Ok(0));
            let seen = stand.one.last_request();
            assert!(!seen.contains(key), "{header}: the key travelled on: {seen}");
            let credential = format!("authorization: Bearer {CREDENTIAL_ONE}\r\n");
            assert_eq!(seen.matches("authorization").count(), 1, "{seen}");
            assert!(seen.contains(&credential), "{seen}");
            let other_case = key.to_ascii_uppercase();
            for wrong in ["", "x", &key[1..], &key[..key.len() - 1], &other_case, &stored] {
                stand.check(&send(wrong), DENIED);
            }
            stand.check(&send(&format!("{key}x")), DENIED);
            stand.check(&send(&format!("{key} x")), DENIED);
            stand.check(&send(&format!("Basic {key}")), DENIED);
        }
        // The lists of a key hold whatever header it came by.
        let request = post(CHAT_PATH, &format!("{header}{LIMITED}\r\n"), &chat("o1"));
        stand.check(&request, Err((403, "model_not_allowed")));
    }
    for path in [CHAT_PATH, "/v1/embeddings", "/v1/responses", "/v1/messages", "/v1/files"] {
        stand.check(&post(path, "", &chat("gpt-4o")), DENIED);
        stand.check(&post(path, "x-api-key: wrong\r\n", &chat("gpt-4o")), DENIED);
        stand.check(&post(path, &format!("cookie: {OPEN}\r\n"), &chat("gpt-4o")), DENIED);
    }
    let in_query = format!("{CHAT_PATH}?key={OPEN}&api-key={OPEN}");
    stand.check(&post(&in_query, "", &chat("gpt-4o")), DENIED);
    stand.check("GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n", DENIED);
    // An unknown key is rejected before its body is read.
    let endless =
        format!("POST {CHAT_PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: 9000000\r\n\r\n");
    stand.check(&endless, DENIED);
}

#[test]
fn model_allowlist_applies_to_every_spelling() {
    const DENIED: Result<usize, (u16, &str)> = Err((403, "model_not_allowed"));
    let stand = Stand::new();
    let config = |json: &str| format!("x-ringgate-config: {json}\r\n");
    let to_o1 = config(r#"{"provider":"one","override_params":{"model":"o1"}}"#);
    let to_escaped = config(r#"{"provider":"one","override_params":{"mod\u0065l":"o1"}}"#);
    let to_o1_in_target =
        config(r#"{"targets":[{"provider":"@one","override_params":{"model":"o1"}}]}"#);
    let to_gpt = config(r#"{"provider":"one","override_params":{"model":"gpt-4o"}}"#);
    let to_one = config(r#"{"provider":"one"}"#);
    let portkey = "x-portkey-config: {\"override_params\":{\"model\":\"o1\"}}\r\n";
    for (fields, model, expected) in [
        ("", "gpt-4o", Ok(0)),
        ("", "mini", Ok(0)),
        ("", "one/gpt-anything", Ok(0)),
        ("", "@two/gpt-anything", Ok(1)),
        ("", "o1", DENIED),
        ("", "one/o1", DENIED),
        ("", "@one/o1", DENIED),
        ("", "two/o1", DENIED),
        ("", "one/one/gpt-4o", DENIED),
        ("", "one/GPT-4o", DENIED),
        ("", "one/ gpt-4o", DENIED),
        ("", "one/xgpt-4o", DENIED),
        ("", "one/minimal", DENIED),
        ("", "one/", DENIED),
        ("x-ringgate-provider: one\r\n", "gpt-4o", Ok(0)),
        ("x-ringgate-provider: one\r\n", "one/gpt-4o", Ok(0)),
        ("x-ringgate-provider: one\r\n", "o1", DENIED),
        ("x-ringgate-provider: one\r\n", "@one/o1", DENIED),
        ("x-portkey-provider: @one\r\n", "o1", DENIED),
        ("x-portkey-virtual-key: one\r\n", "o1", DENIED),
        (&to_o1, "gpt-4o", DENIED),
        (&to_escaped, "gpt-4o", DENIED),
        (&to_o1_in_target, "gpt-4o", DENIED),
        (portkey, "gpt-4o", DENIED),
        (&to_one, "o1", DENIED),
        (&to_gpt, "o1", Ok(0)),
        ("x-ringgate-config: support\r\n", "gpt-4o", DENIED),
    ] {
        for path in [CHAT_PATH, "/v1/completions", "/v1/embeddings", "/v1/responses"] {
            let body = chat(model).replace("\"messages\"", "\"input\":\"Hello\",\"messages\"");
            stand.check_path(path, LIMITED, fields, &body, expected);
        }
        // Without a list all of these are allowed.
        let is_named = fields.contains("support");
        if expected == DENIED {
            let body = chat(model);
            let known = if model.contains("two/") || is_named { 1 } else { 0 };
            stand.check_chat(OPEN, fields, &body, Ok(known));
        }
    }
    let overridden = stand.one.requests.lock().expect("no panic while held").clone();
    assert!(overridden.iter().any(|seen| seen.contains("\"model\":\"gpt-4o\"")));
    for (body, expected) in [
        (r#"{"mod\u0065l":"o1"}"#, DENIED),
        (r#"{"model":"o\u0031"}"#, DENIED),
        (r#"{"model":"gpt-4o","model":"o1"}"#, Err((400, "invalid_json"))),
        (r#"{"model":"gpt-4o","mod\u0065l":"o1"}"#, Err((400, "invalid_json"))),
    ] {
        stand.check_chat(LIMITED, "", body, expected);
        stand.check_path("/v1/responses", LIMITED, "", body, expected);
        stand.check_path("/v1/messages", LIMITED, "", body, expected);
    }
}

/// A body that is streamed unseen could name any model.
#[test]
fn limited_key_rejects_requests_with_unknown_model() {
    const DENIED: Result<usize, (u16, &str)> = Err((403, "model_not_allowed"));
    let stand = Stand::new();
    let form = "--b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\no1\r\n--b--\r\n";
    let json = chat("gpt-4o");
    let padded = format!(r#"{{"model":"gpt-4o","x":"{}"}}"#, "y".repeat(70_000));
    let provider = "x-ringgate-provider: one\r\n";
    let with_length = |key: &str, path: &str, fields: &str, body: &str| {
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nx-api-key: {key}\r\n{provider}{fields}\
             content-length: {length}\r\n\r\n{body}"
        )
    };
    let in_chunks = |key: &str| {
        format!(
            "POST /v1/moderations HTTP/1.1\r\nhost: a\r\nx-api-key: {key}\r\n{provider}content-type: \
             application/json\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{json}\r\n0\r\n\r\n",
            json.len()
        )
    };
    let multipart = "content-type: multipart/form-data; boundary=b\r\n";
    for (path, fields, body) in [
        ("/v1/audio/transcriptions", multipart, form),
        ("/v1/images/edits", multipart, form),
        ("/v1/moderations", "", &json),
        ("/v1/moderations", "content-type: text/plain\r\n", &json),
        ("/v1/moderations", "content-type: application/json\r\ncontent-encoding: gzip\r\n", &json),
        ("/v1/moderations", "content-type: application/json\r\n", &padded),
        // The provider would choose one.
        ("/v1/moderations", "content-type: application/json\r\n", r#"{"prompt":{"id":"x"}}"#),
    ] {
        stand.check(&with_length(LIMITED, path, fields, body), DENIED);
        stand.check(&with_length(OPEN, path, fields, body), Ok(0));
    }
    stand.check(&in_chunks(LIMITED), DENIED);
    stand.check(&in_chunks(OPEN), Ok(0));
}

/// An override is no leave: the body that goes out unseen still names the client's model.
#[test]
fn override_does_not_bypass_model_allowlist() {
    let stand = Stand::new();
    let json = chat("o1");
    for (fields, framing, body) in [
        (
            "content-type: text/plain\r\n",
            format!("content-length: {}\r\n", json.len()),
            json.clone(),
        ),
        (
            "content-type: application/json\r\n",
            "transfer-encoding: chunked\r\n".to_owned(),
            format!("{:x}\r\n{json}\r\n0\r\n\r\n", json.len()),
        ),
    ] {
        let request = format!(
            "POST /v1/moderations HTTP/1.1\r\nhost: a\r\nx-api-key: {LIMITED}\r\nx-ringgate-config: \
             {{\"provider\":\"one\",\"override_params\":{{\"model\":\"gpt-4o\"}}}}\r\n\
             {fields}{framing}\r\n{body}"
        );
        stand.check(&request, Err((403, "model_not_allowed")));
    }
}

/// A default stands in for the model that the client left out, and is held to the list as well.
#[test]
fn default_model_is_used_and_checked() {
    let stand = Stand::new();
    let config = |model: &str| {
        format!(
            "x-ringgate-config: {{\"provider\":\"one\",\"default_params\":{{\"model\":\"{model}\"}}}}\r\n"
        )
    };
    let body = r#"{"messages":[]}"#;
    stand.check_chat(LIMITED, &config("o1"), body, Err((403, "model_not_allowed")));
    stand.check_chat(LIMITED, &config("gpt-4o"), body, Ok(0));
    assert!(stand.one.last_request().contains("\"model\":\"gpt-4o\""));
}

#[test]
fn rejected_model_name_is_truncated_in_error() {
    let stand = Stand::new();
    let model = format!("one/{}", "x".repeat(1_000_000));
    let request = post(CHAT_PATH, &format!("api-key: {LIMITED}\r\n"), &chat(&model));
    let response = stand.check(&request, Err((403, "model_not_allowed")));
    assert!(response.body.len() < 4096, "an error of {} bytes", response.body.len());
}

#[test]
fn model_list_shows_only_allowed_models() {
    let stand = Stand::new();
    let get = |key: &str, path: &str| {
        stand.gateway.send(&format!("GET {path} HTTP/1.1\r\nhost: a\r\napi-key: {key}\r\n\r\n"))
    };
    let names = |key: &str| -> Vec<String> {
        let json = get(key, "/v1/models").json();
        let list = json["data"].as_array().expect("a list");
        list.iter().map(|entry| entry["id"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names(OPEN), ["gpt-4o", "o1", "mini"]);
    assert_eq!(names(LIMITED), ["gpt-4o", "mini"]);
    assert_eq!(get(LIMITED, "/v1/models/gpt-4o").json()["owned_by"], "one");
    for (key, path, status) in [
        (OPEN, "/v1/models/o1", 200),
        (LIMITED, "/v1/models/o1", 404),
        (LIMITED, "/v1/models/one/o1", 404),
        (OPEN, "/v1/models/none", 404),
    ] {
        assert_eq!(get(key, path).status, status, "{path}");
    }
    assert_eq!(stand.counts(), [0, 0, 0]);
}

#[test]
fn route_allowlist_is_enforced() {
    const DENIED: Result<usize, (u16, &str)> = Err((403, "route_not_allowed"));
    const INVALID: Result<usize, (u16, &str)> = Err((400, "invalid_config"));
    const REFUSED: Result<usize, (u16, &str)> = Err((400, "invalid_request"));
    let stand = Stand::new();
    for (key, config, expected) in [
        // The default route, also where the header is there and empty.
        (ROUTED, None, Ok(1)),
        (ROUTED, Some(""), Ok(1)),
        (ROUTED, Some("support"), Ok(1)),
        (ROUTED, Some(" team-a "), Ok(0)),
        (ROUTED, Some("other"), DENIED),
        (ROUTED, Some("Support"), DENIED),
        // A name that is not allowed does not tell whether there is such a route.
        (ROUTED, Some("nothing"), DENIED),
        (ROUTED, Some("team-b"), INVALID),
        (OPEN, None, Ok(0)),
        (OPEN, Some("support"), Ok(1)),
        (OPEN, Some("other"), Ok(0)),
        (OPEN, Some("nothing"), INVALID),
        (OPEN, Some("{"), INVALID),
        (OPEN, Some("{}}"), INVALID),
        (OPEN, Some("{\"provider\":1}"), INVALID),
        (OPEN, Some("{\"retry\":1}"), INVALID),
        (OPEN, Some("{\"no_such_setting\":1}"), Ok(0)),
        (OPEN, Some("{\"api_key\":\"x\",\"provider\":\"one\"}"), REFUSED),
        (OPEN, Some("{\"provider\":\"one\",\"custom_host\":\"http://127.0.0.1:1\"}"), REFUSED),
        (OPEN, Some("{\"targets\":[{\"provider\":\"one\"},{\"provider\":\"two\"}]}"), INVALID),
        (OPEN, Some("{\"strategy\":{\"mode\":\"fallback\"}}"), INVALID),
        (OPEN, Some("{\"provider\":\"nobody\"}"), Err((400, "unknown_provider"))),
        (OPEN, Some("{\"provider\":\"two\"}"), Ok(1)),
    ] {
        for name in ["x-ringgate-config", "x-portkey-config"] {
            let fields = config.map(|config| format!("{name}: {config}\r\n")).unwrap_or_default();
            stand.check_chat(key, &fields, &chat("gpt-4o"), expected);
        }
    }
    stand.check_chat(ROUTED, "", &chat("gpt-4o"), Ok(1));
    assert!(stand.two.last_request().contains("\"model\":\"routed-model\""));
    // Of both families ours wins.
    let both = "x-portkey-config: support\r\nx-ringgate-config: other\r\n";
    stand.check_chat(OPEN, both, &chat("gpt-4o"), Ok(0));
    stand.check_chat(ROUTED, both, &chat("gpt-4o"), DENIED);
    let denied = post("/v1/messages", &format!("api-key: {ROUTED}\r\n{both}"), &chat("gpt-4o"));
    stand.check(&denied, DENIED);
}

#[test]
fn provider_is_selected_by_header_or_model() {
    const UNKNOWN: Result<usize, (u16, &str)> = Err((400, "unknown_provider"));
    let stand = Stand::new();
    for (fields, model, expected, sent) in [
        ("", "gpt-4o", Ok(0), "gpt-4o"),
        ("", "two/gpt-4o", Ok(1), "gpt-4o"),
        ("", "@two/gpt-4o", Ok(1), "gpt-4o"),
        ("", "two/org/model", Ok(1), "org/model"),
        ("x-ringgate-provider: two\r\n", "gpt-4o", Ok(1), "gpt-4o"),
        ("x-ringgate-provider: @two\r\n", "gpt-4o", Ok(1), "gpt-4o"),
        ("X-Portkey-Provider: two\r\n", "two/gpt-4o", Ok(1), "gpt-4o"),
        ("x-portkey-virtual-key: two\r\n", "x", Ok(1), "x"),
        ("x-ringgate-provider: two\r\n", "one/gpt-4o", Ok(1), "one/gpt-4o"),
        ("x-portkey-provider: one\r\nx-ringgate-provider: two\r\n", "x", Ok(1), "x"),
        ("x-ringgate-provider: nobody\r\n", "gpt-4o", UNKNOWN, ""),
        ("x-ringgate-provider: ONE\r\n", "gpt-4o", UNKNOWN, ""),
        ("x-ringgate-provider: one.example\r\n", "gpt-4o", UNKNOWN, ""),
        ("", "@nobody/gpt-4o", UNKNOWN, ""),
        ("", "nobody/gpt-4o", Err((400, "unknown_model")), ""),
        ("", "not-listed", Err((400, "unknown_model")), ""),
    ] {
        let fields = format!("api-key: {OPEN}\r\n{fields}");
        let response = stand.check(&post(CHAT_PATH, &fields, &chat(model)), expected);
        if let Ok(number) = expected {
            let (name, provider) = [("one", &stand.one), ("two", &stand.two)][number];
            assert_eq!(response.field("x-ringgate-provider"), Some(name), "{fields}{model}");
            let seen = provider.last_request();
            assert!(seen.ends_with(&chat(sent)), "{fields}{model}: {seen}");
        }
    }
}

/// The client's own credential goes to the vendor it names; the virtual key stays here.
#[test]
fn preset_with_client_credential_is_usable() {
    let stand = Stand::new();
    let host = stand.custom.address;
    let base = format!("http://{host}/v1");
    let fields = |provider: &str, host: &str, more: &str| {
        format!(
            "x-portkey-api-key: {OPEN}\r\nx-portkey-provider: {provider}\r\nx-portkey-custom-host: \
             {host}\r\n{more}"
        )
    };
    let bearer = format!("authorization: Bearer {CLIENTS_OWN}\r\n");
    for (path, provider, more, expected) in [
        (CHAT_PATH, "openai", bearer.clone(), format!("authorization: Bearer {CLIENTS_OWN}\r\n")),
        (CHAT_PATH, "@openai", bearer.clone(), format!("authorization: Bearer {CLIENTS_OWN}\r\n")),
        (CHAT_PATH, "groq", bearer.clone(), format!("authorization: Bearer {CLIENTS_OWN}\r\n")),
        ("/v1/messages", "anthropic", bearer.clone(), format!("x-api-key: {CLIENTS_OWN}\r\n")),
        (
            "/v1/messages",
            "anthropic",
            format!("x-api-key: {CLIENTS_OWN}\r\n"),
            format!("x-api-key: {CLIENTS_OWN}\r\n"),
        ),
    ] {
        let request = post(path, &fields(provider, &base, &more), &chat("m"));
        let response = stand.check(&request, Ok(2));
        let name = provider.trim_start_matches('@');
        assert_eq!(response.field("x-portkey-provider"), Some(name));
        let seen = stand.custom.last_request();
        assert!(seen.starts_with(&format!("POST {path} ")), "{seen}");
        assert!(seen.contains(&expected) && seen.matches(CLIENTS_OWN).count() == 1, "{seen}");
        assert!(!seen.contains(OPEN), "{seen}");
    }
    // Nothing to show to the vendor, or only the virtual key.
    let own_missing = fields("openai", &base, "");
    stand.check(&post(CHAT_PATH, &own_missing, &chat("m")), Err((400, "invalid_request")));
    let key_twice = fields("openai", &base, &format!("authorization: Bearer {OPEN}\r\n"));
    stand.check(&post(CHAT_PATH, &key_twice, &chat("m")), Err((400, "invalid_request")));
    // Our credential for a provider stays with its own host.
    let ours = fields("one", &base, &bearer);
    stand.check(&post(CHAT_PATH, &ours, &chat("m")), Err((400, "unknown_provider")));
    let port = host.port();
    for other in [
        format!("http://127.0.0.1:{}/v1", stand.one.address.port()),
        format!("http://localhost:{port}/v1"),
        format!("http://127.1:{port}/v1"),
        format!("http://2130706433:{port}/v1"),
        format!("http://[::ffff:127.0.0.1]:{port}/v1"),
        format!("http://user@{host}/v1"),
        format!("http://{host}@127.0.0.1:{}/v1", stand.one.address.port()),
        format!("http://{host}.example/v1"),
        format!("http://{host}/v1#x"),
        format!("http://{host}/v1?x="),
        format!("http://{host}/v1/../x"),
        format!("http://{host}/%2e%2e/v1"),
        format!("http://{host}\\@127.0.0.1/v1"),
        format!("ftp://{host}/v1"),
        format!("file://{host}/etc/passwd"),
        host.to_string(),
        "http://169.254.169.254/latest".to_owned(),
        "http://".to_owned(),
    ] {
        let request = post(CHAT_PATH, &fields("openai", &other, &bearer), &chat("m"));
        stand.check(&request, Err((400, "invalid_request")));
    }
}

/// A custom host is asked for by the client, so it never sees what the operator configured.
#[test]
fn configured_credential_is_not_sent_to_custom_host() {
    let (vendor, custom) = (
        Provider::always(json_answer("200 OK", "", CHAT_ANSWER)),
        Provider::always(json_answer("200 OK", "", CHAT_ANSWER)),
    );
    let settings = format!(
        "[server]\ncustom_hosts = [\"{}\"]\n[providers.openai]\npreset = \"openai\"\nbase_url = \
         \"http://{}/v1\"\napi_key = \"${{ONE}}\"\nheaders = {{ x-secret = \"${{TWO}}\" }}\n",
        custom.address, vendor.address
    );
    let environment = [("ONE", CREDENTIAL_ONE), ("TWO", CREDENTIAL_TWO)];
    let gateway = Gateway::start_with(&settings, &environment, &[]);
    let host = format!(
        "x-ringgate-provider: openai\r\nx-ringgate-custom-host: http://{}/v1\r\n",
        custom.address
    );
    let without = gateway.send(&post(CHAT_PATH, &host, &chat("m")));
    assert_eq!((without.status, without.code().as_str()), (400, "invalid_request"));
    let own = format!("{host}authorization: Bearer {CLIENTS_OWN}\r\n");
    assert_eq!(gateway.send(&post(CHAT_PATH, &own, &chat("m"))).status, 200);
    let seen = custom.last_request();
    assert!(seen.contains(CLIENTS_OWN), "{seen}");
    assert!(!seen.contains(CREDENTIAL_ONE) && !seen.contains(CREDENTIAL_TWO), "{seen}");
    assert_eq!((custom.request_count(), vendor.request_count()), (1, 0));
    // And the client's own stays away from a provider that is configured.
    let configured =
        format!("authorization: Bearer {CLIENTS_OWN}\r\nx-ringgate-provider: openai\r\n");
    assert_eq!(gateway.send(&post(CHAT_PATH, &configured, &chat("m"))).status, 200);
    let seen = vendor.last_request();
    assert!(seen.contains(CREDENTIAL_ONE) && seen.contains(CREDENTIAL_TWO), "{seen}");
    assert!(!seen.contains(CLIENTS_OWN), "{seen}");
}

/// Portkey's clients always send `x-portkey-api-key`: where no keys are configured it is still not
/// the vendor's credential.
#[test]
fn virtual_key_is_never_sent_upstream() {
    let custom = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let gateway = Gateway::start(&format!("[server]\ncustom_hosts = [\"{}\"]\n", custom.address));
    for name in ["x-portkey-api-key", "x-ringgate-api-key"] {
        let fields = format!(
            "{name}: {OPEN}\r\nauthorization: Bearer {CLIENTS_OWN}\r\nx-portkey-provider: \
             openai\r\nx-portkey-custom-host: http://{}/v1\r\n",
            custom.address
        );
        assert_eq!(gateway.send(&post(CHAT_PATH, &fields, &chat("m"))).status, 200);
        let seen = custom.last_request();
        assert!(seen.contains(&format!("authorization: Bearer {CLIENTS_OWN}\r\n")), "{seen}");
        assert!(!seen.contains(OPEN), "{seen}");
    }
}

#[test]
fn forwarded_headers_contain_no_credentials() {
    let stand = Stand::new();
    let names = "authorization, x-api-key, api-key, X-Goog-Api-Key, x-portkey-api-key, \
                 x-ringgate-api-key, x-portkey-config, cookie, proxy-authorization, host, \
                 content-length, transfer-encoding, connection, te, expect, x-hop, X-Team , x-note";
    let key_fields = [
        "authorization: Bearer ",
        "x-api-key: ",
        "api-key: ",
        "x-goog-api-key: ",
        "x-portkey-api-key: ",
        "x-ringgate-api-key: ",
        "cookie: session=",
        "proxy-authorization: Bearer ",
    ]
    .map(|name| format!("{name}{OPEN}\r\n"))
    .concat();
    for name in ["x-ringgate-forward-headers", "x-portkey-forward-headers"] {
        let fields = format!(
            "{key_fields}{name}: {names}\r\nconnection: x-hop\r\nx-hop: hop-1\r\nte: trailers\r\n\
             x-team: blue\r\nx-note: a\r\nx-note: b\r\nx-unasked: c\r\n"
        );
        stand.check(&post(CHAT_PATH, &fields, &chat("gpt-4o")), Ok(0));
        let seen = stand.one.last_request();
        for there in ["x-team: blue\r\n", "x-note: a\r\n", "x-note: b\r\n"] {
            assert!(seen.contains(there), "{there} {seen}");
        }
        for absent in
            [OPEN, "hop", "\r\nte: ", "x-unasked", "cookie", "proxy-", "connection", "portkey"]
        {
            assert!(!seen.replace("x-ringgate-hops", "").contains(absent), "{absent}: {seen}");
        }
        for once in ["authorization: ", "host: ", "content-length: ", CREDENTIAL_ONE] {
            assert_eq!(seen.matches(once).count(), 1, "{once}: {seen}");
        }
    }
    stand.check(&post(CHAT_PATH, &format!("{key_fields}x-team: blue\r\n"), &chat("gpt-4o")), Ok(0));
    assert!(!stand.one.last_request().contains("x-team"));
}

#[test]
fn response_headers_match_request_header_family() {
    let stand = Stand::new();
    const NAMES: [&str; 6] = [
        "request-id",
        "trace-id",
        "provider",
        "cache-status",
        "retry-attempt-count",
        "last-used-option-index",
    ];
    for (fields, portkey) in
        [("api-key", false), ("x-ringgate-api-key", false), ("x-portkey-api-key", true)]
    {
        let response =
            stand.check(&post(CHAT_PATH, &format!("{fields}: {OPEN}\r\n"), &chat("gpt-4o")), Ok(0));
        for name in NAMES {
            let ours = response.field(&format!("x-ringgate-{name}"));
            assert!(ours.is_some_and(|value| !value.is_empty()), "{name}: {response:?}");
            let theirs = response.field(&format!("x-portkey-{name}"));
            assert_eq!(theirs, ours.filter(|_| portkey), "{name}");
        }
        let refused = stand.check(
            &post(CHAT_PATH, &format!("{fields}: {OPEN}\r\n"), &chat("dead/m")),
            Err((502, "upstream_unreachable")),
        );
        for name in ["request-id", "gateway-exception"] {
            assert!(refused.field(&format!("x-ringgate-{name}")).is_some(), "{refused:?}");
            assert_eq!(refused.field(&format!("x-portkey-{name}")).is_some(), portkey, "{name}");
        }
    }
    let traced = format!("api-key: {OPEN}\r\nx-portkey-trace-id: my-trace\r\n");
    let response = stand.check(&post(CHAT_PATH, &traced, &chat("gpt-4o")), Ok(0));
    assert_eq!(response.field("x-portkey-trace-id"), Some("my-trace"));
    assert_eq!(response.field("x-ringgate-trace-id"), Some("my-trace"));
}

#[test]
fn request_header_sets_timeout() {
    let provider = Provider::start(|visit| {
        while visit.request().is_some() {
            visit.wait_for_end();
        }
    });
    let gateway = Gateway::start(&provider.section("p", ""));
    for name in ["x-ringgate-request-timeout", "x-portkey-request-timeout"] {
        let response = gateway.send(&post(CHAT_PATH, &format!("{name}: 200\r\n"), &chat("m")));
        assert_eq!((response.status, response.code().as_str()), (504, "upstream_timeout"));
        assert_eq!(response.field("x-ringgate-gateway-exception"), Some("true"));
    }
    assert_eq!(provider.request_count(), 2);
    for bad in ["-1", "abc", "1.5", "99999999999999999999", "200ms"] {
        let fields = format!("x-ringgate-request-timeout: {bad}\r\n");
        let response = gateway.send(&post(CHAT_PATH, &fields, &chat("m")));
        assert_eq!((response.status, response.code().as_str()), (400, "invalid_request"), "{bad}");
    }
    assert_eq!(provider.request_count(), 2);
}

/// Everything that a client, an operator's log or a metric gets to see, after requests of all
/// sorts, holds no secret; nor does a provider see any but its own.
#[test]
fn secrets_do_not_leak() {
    let stand = Stand::new();
    let mut shown = Vec::new();
    let base = format!("http://{}/v1", stand.custom.address);
    let anthropic = "/v1/messages";
    for (path, fields, body) in [
        (CHAT_PATH, format!("authorization: Bearer {OPEN}\r\n"), chat("gpt-4o")),
        (CHAT_PATH, format!("authorization: Bearer {LIMITED}\r\n"), chat("o1")),
        (CHAT_PATH, format!("x-api-key: {ROUTED}\r\n"), chat("gpt-4o")),
        (CHAT_PATH, format!("x-api-key: {ROUTED}\r\nx-ringgate-config: other\r\n"), chat("gpt-4o")),
        (CHAT_PATH, format!("x-api-key: {OPEN}\r\nx-ringgate-config: {{\r\n"), chat("gpt-4o")),
        (CHAT_PATH, format!("x-api-key: {OPEN}\r\n"), chat("two/m")),
        (CHAT_PATH, format!("x-api-key: {OPEN}\r\n"), chat("dead/m")),
        (CHAT_PATH, format!("x-api-key: {OPEN}\r\n"), "{".to_owned()),
        (CHAT_PATH, format!("x-api-key: {OPEN}x\r\n"), chat("gpt-4o")),
        (anthropic, format!("x-api-key: {OPEN}\r\n"), chat("gpt-4o")),
        (anthropic, format!("x-api-key: {OPEN}x\r\n"), chat("gpt-4o")),
        (
            "/v1/files",
            format!("x-api-key: {OPEN}\r\nx-ringgate-provider: two\r\n"),
            "{}".to_owned(),
        ),
        ("/nowhere", format!("x-api-key: {OPEN}\r\n"), "{}".to_owned()),
        (
            CHAT_PATH,
            format!(
                "x-api-key: {OPEN}\r\nauthorization: Bearer {CLIENTS_OWN}\r\nx-ringgate-provider: \
                 openai\r\nx-ringgate-custom-host: {base}\r\n"
            ),
            chat("m"),
        ),
        (
            CHAT_PATH,
            format!(
                "x-api-key: {OPEN}\r\nauthorization: Bearer {CLIENTS_OWN}\r\nx-ringgate-provider: \
                 openai\r\nx-ringgate-custom-host: http://{CLIENTS_OWN}@{}/v1\r\n",
                stand.custom.address
            ),
            chat("m"),
        ),
        (CHAT_PATH, format!("x-api-key: {OPEN}\r\nx-api-key : {OPEN}\r\n"), chat("gpt-4o")),
    ] {
        let response = stand.gateway.send(&post(path, &fields, &body));
        shown.push(format!("{:?} {}", response.fields, response.text()));
    }
    let log = stand.gateway.folder.path().join("requests.log");
    let read_log = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("all is logged", || read_log().lines().count() == shown.len());
    shown.push(read_log());
    stand.gateway.signal("HUP");
    eventually("the settings are read again", || stand.gateway.has_printed("settings reloaded"));
    shown.push(stand.gateway.lines.lock().expect("no panic while held").join("\n"));
    shown.extend(["/metrics", "/healthz", "/readyz"].map(|path| stand.gateway.admin_page(path).1));
    for text in &shown {
        for secret in SECRETS {
            // A part of a secret is a secret too; the words before it are not.
            let part = secret.rsplit('-').next().expect("one part");
            assert!(!text.contains(part), "{secret} in {text}");
        }
        assert!(!text.contains("blake3:"), "{text}");
    }
    for (provider, own) in
        [(&stand.one, CREDENTIAL_ONE), (&stand.two, CREDENTIAL_TWO), (&stand.custom, CLIENTS_OWN)]
    {
        let seen = provider.requests.lock().expect("no panic while held").join("\n");
        assert!(seen.contains(own));
        for secret in SECRETS.iter().filter(|secret| **secret != own) {
            assert!(!seen.contains(secret), "{secret} in {seen}");
        }
    }
}

/// Settings never show a secret either, also where they are wrong.
#[test]
fn settings_errors_hide_secrets() {
    let folder = crate::harness::Folder::new();
    let file = folder.write(
        "ringgate.toml",
        "[providers.p]\npreset = \"openai\"\napi_key = \"${ONE}\"\nbase_url = \
         \"http://${TWO}@a b/\"\n[keys.k]\nsecret = \"${OPEN}\"\nhash = \"${OPEN}\"\n",
    );
    let output = Command::new(env!("CARGO_BIN_EXE_ringgate"))
        .args(["check", "--config"])
        .arg(&file)
        .env_clear()
        .envs([("ONE", "sk-\nbroken-1b7e4a90"), ("TWO", CREDENTIAL_TWO), ("OPEN", OPEN)])
        .output()
        .expect("the gateway's binary");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    for path in ["providers.p.api_key", "providers.p.base_url", "keys.k"] {
        assert!(text.contains(path), "{path}: {text}");
    }
    for part in ["1b7e4a90", "8d3f2c61", "6f1d0c52e8"] {
        assert!(!text.contains(part), "{part} in {text}");
    }
}
