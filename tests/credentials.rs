//! Credentials that are fetched and signed: a token service and a provider on the loopback, and the
//! real gateway between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;

use crate::harness::{
    CHAT_ANSWER, Gateway, Provider, Response, chat, eventually, json_answer, post,
};

const CHAT_PATH: &str = "/v1/chat/completions";

const CLIENT_SECRET: &str = "test-client-secret-41c7";
const SECRET_KEY: &str = "test-secret-key-9f02";
const SESSION: &str = "test-session-token-77d1";

/// A token service: its answers are numbered, so that each token is another.
fn token_service(life_seconds: u64) -> Provider {
    let count = Arc::new(AtomicUsize::new(0));
    Provider::start(move |visit| {
        while visit.request().is_some() {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            let body =
                format!(r#"{{"access_token":"test-token-{number}","expires_in":{life_seconds}}}"#);
            visit.send(json_answer("200 OK", "", &body).as_bytes());
        }
    })
}

fn chat_provider() -> Provider {
    Provider::always(json_answer("200 OK", "", CHAT_ANSWER))
}

/// Azure with an application of Entra.
fn entra(provider: &Provider, tokens: &Provider, more: &str) -> String {
    format!(
        "[providers.azure]\npreset = \"azure-openai\"\nbase_url = \"http://{}/openai\"\n\
         azure_api_version = \"2024-10-21\"\nazure_entra_url = \"http://{}\"\n\
         azure_entra_tenant_id = \"tenant\"\nazure_entra_client_id = \"client\"\n\
         azure_entra_client_secret = \"{CLIENT_SECRET}\"\n{more}\n",
        provider.address, tokens.address
    )
}

fn send(gateway: &Gateway) -> Response {
    gateway.post(CHAT_PATH, &chat("gpt-4o"))
}

/// The value of a field of a request as text.
fn field<'r>(request: &'r str, name: &str) -> Option<&'r str> {
    let head = request.split("\r\n\r\n").next().unwrap_or_default();
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn concurrent_requests_share_one_token_fetch() {
    // The service takes its time, so that all requests come before the first token.
    let tokens = Provider::start(|visit| {
        while visit.request().is_some() {
            thread::sleep(Duration::from_millis(300));
            let body = r#"{"access_token":"test-token-1","expires_in":3600}"#;
            visit.send(json_answer("200 OK", "", body).as_bytes());
        }
    });
    let provider = chat_provider();
    let gateway = Gateway::start(&entra(&provider, &tokens, ""));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert_eq!(send(&gateway).status, 200));
        }
    });
    assert_eq!(tokens.request_count(), 1);
    assert_eq!(provider.request_count(), 16);
    let request = provider.last_request();
    let path = "POST /openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21 HTTP/1.1";
    assert_eq!(request.lines().next(), Some(path));
    assert_eq!(field(&request, "authorization"), Some("Bearer test-token-1"));
    let request = tokens.last_request();
    assert!(request.starts_with("POST /tenant/oauth2/v2.0/token HTTP/1.1\r\n"), "{request}");
    assert!(request.ends_with("&scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default"));
    gateway.expect_metric("ringgate_credential_refreshes_total", &[], 1.0);
}

#[test]
fn tokens_are_renewed_early_and_survive_a_reload() {
    let (tokens, provider) = (token_service(6), chat_provider());
    let settings = entra(&provider, &tokens, "");
    let gateway = Gateway::start(&settings);
    assert_eq!(send(&gateway).status, 200);
    let begun = Instant::now();
    assert_eq!(field(&provider.last_request(), "authorization"), Some("Bearer test-token-1"));
    // Another limit is another provider to a shard, but the credential is the old one.
    gateway.folder.write("ringgate.toml", &format!("{settings}idle_timeout_ms = 5000\n"));
    gateway.signal("HUP");
    eventually("the reload", || gateway.has_printed("settings reloaded"));
    assert_eq!(send(&gateway).status, 200);
    assert_eq!(field(&provider.last_request(), "authorization"), Some("Bearer test-token-1"));
    assert_eq!(tokens.request_count(), 1);
    eventually("a second token", || tokens.request_count() == 2);
    assert!(begun.elapsed() < Duration::from_secs(6), "renewed after it had expired");
    eventually("the second token in use", || {
        send(&gateway).status == 200
            && field(&provider.last_request(), "authorization") == Some("Bearer test-token-2")
    });
}

