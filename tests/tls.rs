//! TLS on both sides: towards clients, with resumption and new certificates while running, and
//! towards providers, whose certificates are checked and who may ask for ours.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use loadtest::mock::{self, MockOptions, RunningMock};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection,
    StreamOwned,
};

use crate::harness::{
    CHAT_ANSWER, Folder, Gateway, LIMIT, Provider, chat, eventually, json_answer, post,
};

const CHAT_PATH: &str = "/v1/chat/completions";

/// Signs certificates of tests.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, PEM.
struct Identity {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn sign(&self, name: &str) -> Identity {
        self.sign_until(name, 4000)
    }

    /// A certificate whose last day is the first of that year.
    fn sign_until(&self, name: &str, year: i32) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a legal name");
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(der(&self.pem)).expect("a root");
        roots
    }
}

impl Identity {
    fn write(&self, folder: &Folder, name: &str) {
        folder.write(&format!("{name}.pem"), &self.certificate);
        folder.write(&format!("{name}.key"), &self.key);
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![der(&self.certificate)]
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key")
    }
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
}

/// A client that trusts `authority` and remembers sessions.
fn client_config(authority: &Authority) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the default versions")
        .with_root_certificates(authority.roots())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// A client's connection with TLS.
struct Secure {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

impl Secure {
    fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        let socket = TcpStream::connect(address).expect("a connection");
        socket.set_read_timeout(Some(LIMIT)).expect("a read limit");
        socket.set_nodelay(true).expect("no delay");
        let name = ServerName::try_from("127.0.0.1").expect("a legal name");
        let session = ClientConnection::new(Arc::clone(config), name).expect("a session");
        Self { stream: StreamOwned::new(session, socket) }
    }

    /// Sends a request whose answer has a length; the status and the body.
    fn send(&mut self, request: &str) -> (u16, String) {
        self.stream.write_all(request.as_bytes()).expect("all is sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("text");
        let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).expect("a status");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.and_then(|text| text.parse().ok()).expect("a length");
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("a body");
        (status, String::from_utf8(body).expect("text"))
    }

    /// Asks for a chat and gets one.
    fn check(&mut self) {
        let answer = self.send(&post(CHAT_PATH, "", &chat("m")));
        assert_eq!(answer, (200, CHAT_ANSWER.to_owned()));
    }

    fn server_certificate(&self) -> Vec<u8> {
        self.stream.conn.peer_certificates().expect("a certificate")[0].to_vec()
    }
}

/// The settings of a gateway that shows `folder`'s `server` certificate, before one provider.
fn settings(folder: &Path, server: &str, provider: &Provider) -> String {
    let folder = folder.display();
    format!(
        "[server]\n{server}\n[server.tls]\ncert_file = \"{folder}/server.pem\"\nkey_file = \
         \"{folder}/server.key\"\n{}",
        provider.section("p", "")
    )
}

/// A gateway with TLS and what its certificate was signed with.
struct Stand {
    gateway: Gateway,
    authority: Authority,
    folder: Folder,
    config: Arc<ClientConfig>,
    identity: Identity,
}

impl Stand {
    fn new(server: &str) -> Self {
        let folder = Folder::new();
        let authority = Authority::new();
        let identity = authority.sign("127.0.0.1");
        identity.write(&folder, "server");
        let provider = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
        let gateway = Gateway::start(&settings(folder.path(), server, &provider));
        let config = client_config(&authority);
        Self { gateway, authority, folder, config, identity }
    }

    fn connect(&self) -> Secure {
        Secure::connect(self.gateway.address, &self.config)
    }

    /// Lines of standard error that contain `text`.
    fn count_printed(&self, text: &str) -> usize {
        let lines = self.gateway.lines.lock().expect("no panic while held");
        lines.iter().filter(|line| line.contains(text)).count()
    }

    fn handshake_errors(&self) -> f64 {
        self.gateway.metric("ringgate_tls_handshake_errors_total", &[])
    }
}

