//! What the integration tests stand on: a gateway process, scripted providers, raw clients.
//!
//! Everything listens on 127.0.0.1 and a free port. Nothing sleeps to wait for another: a test
//! waits for a condition, with a limit that is only reached when something is broken.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ringgate::shard::Driver;

use crate::tls_front::{Goodbye, TlsFront};

/// Limit of anything that is waited for.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Waits until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LIMIT, "waited {LIMIT:?} in vain for: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A folder that is removed with the test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringgate-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a file in the temporary folder");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Makes the kernel refuse these system calls to `command`, as container runtimes do (EPERM).
#[expect(
    unsafe_code,
    reason = "the standard library has no safe way to run code between fork and exec"
)]
pub fn refuse_system_calls(command: &mut Command, numbers: &[libc::c_long]) {
    let instruction = |code: u32, jump_if: u8, jump_else: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt: jump_if,
        jf: jump_else,
        k,
    };
    let verdict = |value: u32| instruction(libc::BPF_RET | libc::BPF_K, 0, 0, value);
    // The number of the call is the first word of what the filter sees.
    let mut filter = vec![instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0)];
    for number in numbers {
        let number = u32::try_from(*number).expect("a small number");
        filter.push(instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number));
        filter.push(verdict(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32));
    }
    filter.push(verdict(libc::SECCOMP_RET_ALLOW));
    let install = move || {
        let program =
            libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
        // SAFETY: the program points to `filter`, which lives through both calls; the kernel copies
        // it and writes to nothing of ours.
        let failed = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
                || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
                    != 0
        };
        if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: after the fork it only makes two system calls on memory that is already there.
    unsafe { std::os::unix::process::CommandExt::pre_exec(command, install) };
}

/// The keys of suites that run with two in turn.
pub const KEYS: [&str; 2] = ["rg-first-of-two", "rg-second-of-two"];

/// Settings that have [`KEYS`].
pub fn key_sections() -> String {
    KEYS.map(|key| format!("[keys.{key}]\nsecret = \"{key}\"\n")).concat()
}

/// Fields of a request with that key, the cache being on.
pub fn cached(key: &str) -> String {
    format!(
        "authorization: Bearer {key}\r\n\
         x-ringgate-config: {{\"cache\":{{\"mode\":\"simple\",\"scope\":\"shared\"}}}}\r\n"
    )
}

/// What goes into every request of a suite that runs with keys and the cache on.
#[derive(Default)]
struct Signature {
    next: AtomicUsize,
}

impl Signature {
    /// For the keys in turn. Answers are stored and none is served, so that providers see every
    /// request.
    fn fields(&self) -> String {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        cached(KEYS[turn % KEYS.len()]) + "x-ringgate-cache-force-refresh: true\r\n"
    }

    /// The bytes with these fields behind every `host`. What has a credential
    /// already stays as it is, and so does what has no whole `host`.
    fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        const HOST: &[u8] = b"\r\nhost: ";
        let (mut signed, mut rest) = (Vec::new(), bytes);
        if find(bytes, b"authorization: ").is_some() {
            return bytes.to_vec();
        }
        while let Some(at) = find(rest, HOST) {
            let value = at + HOST.len();
            let Some(length) = find(&rest[value..], b"\r\n") else { break };
            let (line, after) = rest.split_at(value + length + 2);
            signed.extend_from_slice(line);
            signed.extend_from_slice(self.fields().as_bytes());
            rest = after;
        }
        signed.extend_from_slice(rest);
        signed
    }
}

/// A running gateway.
pub struct Gateway {
    child: Child,
    signature: Option<Arc<Signature>>,
    pub folder: Folder,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub lines: Arc<Mutex<Vec<String>>>,
}

impl Gateway {
    /// Starts one with these settings; `[server]` may be given, addresses may not.
    pub fn start(settings: &str) -> Self {
        Self::start_with(settings, &[], &[])
    }

    /// As [`Gateway::start`], on that driver.
    pub fn start_on(driver: Driver, settings: &str) -> Self {
        Self::launch(driver, settings, &[], &[])
    }

    /// As [`Gateway::start`], with environment variables and a shell prefix such as `ulimit`.
    pub fn start_with(settings: &str, environment: &[(&str, &str)], limits: &[&str]) -> Self {
        Self::launch(Driver::IoUring, settings, environment, limits)
    }