#[test]
fn failed_token_fetch_is_retried_and_logs_no_secret() {
    let is_well = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&is_well);
    let tokens = Provider::start(move |visit| {
        while visit.request().is_some() {
            let answer = if seen.load(Ordering::SeqCst) == 0 {
                let body = format!(
                    r#"{{"error":"invalid_client","error_description":"{CLIENT_SECRET} is wrong"}}"#
                );
                json_answer("401 Unauthorized", "", &body)
            } else {
                let body = r#"{"access_token":"test-token-1","expires_in":3600}"#;
                json_answer("200 OK", "", body)
            };
            visit.send(answer.as_bytes());
        }
    });
    let provider = chat_provider();
    let gateway = Gateway::start(&format!(
        "[log]\nrequests = \"requests.log\"\n{}",
        entra(&provider, &tokens, "")
    ));
    let begun = Instant::now();
    let response = send(&gateway);
    assert_eq!((response.status, response.code().as_str()), (503, "no_target_available"));
    assert!(begun.elapsed() < Duration::from_secs(3), "nobody waits for what has failed");
    let message = response.text();
    assert!(message.contains("credential of provider `azure`"), "{message}");
    assert_eq!(response.field("retry-after"), Some("1"));
    eventually("a line in the log", || {
        gateway.has_printed(
            "credential of provider `azure` failed: Entra answered 401 (invalid_client)",
        )
    });
    assert!(gateway.metric("ringgate_credential_errors_total", &[]) >= 1.0);
    assert_eq!(provider.request_count(), 0);
    is_well.store(1, Ordering::SeqCst);
    eventually("a token after all", || send(&gateway).status == 200);
    eventually("a line that all is well", || gateway.has_printed("obtained again"));
    let log = || std::fs::read_to_string(gateway.folder.path().join("requests.log"));
    eventually("the request log", || log().is_ok_and(|text| text.contains("azure")));
    let outputs = [
        message,
        log().expect("a log"),
        gateway.admin_page("/metrics").1,
        gateway.lines.lock().expect("no panic").join("\n"),
    ];
    for text in outputs {
        assert!(!text.contains("test-client-secret") && !text.contains("test-token"), "{text}");
    }
}

#[test]
fn stalled_token_service_respects_the_connect_timeout() {
    let tokens = Provider::start(|visit| {
        visit.request();
        visit.wait_for_end();
    });
    let provider = chat_provider();
    let other = chat_provider();
    let settings = format!(
        "{}{}",
        entra(&provider, &tokens, "connect_timeout_ms = 200"),
        other.section("other", "models = [\"m\"]")
    );
    let gateway = Gateway::start(&settings);
    let begun = Instant::now();
    let response = gateway.post(CHAT_PATH, &chat("azure/gpt-4o"));
    assert_eq!((response.status, response.code().as_str()), (503, "no_target_available"));
    assert!(
        begun.elapsed() >= Duration::from_millis(200) && begun.elapsed() < Duration::from_secs(5)
    );
    assert_eq!(gateway.post(CHAT_PATH, &chat("m")).status, 200, "others are served");
}

/// Bedrock's path for `OpenAI`'s dialect, at `provider`.
fn bedrock(provider: &Provider, more: &str) -> String {
    format!(
        "[providers.aws]\npreset = \"bedrock\"\ndialect = \"openai-chat\"\n\
         base_url = \"http://{}/openai/v1\"\naws_region = \"eu-west-1\"\n{more}\n",
        provider.address
    )
}

/// The signature that AWS would expect of this request, computed by its published steps.
fn expected_signature(request: &str, secret: &str, service: &str) -> String {
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|it| format!("{it:02x}")).collect() };
    let hash = |text: &str| hex(digest(&SHA256, text.as_bytes()).as_ref());
    let mac = |key: &[u8], text: &str| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
    };
    let (head, body) = request.split_once("\r\n\r\n").expect("a head");
    let mut line = head.lines().next().expect("a line").split(' ');
    let (method, target) = (line.next().expect("a method"), line.next().expect("a target"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let authorization = field(request, "authorization").expect("signed");
    let part = |name: &str| {
        let (_, rest) = authorization.split_once(name).expect("a part");
        rest.split(',').next().expect("a value").to_owned()
    };
    let names = part("SignedHeaders=");
    let scope = part("Credential=").split_once('/').expect("a scope").1.to_owned();
    let fields: String = names
        .split(';')
        .map(|name| format!("{name}:{}\n", field(request, name).expect("a signed field").trim()))
        .collect();
    let path = path.replace('%', "%25").replace(':', "%3A");
    let canonical = format!("{method}\n{path}\n{query}\n{fields}\n{names}\n{}", hash(body));
    let date = field(request, "x-amz-date").expect("a date");
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hash(&canonical));
    let key = mac(format!("AWS4{secret}").as_bytes(), &date[..8]);
    let key = mac(&mac(&mac(&key, "eu-west-1"), service), "aws4_request");
    assert!(scope.ends_with(&format!("/eu-west-1/{service}/aws4_request")), "{scope}");
    hex(&mac(&key, &text))
}

fn check_signature(request: &str, secret: &str, service: &str) {
    let authorization = field(request, "authorization").expect("signed");
    let expected = expected_signature(request, secret, service);
    assert!(authorization.ends_with(&format!("Signature={expected}")), "{request}");
}

