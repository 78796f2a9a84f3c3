//! Forms, as OpenAI's clients send audio and pictures: the part `model` is seen, routed, held to the
//! key's list, overridden and logged, wherever it stands, and the file is not kept.

use std::io::Read as _;

use serde_json::Value;

use crate::harness::{Gateway, Provider, Response, eventually, json_answer};

const PATH: &str = "/v1/audio/transcriptions";
const KEY: &str = "rg-voice-5f1c09d2e7";
const OPEN: &str = "rg-open-5f1c09d2e7";

/// A file whose bytes look like framing here and there.
fn file(bytes: usize) -> String {
    "\r\n--Xa\r\n--\r\nname=\"model\"\0 \r\r\n-X".chars().cycle().take(bytes).collect()
}

fn field(name: &str, text: &str) -> String {
    format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
}

fn file_part(text: &str) -> String {
    format!(
        "--X\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\
         Content-Type: audio/wav\r\n\r\n{text}\r\n"
    )
}

fn form(parts: &[String]) -> String {
    format!("{}--X--\r\n", parts.concat())
}

fn request(key: &str, path: &str, fields: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {key}\r\ncontent-type: \
         multipart/form-data; boundary=X\r\n{fields}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn in_chunks(key: &str, fields: &str, body: &str, size: usize) -> String {
    let chunks: String = body
        .as_bytes()
        .chunks(size)
        .map(|piece| format!("{:x}\r\n{}\r\n", piece.len(), String::from_utf8_lossy(piece)))
        .collect();
    format!(
        "POST {PATH} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {key}\r\ncontent-type: \
         multipart/form-data; boundary=\"X\"\r\n{fields}transfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
    )
}

/// Two providers and two keys, of which one may use one model.
struct Stand {
    gateway: Gateway,
    a: Provider,
    b: Provider,
}

impl Stand {
    fn new() -> Self {
        let start = || Provider::always(json_answer("200 OK", "", r#"{"text":"Hi"}"#));
        let (a, b) = (start(), start());
        let settings = format!(
            r#"{}{}
[server]
body_bytes_max = 1048576
[log]
requests = "requests.jsonl"
[keys.voice]
secret = "{KEY}"
models = ["gpt-4o-transcribe"]
[keys.open]
secret = "{OPEN}"
[routes.set]
targets = [{{ provider = "b", override_params = {{ model = "gpt-4o-transcribe", temperature = 0.5, stream = true, include = ["logprobs"] }}, default_params = {{ language = "en" }} }}]
[routes.next]
strategy = {{ mode = "fallback" }}
targets = [{{ provider = "down" }}, {{ provider = "b", override_params = {{ model = "gpt-4o-transcribe" }} }}]
[providers.down]
dialect = "openai-chat"
base_url = "http://127.0.0.1:1/v1"
"#,
            a.section("a", ""),
            b.section("b", ""),
        );
        Self { gateway: Gateway::start(&settings), a, b }
    }

    /// What the provider got, without the head and the framing of chunks.
    fn body(provider: &Provider) -> String {
        let request = provider.last_request();
        let (head, body) = request.split_once("\r\n\r\n").expect("a head");
        if !head.contains("transfer-encoding: chunked") {
            return body.to_owned();
        }
        let (mut rest, mut whole) = (body, String::new());
        while let Some((size, behind)) = rest.split_once("\r\n") {
            let size = usize::from_str_radix(size, 16).expect("a size");
            whole.push_str(&behind[..size]);
            rest = &behind[size + 2..];
        }
        whole
    }

    fn counts(&self) -> [usize; 2] {
        [self.a.request_count(), self.b.request_count()]
    }

    fn send(&self, request: &str) -> (Response, [usize; 2]) {
        let [a, b] = self.counts();
        let response = self.gateway.send(request);
        let [more_a, more_b] = self.counts();
        (response, [more_a - a, more_b - b])
    }
}

#[test]
fn model_of_form_is_found_at_any_position() {
    let stand = Stand::new();
    let file = file(300_000);
    let parts = |model: &str, is_first: bool| {
        let (model, file) = (field("model", model), file_part(&file));
        form(&if is_first {
            [model, field("language", "de"), file]
        } else {
            [file, field("language", "de"), model]
        })
    };
    for is_first in [true, false] {
        for (key, model, sent) in [
            (KEY, "a/gpt-4o-transcribe", "gpt-4o-transcribe"),
            (KEY, "@a/gpt-4o-transcribe", "gpt-4o-transcribe"),
            (OPEN, "a/whisper-1", "whisper-1"),
        ] {
            let (body, expected) = (parts(model, is_first), parts(sent, is_first));
            for request in [request(key, PATH, "", &body), in_chunks(key, "", &body, 7_001)] {
                let (response, counts) = stand.send(&request);
                assert_eq!((response.status, counts), (200, [1, 0]), "{}", response.text());
                assert!(Stand::body(&stand.a) == expected, "{is_first} {model}");
            }
        }
        for model in ["a/whisper-1", "whisper-1", "a/gpt-4o-transcribe2"] {
            let (response, counts) = stand.send(&request(
                KEY,
                PATH,
                "x-ringgate-provider: a\r\n",
                &parts(model, is_first),
            ));
            assert_eq!((response.status, counts), (403, [0, 0]), "{model}: {}", response.text());
            assert_eq!(response.code(), "model_not_allowed");
        }
    }
    // It chooses the provider, on other paths too, and is not there at all.
    let body = form(&[field("model", "b/m"), file_part("x")]);
    for path in ["/v1/images/edits", "/v1/images/variations", "/v1/audio/translations", "/v1/files"]
    {
        let (response, counts) = stand.send(&request(OPEN, path, "", &body));
        assert_eq!((response.status, counts), (200, [0, 1]), "{path}: {}", response.text());
        assert_eq!(Stand::body(&stand.b), form(&[field("model", "m"), file_part("x")]), "{path}");
    }
    let none = form(&[file_part("x"), field("language", "de")]);
    let (response, counts) = stand.send(&request(KEY, PATH, "x-ringgate-provider: a\r\n", &none));
    assert_eq!((response.status, counts), (403, [0, 0]), "{}", response.text());
    let (response, _) = stand.send(&request(OPEN, PATH, "x-ringgate-provider: a\r\n", &none));
    assert_eq!((response.status, Stand::body(&stand.a)), (200, none.clone()));
    let (response, counts) = stand.send(&request(OPEN, PATH, "", &none));
    assert_eq!((response.status, counts), (400, [0, 0]), "{}", response.text());
}

#[test]
fn overrides_are_applied_to_forms_and_logged() {
    let stand = Stand::new();
    let file = file(200_000);
    let before = [field("model", "a/whisper-1"), field("temperature", "1"), file_part(&file)];
    let after = [file_part(&file), field("temperature", "1"), field("model", "whisper-1")];
    let added = [field("language", "en"), field("stream", "true")]
        .concat()
        .replace("Content-Disposition", "content-disposition");
    for (parts, expected) in [
        (
            before,
            [field("model", "gpt-4o-transcribe"), field("temperature", "0.5"), file_part(&file)],
        ),
        (
            after,
            [file_part(&file), field("temperature", "0.5"), field("model", "gpt-4o-transcribe")],
        ),
    ] {
        let fields = "x-ringgate-config: set\r\n";
        let (response, counts) = stand.send(&request(KEY, PATH, fields, &form(&parts)));
        assert_eq!((response.status, counts), (200, [0, 1]), "{}", response.text());
        let sent = Stand::body(&stand.b);
        assert!(
            sent == format!("{}{added}--X--\r\n", expected.concat()),
            "{}",
            &sent[sent.len() - 300..]
        );
    }
    // Edits that a form cannot express are reported.
    let log = stand.gateway.folder.path().join("requests.jsonl");
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("both are logged", || read().lines().count() == 2);
    for line in read().lines() {
        let event: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(event["model"], "gpt-4o-transcribe", "{line}");
        assert!(line.contains("not edited in a form: include"), "{line}");
    }
    // A form that is held whole may go to another target.
    let parts = [file_part(&file), field("model", "x")];
    let (response, counts) =
        stand.send(&request(OPEN, PATH, "x-ringgate-config: next\r\n", &form(&parts)));
    assert_eq!((response.status, counts), (200, [0, 1]), "{}", response.text());
    assert!(
        Stand::body(&stand.b) == form(&[file_part(&file), field("model", "gpt-4o-transcribe")])
    );
}

/// A body that passes unread names its own model: the log does not say what the route would have set.
#[test]
fn unedited_body_logs_no_overrides() {
    let stand = Stand::new();
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {OPEN}\r\ncontent-type: audio/wav\r\n\
         x-ringgate-config: set\r\ncontent-length: 3\r\n\r\nabc"
    );
    let (response, counts) = stand.send(&request);
    assert_eq!((response.status, counts), (200, [0, 1]));
    let log = stand.gateway.folder.path().join("requests.jsonl");
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("it is logged", || read().lines().count() == 1);
    let event: Value = serde_json::from_str(&read()).expect("JSON");
    assert_eq!(event["model"], Value::Null);
    assert!(read().contains("not edited in a body that is streamed"), "{}", read());
}

#[test]
fn large_form_requires_model_before_file() {
    let stand = Stand::new();
    let file = file_part(&file(3_000_000));
    for (key, fields) in [(OPEN, ""), (KEY, ""), (KEY, "x-ringgate-provider: a\r\n")] {
        let body = form(&[file.clone(), field("model", "a/gpt-4o-transcribe")]);
        let (response, counts) = stand.send(&request(key, PATH, fields, &body));
        assert_eq!((response.status, counts), (413, [0, 0]), "{fields}");
        let text = response.text();
        assert!(text.contains("send `model` before the file"), "{text}");
    }
    let body = form(&[field("model", "a/gpt-4o-transcribe"), file.clone()]);
    assert_eq!(stand.send(&request(KEY, PATH, "", &body)).0.status, 200);
    // Who names the provider and may use any model needs nothing of it, and edits reach it on its way.
    let body = form(&[file.clone(), field("model", "whisper-1")]);
    let (response, counts) = stand.send(&request(OPEN, PATH, "x-ringgate-provider: a\r\n", &body));
    assert_eq!((response.status, counts), (200, [1, 0]), "{}", response.text());
    assert!(Stand::body(&stand.a) == body);
}

#[test]
fn streamed_form_is_not_buffered() {
    const BYTES: usize = 32 * 1024 * 1024;
    let provider = Provider::start(|visit| {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") && visit.stream.read_exact(&mut byte).is_ok() {
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut left: usize = length.expect("a length").parse().expect("a number");
        let mut piece = vec![0; 64 * 1024];
        while left > 0 {
            match visit.stream.read(&mut piece) {
                Ok(count @ 1..) => left -= count,
                _ => return,
            }
        }
        visit.send(json_answer("200 OK", "", length.unwrap_or_default()).as_bytes());
    });
    let gateway = Gateway::start(&provider.section("a", ""));
    let begin = [field("model", "a/whisper-1"), file_part("")].concat();
    let begin = begin.strip_suffix("\r\n").expect("a line end");
    let end = "\r\n--X--\r\n";
    let length = begin.len() + BYTES + end.len();
    let mut client = gateway.connect();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: g\r\ncontent-type: multipart/form-data; boundary=X\r\n\
         content-length: {length}\r\n\r\n{begin}"
    );
    client.send(head.as_bytes());
    let piece = vec![b'-'; 1024 * 1024];
    for number in 0..BYTES / piece.len() {
        client.send(&piece);
        if number % 8 == 7 {
            let held = gateway.metric("ringgate_buffered_bytes", &[]);
            assert!(held < 256.0 * 1024.0, "{held} bytes are held");
        }
    }
    client.send(end.as_bytes());
    let response = client.response();
    // The provider's name came off the model.
    assert_eq!((response.status, response.text()), (200, (length - 2).to_string()));
}

#[test]
fn ambiguous_forms_are_rejected() {
    let stand = Stand::new();
    let model = || field("model", "gpt-4o-transcribe");
    let disposition = |line: &str, text: &str| format!("--X\r\n{line}\r\n\r\n{text}\r\n");
    let escaped = disposition("Content-Disposition: form-data; name=\"mod\\el\"", "whisper-1");
    let percent = disposition("Content-Disposition: form-data; name=\"mod%65l\"", "whisper-1");
    let starred =
        disposition("Content-Disposition: form-data; name=\"x\"; name*=utf-8''model", "whisper-1");
    let as_file = disposition(
        "Content-Disposition: form-data; name=\"model\"; filename=\"m\"",
        "gpt-4o-transcribe",
    );
    let encoded = disposition(
        "Content-Disposition: form-data; name=\"model\"\r\nContent-Transfer-Encoding: base64",
        "gpt-4o-transcribe",
    );
    let bare =
        "--X\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n".to_owned();
    let large = file_part(&file(500_000));
    let whole = |parts: &[String]| form(parts);
    for (body, status) in [
        (whole(&[model(), model()]), 400),
        // Also where the second comes when the first is long on its way.
        (whole(&[model(), large.clone(), model()]), 400),
        (whole(&[model(), large.clone(), field("models", "whisper-1")]), 403),
        (whole(&[model(), field("fallbacks[]", "whisper-1")]), 403),
        (whole(&[model(), field("extra_body", "{\"model\":\"whisper-1\"}")]), 403),
        (whole(&[model(), escaped]), 400),
        (whole(&[model(), percent]), 400),
        (whole(&[model(), starred]), 400),
        (whole(&[as_file]), 400),
        (whole(&[encoded]), 400),
        (whole(&[model(), bare]), 400),
        (whole(&[field("model", &"m".repeat(600))]), 400),
        (whole(&[field("model", "gpt-4o-\u{1}transcribe")]), 400),
        ([model(), "--X".to_owned()].concat(), 400),
        ([model(), large.clone()].concat(), 400),
        ("--X--\r\n".to_owned(), 400),
        ("anything".to_owned(), 400),
    ] {
        let fields = "x-ringgate-provider: a\r\n";
        let response = stand.gateway.send(&request(KEY, PATH, fields, &body));
        assert_eq!(response.status, status, "{}", &body[..body.len().min(300)]);
        let answered = stand.gateway.metric("ringgate_requests_total", &["200"]);
        assert!(answered < 1.0, "{}", &body[..body.len().min(300)]);
    }
    let twice = "x-ringgate-provider: a\r\ncontent-type: multipart/form-data; boundary=Y\r\n";
    let response = stand.gateway.send(&request(KEY, PATH, twice, &whole(&[model()])));
    assert_eq!(response.status, 400, "{}", response.text());
    let good = request(KEY, PATH, "x-ringgate-provider: a\r\n", &whole(&[model(), large]));
    assert_eq!(stand.gateway.send(&good).status, 200);
}

/// Where no model is expected, anything passes as it is.
#[test]
fn other_forms_pass_unchanged() {
    let stand = Stand::new();
    let purpose = form(&[field("purpose", "batch"), file_part(&file(400_000))]);
    for body in ["no form".to_owned(), "y".repeat(200_000), purpose, form(&[file_part("x")])] {
        let fields = "x-ringgate-provider: a\r\n";
        for request in
            [request(OPEN, "/v1/files", fields, &body), in_chunks(OPEN, fields, &body, 5_000)]
        {
            if request.contains(PATH) && !body.starts_with("--X") {
                continue;
            }
            let (response, counts) = stand.send(&request);
            assert_eq!((response.status, counts), (200, [1, 0]), "{}", response.text());
            assert!(Stand::body(&stand.a) == body);
        }
    }
}