    /// As [`Gateway::start_with`], on that driver.
    pub fn launch(
        driver: Driver,
        settings: &str,
        environment: &[(&str, &str)],
        limits: &[&str],
    ) -> Self {
        Self::start_prepared(settings, environment, limits, |command| {
            if driver == Driver::Epoll {
                refuse_system_calls(command, &[libc::SYS_io_uring_setup]);
            }
        })
    }

    /// As [`Gateway::start_with`], for the suite in this module: on the driver that its name says and,
    /// with `_with_keys` in it, with two keys in turn and the cache on in every request, unless the
    /// settings have keys of their own.
    pub fn launch_for(
        module: &str,
        settings: &str,
        environment: &[(&str, &str)],
        limits: &[&str],
    ) -> Self {
        let driver = if module.contains("_on_epoll") { Driver::Epoll } else { Driver::IoUring };
        if !module.contains("_with_keys") || settings.contains("[keys.") {
            return Self::launch(driver, settings, environment, limits);
        }
        let settings = format!("{settings}\n{}", key_sections());
        let mut gateway = Self::launch(driver, &settings, environment, limits);
        gateway.signature = Some(Arc::default());
        gateway
    }

    /// As [`Gateway::start_with`]; `prepare` may change the command before it runs.
    pub fn start_prepared(
        settings: &str,
        environment: &[(&str, &str)],
        limits: &[&str],
        prepare: impl FnOnce(&mut Command),
    ) -> Self {
        let folder = Folder::new();
        let mut command = serve_command(&folder, settings, environment, limits);
        prepare(&mut command);
        let mut child = command.spawn().expect("the gateway's binary");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let kept = Arc::clone(&lines);
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                kept.lock().expect("no panic while held").push(line);
            }
        });
        let find = |prefix: &str| -> Option<SocketAddr> {
            let lines = lines.lock().expect("no panic while held");
            let line =
                lines.iter().find_map(|line| line.strip_prefix(prefix).map(str::to_owned))?;
            line.split("//").nth(1)?.parse().ok()
        };
        let begun = Instant::now();
        let (address, admin) = loop {
            let found = (find("ringgate: serving "), find("ringgate: admin "));
            if let (Some(address), Some(admin)) = found {
                break (address, admin);
            }
            let ended = child.try_wait().expect("a child").is_some();
            assert!(!ended && begun.elapsed() < LIMIT, "no start: {:?}", lines.lock());
            thread::sleep(Duration::from_millis(2));
        };
        Self { child, signature: None, folder, address, admin, lines }
    }

    /// Starts one whose standard output and standard error are these. Its addresses are found without
    /// them, and no line is kept.
    pub fn start_unheard(
        settings: &str,
        stdout: impl Into<Stdio>,
        stderr: impl Into<Stdio>,
    ) -> Self {
        let folder = Folder::new();
        let mut command = serve_command(&folder, settings, &[], &[]);
        let mut child =
            command.stdout(stdout).stderr(stderr).spawn().expect("the gateway's binary");
        let begun = Instant::now();
        let (address, admin) = loop {
            let listening = listening_addresses(child.id());
            let is_admin = |address: &&SocketAddr| {
                let mut client = Client::connect(**address);
                client.send(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
                client.response().status == 200
            };
            if let [one, other] = listening.as_slice() {
                let is_first = is_admin(&one);
                break if is_first { (*other, *one) } else { (*one, *other) };
            }
            let ended = child.try_wait().expect("a child");
            assert!(ended.is_none() && begun.elapsed() < LIMIT, "no start: {ended:?}");
            thread::sleep(Duration::from_millis(2));
        };
        Self { child, signature: None, folder, address, admin, lines: Arc::default() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status();
        assert!(status.expect("kill").success());
    }

    /// True once a line that contains `text` has been printed.
    pub fn has_printed(&self, text: &str) -> bool {
        self.lines.lock().expect("no panic while held").iter().any(|line| line.contains(text))
    }

    /// Waits for the process to end by itself.
    pub fn exit_code(&mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            assert!(begun.elapsed() < LIMIT, "the gateway does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn connect(&self) -> Client {
        Client { signature: self.signature.clone(), ..Client::connect(self.address) }
    }

    /// True where clients of [`Gateway::connect`] have keys and the cache on.
    pub fn signs(&self) -> bool {
        self.signature.is_some()
    }

    /// The bytes as a client of [`Gateway::connect`] sends them.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.signature.as_ref().map_or_else(|| bytes.to_vec(), |signature| signature.sign(bytes))
    }

    /// One request on a connection of its own.
    pub fn send(&self, request: &str) -> Response {
        let mut client = self.connect();
        client.send(request.as_bytes());
        client.response()
    }

    /// A JSON request with `Authorization`, on a connection of its own.
    pub fn post(&self, path: &str, body: &str) -> Response {
        self.send(&post(path, "", body))
    }

    /// Status and body of an admin page.
    pub fn admin_page(&self, path: &str) -> (u16, String) {
        let mut client = Client::connect(self.admin);
        client.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes());
        let response = client.response();
        (response.status, response.text())
    }

    /// Sum of all series of a metric whose line contains every one of `labels`.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let (_, text) = self.admin_page("/metrics");
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .filter(|line| line.split(['{', ' ']).next() == Some(name))
            .filter(|line| labels.iter().all(|label| line.contains(label)))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until a metric has this value: an exchange is counted just after its answer is sent.
    pub fn expect_metric(&self, name: &str, labels: &[&str], expected: f64) {
        eventually(&format!("{name} {labels:?} is {expected}"), || {
            (self.metric(name, labels) - expected).abs() < 1e-9
        });
    }

    /// Sockets of the gateway process that are connected to `port`.
    pub fn sockets_to(&self, port: u16) -> usize {
        let inodes = socket_inodes(self.pid());
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        let remote = format!(":{port:04X}");
        table
            .lines()
            .filter(|line| {
                let mut columns = line.split_whitespace();
                let is_remote = columns.nth(2).is_some_and(|it| it.ends_with(&remote));
                is_remote && columns.nth(6).is_some_and(|inode| inodes.contains(&inode.to_owned()))
            })
            .count()
    }
}

