//! Start, reload, drain, dead readers of the standard streams, odd files, a forbidden io_uring, and
//! want of file descriptors.

use std::fs::File;
use std::io::{self, PipeReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{
    CHAT_ANSWER, Client, FINISH, Folder, Gateway, Provider, STREAM_HEAD, chat, delta, event,
    eventually, json_answer, post, refuse_system_calls, stream,
};

const CHAT_PATH: &str = "/v1/chat/completions";

fn ringgate(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringgate"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    let output = command.output().expect("the binary");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn check_command_lists_every_problem_with_path() {
    let folder = Folder::new();
    let file = folder.write(
        "bad.toml",
        "[server]\nlisten = \"nowhere\"\nlistne = 1\n[providers.p]\npreset = \"opnai\"\n\
         api_key = \"${NOT_SET}\"\n[keys.k]\nroute = \"none\"\n",
    );
    let file = file.to_str().expect("a path").to_owned();
    let (code, text) = ringgate(&["check", "--config", &file], &[]);
    assert_eq!(code, Some(1), "{text}");
    for expected in
        ["server.listen", "server.listne", "providers.p.preset", "openai", "NOT_SET", "keys.k"]
    {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    let good = folder.write("good.toml", "[server]\nshards = 1\n");
    let (code, text) = ringgate(&["check", "--config", good.to_str().expect("a path")], &[]);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn address_in_use_is_rejected() {
    let gateway = Gateway::start("");
    let listen = gateway.address.to_string();
    let (code, text) = ringgate(&["--listen", &listen, "--admin", "127.0.0.1:0"], &[]);
    assert_eq!(code, Some(1));
    assert!(text.contains(&listen) && text.contains("in use"), "{text}");
}

#[test]
fn environment_variables_add_providers() {
    let environment = [("GROQ_API_KEY", "a-key"), ("OPENAI_API_KEY", "another")];
    let gateway = Gateway::start_with("", &environment, &[]);
    eventually("the start-up line", || gateway.has_printed("providers:"));
    assert!(gateway.has_printed("openai") && gateway.has_printed("groq"));
}

#[test]
fn reload_is_atomic() {
    let old = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let new =
        Provider::always(json_answer("200 OK", "", r#"{"choices":[{"index":0}],"id":"new"}"#));
    let gateway = Gateway::start(&old.section("p", ""));
    let file = gateway.folder.path().join("ringgate.toml");
    let mut kept = gateway.connect();
    kept.send(post("/v1/chat/completions", "", &chat("m")).as_bytes());
    assert_eq!(kept.response().text(), CHAT_ANSWER);

    std::fs::write(&file, "[server]\nno_such = 1\n").expect("the file");
    gateway.signal("HUP");
    eventually("the refusal", || {
        gateway.has_printed("reload failed") && gateway.has_printed("no_such")
    });
    assert_eq!(gateway.post("/v1/chat/completions", &chat("m")).text(), CHAT_ANSWER);
    gateway.expect_metric("ringgate_settings_reload_errors_total", &[], 1.0);

    std::fs::write(&file, new.section("p", "")).expect("the file");
    gateway.signal("HUP");
    eventually("the new settings", || gateway.has_printed("settings reloaded"));
    eventually("the new provider", || {
        gateway.post("/v1/chat/completions", &chat("m")).text().contains("new")
    });
    kept.send(post("/v1/chat/completions", "", &chat("m")).as_bytes());
    assert!(kept.response().text().contains("new"), "open connections follow");
}

#[test]
fn reload_names_all_settings_that_need_a_restart() {
    let gateway = Gateway::start("[server]\nbody_bytes_max = 4096\n");
    let file = gateway.folder.path().join("ringgate.toml");
    let body = chat(&"m".repeat(3_000));
    let reload = |settings: &str| {
        std::fs::write(&file, format!("[server]\nbody_bytes_max = 2048\n{settings}"))
            .expect("the file");
        gateway.signal("HUP");
    };
    // The flag stands above `shards` of the file, and the port 0 of both addresses is a bound one.
    reload(
        "listen = \"127.0.0.1:0\"\nshards = 7\nbusy_poll_us = 5\nadmin_token = \"canary-5e77\"\n\
         [log]\nrequests = \"stdout\"\n",
    );
    let refusal = "reload failed, keeping the current settings: server.admin_token, \
                   server.busy_poll_us, log.requests cannot change without a restart";
    eventually("the refusal", || gateway.has_printed(refusal));
    assert!(!gateway.has_printed("canary-5e77"));
    assert_eq!(gateway.post(CHAT_PATH, &body).status, 200);
    gateway.expect_metric("ringgate_settings_reload_errors_total", &[], 1.0);

    reload("");
    gateway.expect_metric("ringgate_settings_reloads_total", &[], 1.0);
    eventually("what changed", || gateway.has_printed("settings reloaded, changed: server"));
    eventually("the new limit", || gateway.post(CHAT_PATH, &body).status == 413);
}

#[test]
fn reload_changes_how_long_an_address_is_used() {
    let answer = json_answer("200 OK", "connection: close\r\n", CHAT_ANSWER);
    let provider = Provider::always(answer);
    let settings = |dns_ttl_ms: u64| {
        let section = provider.section("p", "").replace("127.0.0.1", "localhost");
        format!("[server]\ndns_ttl_ms = {dns_ttl_ms}\n{section}")
    };
    let gateway = Gateway::start(&settings(86_400_000));
    let lookups = || gateway.metric("ringgate_dns_lookups_total", &[]);
    for _ in 0..2 {
        assert_eq!(gateway.post(CHAT_PATH, &chat("m")).status, 200);
    }
    eventually("the look-up is counted", || lookups() > 0.0);
    let file = gateway.folder.path().join("ringgate.toml");
    std::fs::write(&file, settings(1)).expect("the file");
    gateway.signal("HUP");
    eventually("the address is looked up for each connection", || {
        assert_eq!(gateway.post(CHAT_PATH, &chat("m")).status, 200);
        lookups() > 2.0
    });
}

#[test]
fn reload_of_keys_keeps_connections_to_providers() {
    let provider = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let settings = |keys: &[&str]| {
        let key = |secret: &&str| format!("[keys.{secret}]\nsecret = \"{secret}\"\n");
        provider.section("p", "") + &keys.iter().map(key).collect::<String>()
    };
    let gateway = Gateway::start(&settings(&["kept", "revoked"]));
    let status = |secret: &str| {
        let fields = format!("authorization: Bearer {secret}\r\n");
        gateway.send(&post(CHAT_PATH, &fields, &chat("m"))).status
    };
    assert_eq!(["kept", "revoked", "added"].map(status), [200, 200, 401]);
    let file = gateway.folder.path().join("ringgate.toml");
    for (keys, expected) in [
        (&["kept", "added"][..], [200, 401, 200]),
        (&["kept", "added", "revoked"], [200, 200, 200]),
    ] {
        std::fs::write(&file, settings(keys)).expect("the file");
        gateway.signal("HUP");
        eventually("the keys are in force", || {
            ["kept", "revoked", "added"].map(status) == expected
        });
    }
    assert!(gateway.has_printed("settings reloaded, changed: keys"));
    assert_eq!(provider.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn drain_finishes_streams_and_rejects_new_connections() {
    let go_on = Arc::new(AtomicBool::new(false));
    let goes_on = Arc::clone(&go_on);
    let provider = Provider::start(move |visit| {
        visit.request();
        visit.send(STREAM_HEAD.as_bytes());
        visit.send(event(&delta("begun")).as_bytes());
        eventually("the test goes on", || goes_on.load(Ordering::Relaxed));
        visit.send(format!("{}{}0\r\n\r\n", event(FINISH), event("[DONE]")).as_bytes());
    });
    let mut gateway = Gateway::start(&provider.section("p", ""));
    let mut client = gateway.connect();
    client.send(post("/v1/chat/completions", "", &stream("m")).as_bytes());
    client.wait_for("begun");
    gateway.signal("TERM");
    eventually("readiness is gone", || gateway.admin_page("/readyz").0 == 503);
    assert_eq!(gateway.admin_page("/healthz").0, 200);
    let address = gateway.address;
    eventually("nobody listens", || std::net::TcpStream::connect(address).is_err());
    go_on.store(true, Ordering::Relaxed);
    let response = client.response();
    assert!(response.complete && response.text().contains("[DONE]"), "{}", response.text());
    assert_eq!(gateway.exit_code(), Some(0));
}

#[test]
fn drain_timeout_is_enforced() {
    let provider = Provider::start(|visit| {
        visit.request();
        visit.send(STREAM_HEAD.as_bytes());
        visit.send(event(&delta("begun")).as_bytes());
        visit.wait_for_end();
    });
    let settings = format!(
        "[server]\ndrain_timeout_ms = 300\n[log]\nrequests = \"requests.jsonl\"\n{}",
        provider.section("p", "")
    );
    let mut gateway = Gateway::start(&settings);
    let mut client = gateway.connect();
    client.send(post("/v1/chat/completions", "", &stream("m")).as_bytes());
    client.wait_for("begun");
    let begun = Instant::now();
    gateway.signal("TERM");
    let response = client.response();
    assert!(!response.complete && !response.text().contains("[DONE]"));
    assert_eq!(gateway.exit_code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    // Bytes received from the provider so far are still delivered.
    let log = gateway.folder.path().join("requests.jsonl");
    let line = std::fs::read_to_string(log).expect("the log");
    let line: serde_json::Value = serde_json::from_str(line.trim()).expect("one line of JSON");
    assert_eq!((&line["output_tokens"], &line["usage_estimated"]), (&1.into(), &true.into()));
}

#[test]
fn descriptor_exhaustion_does_not_spin() {
    let gateway = Gateway::start_with("", &[], &["ulimit -n 64"]);
    let clients: Vec<_> = (0..100).map(|_| gateway.connect()).collect();
    let before = cpu_ticks(gateway.pid());
    let window = Instant::now();
    eventually("a window has passed", || window.elapsed() > Duration::from_millis(700));
    let spent = cpu_ticks(gateway.pid()) - before;
    // One tick is 10 ms: spinning would spend about 70.
    assert!(spent < 20, "{spent} ticks in 0.7 s");
    drop(clients);
    eventually("it serves again", || {
        gateway.post("/v1/chat/completions", &chat("m")).status == 200
    });
    eventually("the failures are counted", || {
        gateway.metric("ringgate_accept_errors_total", &[]) > 0.0
    });
}

/// A stream that nobody reads, and what keeps it so.
fn unread_streams() -> Vec<(&'static str, Stdio, Option<PipeReader>)> {
    let (_, closed) = io::pipe().expect("a pipe");
    let (reader, mut full) = io::pipe().expect("a pipe");
    full.write_all(&[b'x'; PIPE_BYTES]).expect("room for so much");
    let device = File::options().write(true).open("/dev/full").expect("the device");
    vec![
        ("a pipe without reader", closed.into(), None),
        ("a full pipe", full.into(), Some(reader)),
        ("a full device", device.into(), None),
    ]
}

/// What a pipe holds unless its owner wants otherwise, see pipe(7).
const PIPE_BYTES: usize = 65_536;

#[test]
fn closed_standard_streams_do_not_stop_the_process() {
    for (stdout, stderr) in unread_streams().into_iter().zip(unread_streams()) {
        let (what, stdout, _stdout_reader) = stdout;
        let (_, stderr, _stderr_reader) = stderr;
        let provider = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
        let settings = format!("[log]\nrequests = \"stdout\"\n{}", provider.section("p", ""));
        let mut gateway = Gateway::start_unheard(&settings, stdout, stderr);
        let file = gateway.folder.path().join("ringgate.toml");
        for _ in 0..50 {
            assert_eq!(gateway.post(CHAT_PATH, &chat("m")).status, 200, "{what}");
        }
        for number in 1..=3 {
            gateway.signal("HUP");
            let reloads = f64::from(number);
            gateway.expect_metric("ringgate_settings_reloads_total", &[], reloads);
        }
        std::fs::write(&file, "[server]\nno_such = 1\n").expect("the file");
        gateway.signal("HUP");
        gateway.expect_metric("ringgate_settings_reload_errors_total", &[], 1.0);
        assert_eq!(gateway.post(CHAT_PATH, &chat("m")).status, 200, "{what}");
        if what != "a full pipe" {
            eventually("lost messages and lines are counted", || {
                gateway.metric("ringgate_messages_dropped_total", &[]) >= 7.0
                    && gateway.metric("ringgate_log_write_errors_total", &[]) >= 51.0
            });
        }
        let begun = Instant::now();
        gateway.signal("TERM");
        assert_eq!(gateway.exit_code(), Some(0), "{what}");
        assert!(begun.elapsed() < Duration::from_secs(8), "{what}: {:?}", begun.elapsed());
    }
}

#[test]
fn failed_start_sets_exit_code_with_closed_stderr() {
    let folder = Folder::new();
    let file = folder.write("bad.toml", "[server]\nno_such = 1\n");
    for (what, stderr, _reader) in unread_streams() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringgate"));
        command.args(["serve", "--config"]).arg(&file).env_clear().stdout(Stdio::null());
        let status = command.stderr(stderr).status().expect("the binary");
        assert_eq!(status.code(), Some(1), "{what}");
    }
}

/// Paths of this folder that are no files.
fn odd_files(folder: &Path) -> Vec<(&'static str, PathBuf, Option<UnixListener>)> {
    let [fifo, socket, directory] =
        ["odd.fifo", "odd.socket", "odd.folder"].map(|name| folder.join(name));
    make_fifo(&fifo);
    let listener = UnixListener::bind(&socket).expect("a socket");
    std::fs::create_dir(&directory).expect("a folder");
    vec![
        ("a FIFO", fifo, None),
        ("a socket", socket, Some(listener)),
        ("a directory", directory, None),
    ]
}

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
}

#[test]
fn settings_paths_must_be_regular_files() {
    let folder = Folder::new();
    for (kind, path, _listener) in odd_files(folder.path()) {
        let path = path.to_str().expect("a path");
        let expected = format!("got {kind}");
        let (code, text) = ringgate(&["check", "--config", path], &[]);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(path) && text.contains(&expected), "{text}");
        for (setting, name) in [
            (format!("[server.tls]\ncert_file = \"{path}\"\nkey_file = \"x\""), "cert_file"),
            (format!("[server]\nadmin_token = \"${{file:{path}}}\""), "admin_token"),
            (format!("[providers.p]\npreset = \"ollama\"\ntls_ca_file = \"{path}\""), "tls_ca"),
        ] {
            let file = folder.write("odd.toml", &setting);
            let (code, text) =
                ringgate(&["check", "--config", file.to_str().expect("a path")], &[]);
            assert_eq!(code, Some(1), "{text}");
            assert!(text.contains(name) && text.contains(&expected), "{text}");
        }
        let file = folder.write("odd.toml", &format!("[log]\nrequests = \"{path}\""));
        let arguments = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config"];
        let arguments = [&arguments[..], &[file.to_str().expect("a path")]].concat();
        let (code, text) = ringgate(&arguments, &[]);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("log.requests") && text.contains(path), "{text}");
        assert!(text.contains(&expected), "{text}");
    }
}

#[test]
fn cache_paths_must_be_regular_files() {
    let provider = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let cached = "x-ringgate-config: {\"cache\":{\"mode\":\"simple\"}}\r\n";
    for (name, keeps) in [
        ("lock", false),
        ("secret", false),
        ("00000001.cache", true),
        ("00000007.cache", true),
        ("compacted.new", true),
    ] {
        let folder = Folder::new();
        let path = folder.path().join(name);
        make_fifo(&path);
        let dir = folder.path().display();
        let settings = format!("[cache]\ndir = \"{dir}\"\n{}", provider.section("p", ""));
        let mut gateway = Gateway::start(&settings);
        let message = format!("{}: expected a file, got a FIFO", path.display());
        if name != "compacted.new" {
            eventually("the report", || gateway.has_printed(&message));
        }
        for expected in ["MISS", "HIT"] {
            let answer = gateway.send(&post(CHAT_PATH, cached, &chat("m")));
            assert_eq!(answer.field("x-ringgate-cache-status"), Some(expected), "{name}");
        }
        let is_kept = || {
            let files = std::fs::read_dir(folder.path()).expect("the folder").flatten();
            let sizes =
                files.filter_map(|file| file.metadata().ok()).filter(std::fs::Metadata::is_file);
            sizes.map(|it| it.len()).sum::<u64>() > 200
        };
        if keeps {
            eventually("the answer is on disk", is_kept);
        }
        let mut client = Client::connect(gateway.admin);
        client.send(post("/cache/purge", "", "{}").as_bytes());
        assert_eq!(client.response().json()["purged"], 1, "{name}");
        if name == "compacted.new" {
            eventually("the report", || gateway.has_printed(&message));
        }
        gateway.signal("TERM");
        assert_eq!(gateway.exit_code(), Some(0), "{name}");
    }
}

#[test]
fn unreadable_model_disables_semantic_cache() {
    let folder = Folder::new();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        make_fifo(&folder.path().join(name));
    }
    let settings = format!(
        "[semantic_cache]\nmodel_dir = \"{}\"\n[routes.r]\ncache = {{ mode = \"semantic\" }}\n",
        folder.path().display()
    );
    let gateway = Gateway::start(&settings);
    eventually("the report", || {
        gateway.has_printed("semantic cache is off")
            && gateway.has_printed("expected a file, got a FIFO")
    });
}

#[test]
fn forbidden_io_uring_is_detected_at_start() {
    for (what, calls) in [
        ("enter", &[libc::SYS_io_uring_enter][..]),
        ("setup", &[libc::SYS_io_uring_setup]),
        ("all", &[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register]),
    ] {
        let provider = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
        let settings = provider.section("p", "");
        let mut gateway = Gateway::start_prepared(&settings, &[], &[], |command| {
            refuse_system_calls(command, calls);
        });
        assert!(gateway.has_printed("io_uring is refused"), "{what}: {:?}", gateway.lines);
        assert!(gateway.has_printed("epoll"), "{what}: {:?}", gateway.lines);
        assert_eq!(gateway.post(CHAT_PATH, &chat("m")).text(), CHAT_ANSWER, "{what}");
        gateway.signal("TERM");
        assert_eq!(gateway.exit_code(), Some(0), "{what}");
    }
}

#[test]
fn streamed_bodies_do_not_accumulate_idle_connections() {
    let provider = Provider::always(json_answer("200 OK", "", r#"{"text":"Hi"}"#));
    let gateway = Gateway::start(&provider.section("p", ""));
    let request = "POST /v1/audio/unknown HTTP/1.1\r\nhost: a\r\ncontent-type: audio/wav\r\n\
                   content-length: 4\r\n\r\nRIFF";
    for _ in 0..30 {
        let answer = gateway.send(request);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(provider.connections.load(Ordering::Relaxed), 30, "each takes a new one");
    let port = provider.address.port();
    eventually("the others are closed", || gateway.sockets_to(port) <= 2);
    gateway.expect_metric("ringgate_upstream_connections_idle", &[], 1.0);
}

#[test]
fn half_open_admin_connections_do_not_starve_others() {
    let provider = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let gateway = Gateway::start_with(&provider.section("p", ""), &[], &["ulimit -n 256"]);
    let half_open: Vec<Client> = (0..300)
        .map(|_| {
            let mut client = Client::connect(gateway.admin);
            client.send(b"GET /healthz HTTP/1.1\r\nhost: loc");
            client
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(gateway.post(CHAT_PATH, &chat("m")).status, 200);
        assert_eq!(gateway.admin_page("/healthz").0, 200);
    }
    let own = format!("/proc/{}/fd", gateway.pid());
    let open = std::fs::read_dir(own).expect("a process").count();
    assert!(open < 150, "{open} descriptors");
    // Those that are left end by their limit, without an answer to half a request.
    let mut last = half_open.into_iter().next_back().expect("300 clients");
    assert!(last.is_closed());
}

#[test]
fn descriptors_are_reserved_for_providers_and_admin() {
    let provider = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let settings = format!("[server]\nhead_timeout_ms = 3000\n{}", provider.section("p", ""));
    let gateway = Gateway::start_with(&settings, &[], &["ulimit -n 128"]);
    let mut client = gateway.connect();
    client.send(post(CHAT_PATH, "", &chat("m")).as_bytes());
    assert_eq!(client.response().status, 200);
    let crowd: Vec<Client> = (0..300)
        .map(|_| {
            let mut client = gateway.connect();
            client.send(b"POST /v1/");
            client
        })
        .collect();
    eventually("the crowd is noticed", || {
        gateway.metric("ringgate_accept_errors_total", &[]) > 0.0
    });
    // Who is connected is served, and so is the operator.
    client.send(post(CHAT_PATH, "", &chat("m")).as_bytes());
    assert_eq!(client.response().status, 200);
    assert_eq!(gateway.admin_page("/readyz").0, 200);
    drop(crowd);
    assert_eq!(gateway.post(CHAT_PATH, &chat("m")).status, 200);
}

#[test]
fn admin_api_rejects_cross_site_requests() {
    let gateway = Gateway::start("[admin]\nhosts = [\"Gateway.Internal\"]\n");
    let port = gateway.admin.port();
    let own = format!("localhost:{port}");
    let get = |path: &str, host: &str| format!("GET {path} HTTP/1.1\r\n{host}\r\n");
    let purge = |fields: &str| {
        format!(
            "POST /cache/purge HTTP/1.1\r\nhost: {own}\r\n{fields}content-type: \
             application/json\r\ncontent-length: 2\r\n\r\n{{}}"
        )
    };
    let long = format!(r#"{{"route":"{}"}}"#, "r".repeat(100_000));
    for (request, status) in [
        (get("/targets", "host: 127.0.0.1\r\n"), 200),
        (get("/targets", "host: [::1]:8081\r\n"), 200),
        (get("/targets", "host: localhost\r\n"), 200),
        (get("/targets", "host: gateway.internal:8081\r\n"), 200),
        (get("/targets", "host: evil.example\r\n"), 421),
        (get("/cache/stats", &format!("host: evil.example:{port}\r\n")), 421),
        (get("/targets", "host: localhost.evil.example\r\n"), 421),
        (get("/targets", ""), 400),
        (get("/targets", "host: localhost\r\nhost: evil.example\r\n"), 400),
        (get("http://evil.example/targets", "host: localhost\r\n"), 400),
        (get("http://localhost/targets", "host: localhost\r\n"), 200),
        // Probes and scrapers use any name.
        (get("/healthz", "host: evil.example\r\n"), 200),
        (get("/readyz", "host: pod.example\r\n"), 200),
        (get("/metrics", "host: pod.example\r\n"), 200),
        (purge(""), 200),
        (purge(&format!("origin: http://{own}\r\n")), 200),
        (purge(&format!("origin: http://{own}\r\nsec-fetch-site: same-origin\r\n")), 200),
        (purge("sec-fetch-site: none\r\n"), 200),
        (purge("origin: http://evil.example\r\n"), 403),
        (purge("origin: null\r\n"), 403),
        (purge("origin: http://localhost\r\n"), 403),
        (purge("sec-fetch-site: cross-site\r\n"), 403),
        (purge("sec-fetch-site: same-site\r\n"), 403),
        (purge(&format!("origin: http://{own}\r\nsec-fetch-site: cross-site\r\n")), 403),
        (post("/cache/purge", "", &long), 413),
    ] {
        let mut client = Client::connect(gateway.admin);
        client.send(request.as_bytes());
        let answer = client.response();
        let shown = request.get(..120).unwrap_or(&request);
        assert_eq!(answer.status, status, "{shown}: {}", answer.text());
        if status >= 400 {
            let error = &answer.json()["error"];
            assert!(error["message"].is_string() && error["code"].is_string(), "{shown}: {error}");
        }
    }
}

fn cpu_ticks(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let after_name = text.rsplit_once(") ").expect("the name in brackets").1;
    let columns: Vec<&str> = after_name.split(' ').collect();
    columns[11].parse::<u64>().expect("utime") + columns[12].parse::<u64>().expect("stime")
}
