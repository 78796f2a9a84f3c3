//! Start, reload, drain, and want of file descriptors.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::stage::{
    CHAT_ANSWER, FINISH, Folder, Gateway, Provider, STREAM_HEAD, chat, delta, event, eventually,
    json_answer, post, stream,
};

fn ringgate(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringgate"));
    command.args(arguments).env_clear().envs(environment.iter().copied());
    let output = command.output().expect("the binary");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn check_lists_every_problem_with_its_path() {
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
fn an_address_in_use_is_refused() {
    let gateway = Gateway::start("");
    let listen = gateway.address.to_string();
    let (code, text) = ringgate(&["--listen", &listen, "--admin", "127.0.0.1:0"], &[]);
    assert_eq!(code, Some(1));
    assert!(text.contains(&listen) && text.contains("in use"), "{text}");
}

#[test]
fn known_variables_add_providers() {
    let environment = [("GROQ_API_KEY", "a-key"), ("OPENAI_API_KEY", "another")];
    let gateway = Gateway::start_with("", &environment, &[]);
    eventually("the start-up line", || gateway.has_said("providers:"));
    assert!(gateway.has_said("openai") && gateway.has_said("groq"));
}

#[test]
fn a_reload_is_whole_or_not_at_all() {
    let old = Provider::always(json_answer("200 OK", "", CHAT_ANSWER));
    let new = Provider::always(json_answer("200 OK", "", r#"{"choices":[],"id":"new"}"#));
    let gateway = Gateway::start(&old.section("p", ""));
    let file = gateway.folder.path().join("ringgate.toml");
    let mut kept = gateway.connect();
    kept.send(post("/v1/chat/completions", "", &chat("m")).as_bytes());
    assert_eq!(kept.response().text(), CHAT_ANSWER);

    std::fs::write(&file, "[server]\nno_such = 1\n").expect("the file");
    gateway.signal("HUP");
    eventually("the refusal", || gateway.has_said("not reloaded") && gateway.has_said("no_such"));
    assert_eq!(gateway.post("/v1/chat/completions", &chat("m")).text(), CHAT_ANSWER);
    gateway.expect_metric("ringgate_settings_reload_errors_total", &[], 1.0);

    std::fs::write(&file, new.section("p", "")).expect("the file");
    gateway.signal("HUP");
    eventually("the new settings", || gateway.has_said("settings reloaded"));
    eventually("the new provider", || {
        gateway.post("/v1/chat/completions", &chat("m")).text().contains("new")
    });
    kept.send(post("/v1/chat/completions", "", &chat("m")).as_bytes());
    assert!(kept.response().text().contains("new"), "open connections follow");
}

#[test]
fn draining_lets_streams_finish_and_refuses_newcomers() {
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
fn the_drain_deadline_holds() {
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
    // What the provider had sent by then is told all the same.
    let log = gateway.folder.path().join("requests.jsonl");
    let line = std::fs::read_to_string(log).expect("the log");
    let line: serde_json::Value = serde_json::from_str(line.trim()).expect("one line of JSON");
    assert_eq!((&line["output_tokens"], &line["usage_estimated"]), (&1.into(), &true.into()));
}

#[test]
fn want_of_descriptors_is_survived_without_spinning() {
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

fn cpu_ticks(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let after_name = text.rsplit_once(") ").expect("the name in brackets").1;
    let columns: Vec<&str> = after_name.split(' ').collect();
    columns[11].parse::<u64>().expect("utime") + columns[12].parse::<u64>().expect("stime")
}
