//! Pictures by address for providers that take bytes only: fetched where the operator allows it, and
//! from nowhere that a client should not reach.

use serde_json::{Value, json};

use crate::harness::{Gateway, Provider, json_answer};

const CONVERSE_ANSWER: &str = r#"{"output":{"message":{"role":"assistant","content":[{"text":"Hi"}]}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2}}"#;

fn bedrock(answer: &str) -> Provider {
    Provider::always(json_answer("200 OK", "", answer))
}

fn section(provider: &Provider) -> String {
    format!(
        "[providers.bedrock]\ndialect = \"bedrock-converse\"\nbase_url = \"http://{}\"\n",
        provider.address
    )
}

/// A server of pictures behind TLS, and the environment in which its certificate is trusted.
fn pictures(head: &str, body: &[u8]) -> Provider {
    let head = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len());
    Provider::always([head.as_bytes(), body].concat()).over_tls()
}

fn gateway(settings: &str, pictures: &Provider) -> Gateway {
    let front = pictures.front.as_ref().expect("TLS");
    let ca_file = front.ca_file().display().to_string();
    Gateway::start_with(settings, &[("SSL_CERT_FILE", ca_file.as_str())], &[])
}

fn chat(url: &str) -> String {
    json!({"model": "m", "messages": [{"role": "user", "content": [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": url}}]}]})
    .to_string()
}

#[test]
fn image_is_fetched_once_for_all_attempts() {
    let images = pictures("200 OK\r\ncontent-type: image/jpg; q=1", b"\xff\xd8picture");
    let provider = bedrock(CONVERSE_ANSWER);
    let failing = Provider::always(json_answer("500 Oops", "", r#"{"message":"m"}"#));
    let settings = format!(
        "[egress]\nfetch_pictures = true\nallow_hosts = [\"127.0.0.0/8\"]\n{}\
         [providers.failing]\ndialect = \"bedrock-converse\"\nbase_url = \"http://{}\"\n\
         [routes.both]\nstrategy = {{ mode = \"fallback\" }}\n\
         targets = [{{ provider = \"failing\" }}, {{ provider = \"bedrock\" }}]\n",
        section(&provider),
        failing.address
    );
    let gateway = gateway(&settings, &images);
    let url = format!("https://{}/a.jpg?x=1#top", images.address);
    let body = chat(&url).replace("\"m\"", "\"bedrock/m\"");
    let response = gateway.post("/v1/chat/completions", &body);
    assert_eq!(response.status, 200, "{}", response.text());
    let sent = provider.last_request();
    let sent: Value =
        serde_json::from_str(sent.split_once("\r\n\r\n").expect("a head").1).expect("JSON");
    let expected = json!({"image": {"format": "jpeg", "source": {"bytes": "/9hwaWN0dXJl"}}});
    assert_eq!(sent["messages"][0]["content"][1], expected);
    let request = images.last_request();
    assert!(request.starts_with("GET /a.jpg?x=1 HTTP/1.1\r\n"), "{request}");
    assert!(!request.to_ascii_lowercase().contains("authorization"), "{request}");

    let fields = "x-ringgate-config: both\r\n";
    let request = crate::harness::post("/v1/chat/completions", fields, &chat(&url));
    let response = gateway.send(&request);
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(failing.request_count(), 1);
    assert_eq!(images.request_count(), 2, "one for each request");
    gateway.expect_metric("ringgate_pictures_fetched_total", &[], 2.0);
}

#[test]
fn forbidden_image_urls_are_rejected() {
    let images = pictures("200 OK\r\ncontent-type: image/png", b"picture");
    let provider = bedrock(CONVERSE_ANSWER);
    let url = format!("https://{}/a.png", images.address);
    for (egress, url, reason) in [
        ("", url.as_str(), "egress.fetch_pictures"),
        ("[egress]\nfetch_pictures = true\n", &url, "egress.allow_hosts"),
        (
            "[egress]\nfetch_pictures = true\nallow_hosts = [\"10.0.0.0/8\"]\n",
            &url,
            "egress.allow_hosts",
        ),
        ("[egress]\nfetch_pictures = true\n", "https://localhost/a.png", "egress.allow_hosts"),
        ("[egress]\nfetch_pictures = true\n", "https://[::ffff:127.0.0.1]/a", "egress.allow_hosts"),
        ("[egress]\nfetch_pictures = true\n", "https://169.254.169.254/a", "egress.allow_hosts"),
        (
            "[egress]\nfetch_pictures = true\nallow_hosts = [\"127.0.0.1\"]\n",
            "http://127.0.0.1/a.png",
            "https://",
        ),
    ] {
        let gateway = gateway(&format!("{egress}{}", section(&provider)), &images);
        let response = gateway.post("/v1/chat/completions", &chat(url));
        assert_eq!(response.status, 400, "{url}: {}", response.text());
        assert_eq!(response.code(), "invalid_request");
        assert!(response.text().contains(reason), "{url}: {}", response.text());
    }
    assert_eq!((images.request_count(), provider.request_count()), (0, 0));
}

#[test]
fn non_image_content_is_rejected() {
    let large = vec![b'x'; 8 * 1024 * 1024 + 1];
    for (head, body, reason) in [
        ("302 Found\r\nlocation: https://127.0.0.1/b", &b""[..], "redirects"),
        ("404 Not Found\r\ncontent-type: image/png", b"x", "does not have it"),
        ("200 OK\r\ncontent-type: text/html", b"x", "no picture"),
        ("200 OK", b"x", "no picture"),
        ("200 OK\r\ncontent-type: image/png\r\ncontent-encoding: gzip", b"x", "no picture"),
        ("200 OK\r\ncontent-type: image/png", &large, "8 MiB"),
    ] {
        let images = pictures(head, body);
        let provider = bedrock(CONVERSE_ANSWER);
        let settings = format!(
            "[egress]\nfetch_pictures = true\nallow_hosts = [\"127.0.0.1\"]\n{}",
            section(&provider)
        );
        let gateway = gateway(&settings, &images);
        let url = format!("https://{}/a.png", images.address);
        let response = gateway.post("/v1/chat/completions", &chat(&url));
        assert_eq!(response.status, 400, "{head}: {}", response.text());
        assert!(response.text().contains(reason), "{head}: {}", response.text());
        assert_eq!(provider.request_count(), 0);
        gateway.expect_metric("ringgate_picture_errors_total", &[], 1.0);
    }
}