/// `ringgate serve` on free ports, behind a shell that sets `limits`.
fn serve_command(
    folder: &Folder,
    settings: &str,
    environment: &[(&str, &str)],
    limits: &[&str],
) -> Command {
    let file = folder.write("ringgate.toml", settings);
    let mut command = Command::new("/bin/sh");
    let prefix: String = limits.iter().map(|limit| format!("{limit}; ")).collect();
    command.arg("-c").arg(format!("{prefix}exec \"$@\"")).arg("sh");
    command.arg(env!("CARGO_BIN_EXE_ringgate"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    if !settings.contains("shards") {
        command.args(["--shards", "1"]);
    }
    command.arg("--config").arg(&file).current_dir(folder.path());
    command.env_clear().envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Addresses of 127.0.0.1 at which a process listens.
fn listening_addresses(pid: u32) -> Vec<SocketAddr> {
    const LISTENS: &str = "0A";
    let inodes = socket_inodes(pid);
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.get(3) == Some(&LISTENS))
        .filter(|row| row.get(9).is_some_and(|inode| inodes.iter().any(|it| it == inode)))
        .filter_map(|row| u16::from_str_radix(row.get(1)?.rsplit(':').next()?, 16).ok())
        .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
        .collect()
}

fn socket_inodes(pid: u32) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let links = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    links
        .filter_map(|link| {
            let text = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned();
            Some(text)
        })
        .collect()
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the gateway said: {:#?}", self.lines.lock());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A JSON request as text; `fields` are further header lines, each with its CR LF.
pub fn post(path: &str, fields: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{fields}\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A chat request body.
pub fn chat(model: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Hello"}}]}}"#)
}

/// A streamed chat request body.
pub fn stream(model: &str) -> String {
    format!(
        r#"{{"model":"{model}","stream":true,"messages":[{{"role":"user","content":"Hello"}}]}}"#
    )
}

/// A raw connection to the gateway.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    signature: Option<Arc<Signature>>,
}

/// An answer as it came over the wire, framing removed.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub fields: HashMap<String, String>,
    pub body: Vec<u8>,
    /// False if the connection ended before the framing did.
    pub complete: bool,
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or("none").to_owned()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, LIMIT).expect("a connection");
        stream.set_read_timeout(Some(LIMIT)).expect("a read limit");
        stream.set_nodelay(true).expect("no delay");
        Self { stream, buffer: Vec::new(), signature: None }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        let signed = self.signature.as_ref().map(|signature| signature.sign(bytes));
        // A gateway that has already refused and closed is what some tests are about.
        let _ = self.stream.write_all(signed.as_deref().unwrap_or(bytes));
    }

    pub fn finish_sending(&self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// Closes with a reset, as a killed process with unread data does.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("linger");
    }

    fn fill(&mut self) -> usize {
        let mut chunk = [0_u8; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                count
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                panic!("no byte within {LIMIT:?}; so far {:?}", self.text())
            }
            Err(_) => 0,
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }

    /// True if the gateway closes without sending more.
    pub fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && self.fill() == 0
    }

    /// Waits until the bytes so far contain `text`.
    pub fn wait_for(&mut self, text: &str) {
        while !self.text().contains(text) {
            assert!(self.fill() > 0, "closed before {text:?}: {:?}", self.text());
        }
    }

    /// Reads one answer to its end.
    pub fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    /// As [`Client::response`], for a request of that method.
    pub fn response_to(&mut self, method: &str) -> Response {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at;
            }
            assert!(self.fill() > 0, "closed within the head: {:?}", self.text());
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a status");
        let fields: HashMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        if status == 100 {
            return self.response_to(method);
        }
        let length = fields.get("content-length").and_then(|it| it.parse::<usize>().ok());
        let chunked = fields.get("transfer-encoding").is_some_and(|it| it == "chunked");
        let (body, complete) = match length {
            _ if method == "HEAD" || status == 204 || status == 304 => (Vec::new(), true),
            Some(length) => self.exactly(length),
            None if chunked => self.chunks(),
            None => {
                while self.fill() > 0 {}
                (std::mem::take(&mut self.buffer), true)
            }
        };
        Response { status, fields, body, complete }
    }

    fn exactly(&mut self, length: usize) -> (Vec<u8>, bool) {
        while self.buffer.len() < length {
            if self.fill() == 0 {
                return (std::mem::take(&mut self.buffer), false);
            }
        }
        (self.buffer.drain(..length).collect(), true)
    }

    fn chunks(&mut self) -> (Vec<u8>, bool) {
        let mut body = Vec::new();
        loop {
            let Some(line) = self.line() else { return (body, false) };
            let Ok(size) = usize::from_str_radix(&line, 16) else { return (body, false) };
            let (data, whole) = self.exactly(size + 2);
            body.extend_from_slice(&data[..data.len().min(size)]);
            if !whole || size == 0 {
                return (body, whole);
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Some(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            if self.fill() == 0 {
                return None;
            }
        }
    }
}

/// Position of `needle`.
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The start of a gateway and of providers in a suite that runs once more under other names: see
/// [`Gateway::launch_for`], and [`Provider::of`].
macro_rules! variants {
    () => {
        fn start(settings: &str) -> crate::harness::Gateway {
            start_with(settings, &[], &[])
        }

        fn start_with(
            settings: &str,
            environment: &[(&str, &str)],
            limits: &[&str],
        ) -> crate::harness::Gateway {
            crate::harness::Gateway::launch_for(module_path!(), settings, environment, limits)
        }

        fn provider(
            script: impl Fn(&mut crate::harness::Visit) + Send + Sync + 'static,
        ) -> crate::harness::Provider {
            crate::harness::Provider::start(script).of(module_path!())
        }

        fn always(answer: impl Into<Vec<u8>>) -> crate::harness::Provider {
            crate::harness::Provider::always(answer).of(module_path!())
        }
    };
}
pub(crate) use variants;

/// A provider that does what a test tells it, connection by connection.
pub struct Provider {
    pub address: SocketAddr,
    /// Requests received whole, as text.
    pub requests: Arc<Mutex<Vec<String>>>,
    pub connections: Arc<AtomicUsize>,
    /// What speaks TLS for it, at its address.
    pub front: Option<TlsFront>,
}

/// One connection at a scripted provider.
pub struct Visit {
    pub stream: TcpStream,
    /// Which connection this is, from 0.
    pub number: usize,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Provider {
    /// Runs `script` on a thread for each connection.
    pub fn start(script: impl Fn(&mut Visit) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let connections = Arc::new(AtomicUsize::new(0));
        let (kept, counted) = (Arc::clone(&requests), Arc::clone(&connections));
        let script = Arc::new(script);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let number = counted.fetch_add(1, Ordering::SeqCst);
                let (script, requests) = (Arc::clone(&script), Arc::clone(&kept));
                thread::spawn(move || {
                    stream.set_read_timeout(Some(LIMIT)).expect("a read limit");
                    stream.set_nodelay(true).expect("no delay");
                    script(&mut Visit { stream, number, requests });
                });
            }
        });
        Self { requests, connections, ..Self::at(address) }
    }

    /// Whatever is at this address.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, requests: Arc::default(), connections: Arc::default(), front: None }
    }

    /// The same provider behind TLS.
    pub fn over_tls(self) -> Self {
        self.over_tls_with(Goodbye::Closes)
    }

    /// The same provider behind TLS that ends so.
    pub fn over_tls_with(mut self, goodbye: Goodbye) -> Self {
        let front = TlsFront::before(self.address, goodbye);
        self.address = front.address;
        self.front = Some(front);
        self
    }

    /// Answers every request with these bytes.
    pub fn always(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |visit| {
            while visit.request().is_some() {
                visit.send(&answer);
            }
        })
    }

    /// Behind TLS in the copy of a suite that is named so.
    pub fn of(self, module: &str) -> Self {
        if module.ends_with("_over_tls") { self.over_tls() } else { self }
    }

    /// True once so many bytes, and the ends of so many connections, have gone out through its TLS.
    pub fn has_passed(&self, bytes: usize, ends: usize) -> bool {
        self.front.as_ref().is_none_or(|front| front.has_passed(bytes, ends))
    }

    /// The provider as a section of a settings file, serving any model.
    pub fn section(&self, name: &str, more: &str) -> String {
        let (scheme, trust) = match &self.front {
            None => ("http", String::new()),
            Some(front) => ("https", format!("tls_ca_file = \"{}\"\n", front.ca_file().display())),
        };
        format!(
            "[providers.{name}]\ndialect = \"openai-chat\"\nbase_url = \"{scheme}://{}/v1\"\n\
             {trust}{more}\n",
            self.address
        )
    }

    pub fn last_request(&self) -> String {
        self.requests.lock().expect("no panic while held").last().cloned().unwrap_or_default()
    }

    pub fn request_count(&self) -> usize {
        self.requests.lock().expect("no panic while held").len()
    }
}

