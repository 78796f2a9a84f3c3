//! TLS in front of a scripted provider, which itself knows nothing of it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ServerConfig, ServerConnection};

use crate::harness::{Folder, LIMIT};

/// Speaks TLS at its address and passes what it decrypts on. The ends and resets of the provider's
/// connections become those of its own.
pub struct TlsFront {
    pub address: SocketAddr,
    folder: Folder,
    passed: Arc<Passed>,
}

/// What has been passed on from the provider.
#[derive(Default)]
struct Passed {
    bytes: AtomicUsize,
    /// Connections that have come to their end.
    ends: AtomicUsize,
}

/// What follows the provider's `close_notify`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Goodbye {
    /// TCP ends with it.
    Closes,
    /// TCP stays open until the other side closes, as with Python's asyncio.
    Lingers,
}

impl TlsFront {
    pub fn before(provider: SocketAddr, goodbye: Goodbye) -> Self {
        let folder = Folder::new();
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a legal name");
        let certificate = params.self_signed(&key).expect("a certificate");
        folder.write("ca.pem", &certificate.pem());
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the default versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a certificate and its key");
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let passed = Arc::new(Passed::default());
        let counted = Arc::clone(&passed);
        thread::spawn(move || {
            for outer in listener.incoming().map_while(Result::ok) {
                let Ok(inner) = TcpStream::connect(provider) else { return };
                let session = ServerConnection::new(Arc::clone(&config)).expect("a session");
                let counted = Arc::clone(&counted);
                thread::spawn(move || relay(outer, inner, session, (goodbye, counted)));
            }
        });
        Self { address, folder, passed }
    }

    /// True once so many bytes of the provider, and the ends of so many of its connections, have been
    /// passed on.
    pub fn has_passed(&self, bytes: usize, ends: usize) -> bool {
        self.passed.bytes.load(Ordering::SeqCst) >= bytes
            && self.passed.ends.load(Ordering::SeqCst) >= ends
    }

    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

fn relay(
    outer: TcpStream,
    inner: TcpStream,
    session: ServerConnection,
    (goodbye, passed): (Goodbye, Arc<Passed>),
) {
    for stream in [&outer, &inner] {
        stream.set_nodelay(true).expect("no delay");
        stream.set_read_timeout(Some(LIMIT)).expect("a read limit");
    }
    let session = Arc::new(Mutex::new(session));
    let answers = {
        let (session, outer) = (Arc::clone(&session), outer.try_clone().expect("a socket"));
        let inner = inner.try_clone().expect("a socket");
        move || {
            encrypt(inner, outer, &session, (goodbye, &passed));
            passed.ends.fetch_add(1, Ordering::SeqCst);
        }
    };
    let answers = thread::spawn(answers);
    decrypt(outer, &inner, &session);
    let _ = inner.shutdown(Shutdown::Write);
    let _ = answers.join();
}

/// From the gateway to the provider.
fn decrypt(mut outer: TcpStream, mut inner: &TcpStream, session: &Mutex<ServerConnection>) {
    let mut chunk = [0; 64 * 1024];
    while let Ok(count @ 1..) = outer.read(&mut chunk) {
        let mut session = session.lock().expect("no panic while held");
        let mut records = &chunk[..count];
        while !records.is_empty() {
            session.read_tls(&mut records).expect("memory");
            let Ok(state) = session.process_new_packets() else { return };
            let mut plain = vec![0; state.plaintext_bytes_to_read()];
            session.reader().read_exact(&mut plain).expect("it is there");
            if flush(&mut session, &mut outer).is_err() || inner.write_all(&plain).is_err() {
                return;
            }
            if state.peer_has_closed() {
                return;
            }
        }
    }
}

/// From the provider to the gateway.
fn encrypt(
    mut inner: TcpStream,
    mut outer: TcpStream,
    session: &Mutex<ServerConnection>,
    (goodbye, passed): (Goodbye, &Passed),
) {
    let mut chunk = [0; 64 * 1024];
    loop {
        let outcome = inner.read(&mut chunk);
        let mut session = session.lock().expect("no panic while held");
        match outcome {
            Ok(0) => {
                session.send_close_notify();
                let _ = flush(&mut session, &mut outer);
                if goodbye == Goodbye::Closes {
                    let _ = outer.shutdown(Shutdown::Write);
                }
                return;
            }
            Ok(count) => {
                session.writer().write_all(&chunk[..count]).expect("memory");
                // For a gateway that has left it is read all the same, and counted.
                let _ = flush(&mut session, &mut outer);
                passed.bytes.fetch_add(count, Ordering::SeqCst);
            }
            Err(_) => {
                let socket = socket2::SockRef::from(&outer);
                socket.set_linger(Some(Duration::ZERO)).expect("linger");
                let _ = outer.shutdown(Shutdown::Both);
                return;
            }
        }
    }
}

fn flush(session: &mut ServerConnection, outer: &mut TcpStream) -> std::io::Result<()> {
    let mut records = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut records)?;
    }
    outer.write_all(&records)
}