#[test]
fn clients_use_http_1_1_over_tls() {
    let stand = Stand::new("");
    assert!(stand.gateway.has_printed("ringgate: serving https://"));
    let mut client = stand.connect();
    for _ in 0..3 {
        client.check();
    }
    assert_eq!(client.stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    // Large both ways: many records.
    let padded = format!(r#"{{"model":"m","x":"{}"}}"#, "y".repeat(3_000_000));
    assert_eq!(client.send(&post(CHAT_PATH, "", &padded)).0, 200);
    client.check();
    let (status, body) = client.send("GET /nowhere HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(status == 404 && body.contains("not_found"), "{status} {body}");
    // A request that is refused ends the connection in an orderly way.
    let (status, _) = client.send("GET /../ HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(status, 400);
    let mut rest = Vec::new();
    client.stream.read_to_end(&mut rest).expect("a close_notify before the end");
    assert!(rest.is_empty());
    assert_eq!(stand.handshake_errors(), 0.0);
}

#[test]
fn tls_sessions_resume_on_any_shard() {
    let stand = Stand::new("shards = 2");
    let mut first = stand.connect();
    first.check();
    assert_eq!(first.stream.conn.handshake_kind(), Some(HandshakeKind::Full));
    for _ in 0..10 {
        let mut next = stand.connect();
        next.check();
        assert_eq!(next.stream.conn.handshake_kind(), Some(HandshakeKind::Resumed));
    }
}

#[test]
fn handshake_may_arrive_byte_by_byte() {
    let stand = Stand::new("");
    let mut socket = TcpStream::connect(stand.gateway.address).expect("a connection");
    socket.set_read_timeout(Some(LIMIT)).expect("a read limit");
    socket.set_nodelay(true).expect("no delay");
    let name = ServerName::try_from("127.0.0.1").expect("a legal name");
    let mut session = ClientConnection::new(Arc::clone(&stand.config), name).expect("a session");
    while session.is_handshaking() {
        let mut records = Vec::new();
        while session.wants_write() {
            session.write_tls(&mut records).expect("memory");
        }
        for byte in records {
            socket.write_all(&[byte]).expect("it is taken");
        }
        if session.is_handshaking() {
            assert!(session.read_tls(&mut socket).expect("bytes") > 0, "closed in the handshake");
            session.process_new_packets().expect("a good handshake");
        }
    }
    Secure { stream: StreamOwned::new(session, socket) }.check();
}

#[test]
fn plaintext_clients_are_rejected() {
    let stand = Stand::new("head_timeout_ms = 2000");
    let greeting = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let garbage = [&greeting[..], &[0xaa; 4096]].concat();
    let plain = post(CHAT_PATH, "", &chat("m"));
    let mut errors = 0.0;
    for (what, bytes) in [
        ("plain HTTP", plain.as_bytes()),
        ("garbage", &garbage),
        ("zeroes", &[0; 1000]),
        ("an alert", b"\x15\x03\x03\x00\x02\x02\x28"),
        ("half a greeting, then silence", greeting),
        ("silence", b""),
    ] {
        let mut socket = TcpStream::connect(stand.gateway.address).expect("a connection");
        socket.set_read_timeout(Some(LIMIT)).expect("a read limit");
        // One that is sent away early does not take all of it.
        let _ = socket.write_all(bytes);
        let mut answer = Vec::new();
        if let Err(error) = socket.read_to_end(&mut answer) {
            let waited = [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind());
            assert!(!waited, "{what}: still open");
        }
        // An alert may come before the end; an answer in HTTP may not.
        assert!(answer.is_empty() || answer[0] == 0x15, "{what}: {answer:?}");
        errors += 1.0;
        eventually("the failure is counted", || stand.handshake_errors() == errors);
    }
    stand.connect().check();
    assert_eq!(stand.gateway.metric("ringgate_panics_total", &[]), 0.0);
}

#[test]
fn new_connections_get_reloaded_certificate() {
    let stand = Stand::new("");
    let mut old = stand.connect();
    old.check();
    let shown = der(&stand.identity.certificate).to_vec();
    assert_eq!(old.server_certificate(), shown);
    // Invalid settings change nothing, and are reported.
    let (new, other) = (stand.authority.sign("127.0.0.1"), stand.authority.sign("127.0.0.1"));
    let half = &new.certificate[..new.certificate.len() / 2];
    let (certificate, key) =
        (stand.folder.path().join("server.pem"), stand.folder.path().join("server.key"));
    for (index, (bad_certificate, bad_key, path)) in [
        (&*new.certificate, &*other.key, "server.tls"),
        ("nonsense", &new.key, "server.tls.cert_file"),
        (half, &new.key, "server.tls"),
        (&new.certificate, "nonsense", "server.tls.key_file"),
        (&new.certificate, "", "server.tls.key_file"),
        (&new.key, &new.key, "server.tls.cert_file"),
    ]
    .into_iter()
    .enumerate()
    {
        std::fs::write(&certificate, bad_certificate).expect("a file");
        std::fs::write(&key, bad_key).expect("a file");
        stand.gateway.signal("HUP");
        eventually("it is refused", || {
            stand.count_printed("keeping the current settings") == index + 1
        });
        eventually("the reason is given", || stand.count_printed(path) >= 1);
        let mut client = Secure::connect(stand.gateway.address, &client_config(&stand.authority));
        client.check();
        assert_eq!(client.server_certificate(), shown, "case {index}");
        old.check();
    }
    std::fs::remove_file(&key).expect("a file");
    stand.gateway.signal("HUP");
    eventually("it is refused", || stand.count_printed("keeping the current settings") == 7);
    assert_eq!(stand.gateway.metric("ringgate_settings_reload_errors_total", &[]), 7.0);
    assert_eq!(stand.count_printed("settings reloaded"), 0);
    // No secret in any message.
    for secret in [&new.key, &other.key] {
        let line = secret.lines().nth(1).expect("a line of the key");
        assert_eq!(stand.count_printed(line), 0);
    }
    new.write(&stand.folder, "server");
    stand.gateway.signal("HUP");
    eventually("it is taken", || stand.count_printed("settings reloaded") == 1);
    eventually("it is shown", || {
        let mut client = Secure::connect(stand.gateway.address, &client_config(&stand.authority));
        client.check();
        client.server_certificate() == der(&new.certificate).to_vec()
    });
    old.check();
    assert_eq!(old.server_certificate(), shown);
    stand.connect().check();
}

/// A mock with this certificate.
fn mock_with(folder: &Folder, identity: &Identity) -> RunningMock {
    identity.write(folder, "upstream");
    let options = MockOptions {
        tls: true,
        tls_cert: Some(folder.path().join("upstream.pem")),
        tls_key: Some(folder.path().join("upstream.key")),
        ..MockOptions::default()
    };
    mock::start(options).expect("a mock")
}

/// Starts a gateway before `url`, asks it twice, and compares status and code.
fn check_upstream(
    what: &str,
    url: &str,
    more: &str,
    environment: &[(&str, &str)],
    expected: (u16, &str),
) {
    let settings =
        format!("[providers.p]\ndialect = \"openai-chat\"\nbase_url = \"{url}\"\n{more}\n");
    let gateway = Gateway::start_with(&settings, environment, &[]);
    for _ in 0..2 {
        let response = gateway.post(CHAT_PATH, &chat("m"));
        let text = response.text();
        assert_eq!((response.status, &*response.code()), expected, "{what}: {text}");
        // Why it failed is for the operator; who stands there is for nobody.
        for hidden in ["127.0.0.1", "localhost", "certificate", "rustls", "UnknownIssuer"] {
            assert!(response.status == 200 || !text.contains(hidden), "{what}: {text}");
        }
    }
    let errors = gateway.metric("ringgate_tls_handshake_errors_total", &[]);
    let handshake_failed = expected.1 == "upstream_unreachable";
    assert_eq!(errors, if handshake_failed { 2.0 } else { 0.0 }, "{what}");
    let connects = gateway.metric("ringgate_upstream_connects_total", &[]);
    assert_eq!(connects, if expected.0 == 200 { 1.0 } else { 2.0 }, "{what}");
}

#[test]
fn provider_certificates_are_verified() {
    const GOOD: (u16, &str) = (200, "none");
    const BAD: (u16, &str) = (502, "upstream_unreachable");
    let folder = Folder::new();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let file = |name: &str, text: &str| folder.write(name, text).display().to_string();
    let (ca, other_ca) = (file("ca.pem", &authority.pem), file("other.pem", &stranger.pem));
    let both_ca = file("both.pem", &format!("{}{}", stranger.pem, authority.pem));
    let trusting = |ca: &str| format!("tls_ca_file = \"{ca}\"");
    let by_address = mock_with(&folder, &authority.sign("127.0.0.1"));
    let by_name = mock_with(&folder, &authority.sign("localhost"));
    let expired = mock_with(&folder, &authority.sign_until("127.0.0.1", 2001));
    let elsewhere = mock_with(&folder, &authority.sign("provider.example"));
    let address = by_address.url();
    let named = by_name.url().replace("127.0.0.1", "localhost");
    // The system's roots are those of this variable.
    let system = |roots: &'static str| [("SSL_CERT_FILE", roots)];
    let leak = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    let (system_good, system_other) = (system(leak(&ca)), system(leak(&other_ca)));
    for (what, url, more, environment, expected) in [
        ("its authority is trusted", &address, trusting(&ca), &system_other, GOOD),
        ("the second of two authorities", &address, trusting(&both_ca), &system_other, GOOD),
        ("the system trusts it", &address, String::new(), &system_good, GOOD),
        ("a further authority replaces none", &address, trusting(&other_ca), &system_good, GOOD),
        ("a name instead of an address", &named, trusting(&ca), &system_other, GOOD),
        ("nobody trusts it", &address, String::new(), &system_other, BAD),
        ("another authority", &address, trusting(&other_ca), &system_other, BAD),
        ("for the name, not the address", &by_name.url(), trusting(&ca), &system_other, BAD),
        ("for another host", &elsewhere.url(), trusting(&ca), &system_other, BAD),
        (
            "for the address, not the name",
            &address.replace("127.0.0.1", "localhost"),
            trusting(&ca),
            &system_other,
            BAD,
        ),
        ("expired", &expired.url(), trusting(&ca), &system_other, BAD),
    ] {
        check_upstream(what, url, &more, environment, expected);
    }
    assert_eq!(expired.stats().requests_started + elsewhere.stats().requests_started, 0);
    // The mock's own certificate, given as its authority.
    let options =
        MockOptions { tls: true, answer_bytes: Some(1_000_000), ..MockOptions::default() };
    let own = mock::start(options).expect("a mock");
    let pem = file("own.pem", own.certificate_pem().expect("it has one"));
    check_upstream("large answers", &own.url(), &trusting(&pem), &system_other, GOOD);
    // TLS towards a server that has none, and the reverse.
    let plain = mock::start(MockOptions::default()).expect("a mock");
    let secure_url = plain.url().replace("http:", "https:");
    check_upstream("no TLS there", &secure_url, &trusting(&ca), &system_other, BAD);
    assert_eq!(plain.stats().requests_started, 0);
}

/// A provider with TLS that asks for a certificate signed by `authority` and answers with
/// `answer`; whether it says `close_notify` after it and closes is up to `end`.
fn demanding(authority: &Authority, identity: &Identity, answer: &str, end: End) -> SocketAddr {
    let roots = Arc::new(authority.roots());
    let crypto = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&crypto));
    let verifier = match end {
        End::AfterCertificate => verifier,
        End::Cut | End::CloseNotify => verifier.allow_unauthenticated(),
    };
    let config = ServerConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .expect("the default versions")
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_single_cert(identity.chain(), identity.private_key())
        .expect("a good identity");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let answer = answer.to_owned();
    thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let (config, answer) = (Arc::clone(&config), answer.clone());
            thread::spawn(move || {
                socket.set_read_timeout(Some(LIMIT)).expect("a read limit");
                let session = ServerConnection::new(config).expect("a session");
                serve(StreamOwned::new(session, socket), &answer, end);
            });
        }
    });
    address
}