#[test]
fn signature_covers_the_request_as_sent() {
    let provider = chat_provider();
    let keys = format!(
        "aws_access_key_id = \"AKIDEXAMPLE\"\naws_secret_access_key = \"{SECRET_KEY}\"\n\
         aws_session_token = \"{SESSION}\""
    );
    let gateway = Gateway::start(&bedrock(&provider, &keys));
    // The body that is sent is not the one that came: the provider's name goes.
    assert_eq!(gateway.post(CHAT_PATH, &chat("aws/openai.gpt-oss-20b-1:0")).status, 200);
    let request = provider.last_request();
    assert!(request.contains(r#""model":"openai.gpt-oss-20b-1:0""#), "{request}");
    assert_eq!(field(&request, "x-amz-security-token"), Some(SESSION));
    check_signature(&request, SECRET_KEY, "bedrock");
    // What passes through is signed with its own path, query and body.
    let small = post("/v1/model/a.b-v1%3A0/invoke?x=1", "", r#"{"a":1}"#);
    assert_eq!(gateway.send(&small).status, 200);
    let request = provider.last_request();
    assert!(request.starts_with("POST /openai/v1/model/a.b-v1%3A0/invoke?x=1 HTTP"), "{request}");
    check_signature(&request, SECRET_KEY, "bedrock");
    let count = provider.request_count();
    let streamed = "POST /v1/files HTTP/1.1\r\nhost: g\r\ncontent-type: text/plain\r\n\
                    content-length: 3\r\n\r\nabc";
    let response = gateway.send(streamed);
    assert_eq!((response.status, response.code().as_str()), (400, "invalid_request"));
    assert!(response.text().contains("signs its requests"), "{}", response.text());
    assert_eq!(provider.request_count(), count, "nothing of it was sent");
}

#[test]
fn assumed_role_credentials_are_cached_and_sign() {
    let provider = chat_provider();
    let body = "<AssumeRoleResponse><AssumeRoleResult><Credentials>\
                <AccessKeyId>ASIAROLE</AccessKeyId>\
                <SecretAccessKey>test-role-secret</SecretAccessKey>\
                <SessionToken>test-role-session</SessionToken>\
                <Expiration>2100-01-01T00:00:00Z</Expiration>\
                </Credentials></AssumeRoleResult></AssumeRoleResponse>";
    let sts = Provider::always(json_answer("200 OK", "", body));
    let more = format!(
        "aws_access_key_id = \"AKIDEXAMPLE\"\naws_secret_access_key = \"{SECRET_KEY}\"\n\
         aws_role_arn = \"arn:aws:iam::1:role/gateway\"\naws_sts_url = \"http://{}\"",
        sts.address
    );
    let gateway = Gateway::start(&bedrock(&provider, &more));
    for _ in 0..3 {
        assert_eq!(send(&gateway).status, 200);
    }
    assert_eq!(sts.request_count(), 1);
    check_signature(&sts.last_request(), SECRET_KEY, "sts");
    let request = provider.last_request();
    assert_eq!(field(&request, "x-amz-security-token"), Some("test-role-session"));
    check_signature(&request, "test-role-secret", "bedrock");
}

#[test]
fn model_allowlist_applies_to_models_in_paths() {
    let provider = chat_provider();
    let settings = format!(
        "{}[keys.some]\nsecret = \"rg-some-3b9d\"\nmodels = [\"gpt-4o\"]\n",
        format_args!(
            "[providers.azure]\npreset = \"azure-openai\"\nbase_url = \"http://{}/openai\"\n\
             azure_api_version = \"2024-10-21\"\napi_key = \"test-credential\"\n",
            provider.address
        )
    );
    let gateway = Gateway::start(&settings);
    let key = "authorization: Bearer rg-some-3b9d\r\n";
    assert_eq!(gateway.send(&post(CHAT_PATH, key, &chat("gpt-4o"))).status, 200);
    assert_eq!(field(&provider.last_request(), "api-key"), Some("test-credential"));
    let count = provider.request_count();
    let path = "/v1/deployments/secret-model/chat/completions";
    let response = gateway.send(&post(path, key, &chat("gpt-4o")));
    assert_eq!((response.status, response.code().as_str()), (403, "endpoint_not_allowed"));
    assert_eq!(provider.request_count(), count);
}

#[test]
fn fetched_token_is_redacted_in_responses() {
    let tokens = token_service(3600);
    let provider = Provider::start(|visit| {
        while let Some(request) = visit.request() {
            let token = field(&request, "authorization").unwrap_or_default().to_owned();
            let body = format!(r#"{{"error":{{"message":"expired: {token}"}}}}"#);
            visit.send(json_answer("401 Unauthorized", "", &body).as_bytes());
        }
    });
    let gateway = Gateway::start(&entra(&provider, &tokens, ""));
    let response = send(&gateway);
    assert_eq!(response.status, 401);
    let expected = format!("expired: Bearer {}", "*".repeat("test-token-1".len()));
    assert_eq!(response.json()["error"]["message"], expected.as_str());
}
