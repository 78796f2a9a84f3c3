//! Settings: no file, inline config or URL makes the reader panic, and no message contains a secret.
//!
//! The file is written into memory. References to other files are left out: what they read is not
//! the fuzzer's to choose.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ringgate::config::Settings;
use ringgate::http::is_field_value;
use ringgate::providers::BaseUrl;
use ringgate::routing::Route;

/// The value of every environment variable.
const CANARY: &str = "canary-7f3a";

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| PathBuf::from(format!("/dev/shm/ringgate-fuzz-{}.toml", std::process::id())));

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(url) = BaseUrl::parse(text) {
        assert!(!url.authority.is_empty() && is_field_value(url.authority.as_bytes()));
        assert!(!url.authority.contains(['/', '@', ' ', '?', '#']), "{}", url.authority);
        assert!(is_field_value(url.path.as_bytes()) && !url.path.ends_with('/'), "{}", url.path);
    }
    if let Err(error) = Route::from_json(text) {
        assert!(!error.to_string().contains(['\r', '\n']), "{error}");
    }
    if text.contains("file") || text.contains(CANARY) {
        return;
    }
    std::fs::write(&*FILE, data).expect("a file in memory");
    let environment = |_: &str| Some(CANARY.to_owned());
    if let Err(error) = Settings::load(Some(&FILE), &environment) {
        assert!(!error.to_string().contains(CANARY), "{error}");
    }
});