impl Visit {
    /// Reads one request with its body; `None` when the gateway has closed.
    pub fn request(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        let mut byte = [0_u8; 1];
        while !bytes.ends_with(b"\r\n\r\n") {
            match self.stream.read(&mut byte) {
                Ok(1) => bytes.push(byte[0]),
                _ => return None,
            }
        }
        let head = String::from_utf8_lossy(&bytes).into_owned();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
        if let Some(length) = length {
            let mut body = vec![0; length];
            self.stream.read_exact(&mut body).ok()?;
            bytes.extend_from_slice(&body);
        } else if head.contains("transfer-encoding: chunked") {
            while !bytes.ends_with(b"\r\n0\r\n\r\n") {
                match self.stream.read(&mut byte) {
                    Ok(1) => bytes.push(byte[0]),
                    _ => return None,
                }
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        self.requests.lock().expect("no panic while held").push(text.clone());
        Some(text)
    }

    pub fn send(&mut self, bytes: &[u8]) {
        // A gateway that has left is what some tests are about.
        let _ = self.stream.write_all(bytes);
    }

    /// Waits until the gateway closes; true if it did within the limit.
    pub fn wait_for_end(&mut self) -> bool {
        let mut chunk = [0_u8; 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }

    pub fn reset(&self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("linger");
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

/// A JSON answer as bytes.
pub fn json_answer(status: &str, fields: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{fields}content-length: \
         {}\r\n\r\n{body}",
        body.len()
    )
}

/// A small, whole chat answer.
pub const CHAT_ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":2}}}"#;

/// The head of a chunked event stream.
pub const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// One chunk that holds one event.
pub fn event(data: &str) -> String {
    let event = format!("data: {data}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len())
}

/// The data of a content event.
pub fn delta(text: &str) -> String {
    format!(
        r#"{{"id":"c","object":"chat.completion.chunk","choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}]}}"#
    )
}

/// The data of the event that finishes a choice.
pub const FINISH: &str = r#"{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;

/// The data of the event that reports usage.
pub const USAGE: &str = r#"{"id":"c","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":5,"total_tokens":16}}"#;