/// What a scripted provider with TLS does after its answer.
#[derive(Clone, Copy, PartialEq)]
enum End {
    /// Waits for the next request; it has asked for a certificate.
    AfterCertificate,
    /// Closes without `close_notify`, as one does who cuts the line.
    Cut,
    /// Closes in order.
    CloseNotify,
}

fn serve(mut stream: StreamOwned<ServerConnection, TcpStream>, answer: &str, end: End) {
    loop {
        let mut request = Vec::new();
        // The body of a chat ends with these; heads have no brackets.
        while !request.ends_with(b"}]}") {
            let mut byte = [0];
            if !matches!(stream.read(&mut byte), Ok(1)) {
                // The gateway has closed, or its certificate was refused.
                return;
            }
            request.push(byte[0]);
        }
        // A gateway that has left is not this test's business.
        let _ = stream.write_all(answer.as_bytes()).and_then(|()| stream.flush());
        if end == End::AfterCertificate {
            continue;
        }
        if end == End::CloseNotify {
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
        return;
    }
}

#[test]
fn client_certificate_is_sent_to_provider() {
    let folder = Folder::new();
    let (authority, stranger) = (Authority::new(), Authority::new());
    let answer = json_answer("200 OK", "", CHAT_ANSWER);
    let server = authority.sign("127.0.0.1");
    let address = demanding(&authority, &server, &answer, End::AfterCertificate);
    authority.sign("gateway.example").write(&folder, "ours");
    stranger.sign("gateway.example").write(&folder, "strange");
    folder.write("ca.pem", &authority.pem);
    let path = folder.path().display();
    let ours = |name: &str| {
        format!(
            "tls_ca_file = \"{path}/ca.pem\"\ntls_client_cert_file = \"{path}/{name}.pem\"\n\
             tls_client_key_file = \"{path}/{name}.key\"\n"
        )
    };
    let without = format!("tls_ca_file = \"{path}/ca.pem\"\n");
    for (more, status) in [(ours("ours"), 200), (ours("strange"), 502), (without, 502)] {
        let settings = format!(
            "[providers.p]\ndialect = \"openai-chat\"\nbase_url = \"https://{address}/v1\"\n{more}"
        );
        let gateway = Gateway::start(&settings);
        for _ in 0..2 {
            let response = gateway.post(CHAT_PATH, &chat("m"));
            assert_eq!(response.status, status, "{more} {}", response.text());
        }
        assert_eq!(gateway.metric("ringgate_panics_total", &[]), 0.0);
    }
}

/// Over TLS, only an authenticated end of the connection ends a response.
#[test]
fn truncated_tls_response_is_invalid() {
    let folder = Folder::new();
    let authority = Authority::new();
    let ca = folder.write("ca.pem", &authority.pem);
    let server = authority.sign("127.0.0.1");
    let until_close =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{CHAT_ANSWER}");
    for (end, expected) in
        [(End::CloseNotify, (200, "none")), (End::Cut, (502, "upstream_invalid_response"))]
    {
        let address = demanding(&authority, &server, &until_close, end);
        let gateway = Gateway::start(&format!(
            "[providers.p]\ndialect = \"openai-chat\"\nbase_url = \"https://{address}/v1\"\n\
             tls_ca_file = \"{}\"\n",
            ca.display()
        ));
        let response = gateway.post(CHAT_PATH, &chat("m"));
        assert_eq!((response.status, &*response.code()), expected, "{}", response.text());
    }
}
