//! Loads [`Settings`] from a file: reading, TOML, references, and error messages.
//!
//! Relative paths are resolved against the file's directory. Files are read whole, up to a size
//! limit.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::Settings;
use super::interpolate::Sources;
use super::overrides::Overrides;
use super::restart::RestartSettings;
use super::sections::Sections;
use crate::base::{Diagnostic, Diagnostics, open_to_read};

/// Longest settings file, and longest file that it references, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Why settings cannot be loaded. No message contains a secret or a line of the file.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The settings file cannot be read.
    #[error("{}: cannot read the settings file: {reason}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error message.
        reason: String,
    },
    /// The file is not valid TOML.
    #[error("{}:{line}:{column}: {message}", .path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
        /// What was expected.
        message: String,
    },
    /// The settings have diagnostics, one per line.
    #[error("{}", in_lines(.0))]
    Refused(Vec<Diagnostic>),
}

impl Settings {
    /// Reads and checks a settings file; without one, defaults and the environment apply.
    ///
    /// # Errors
    /// If the file cannot be read, is not valid TOML, or has diagnostics; all of them are reported.
    pub fn load(
        file: Option<&Path>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, LoadError> {
        Self::load_with(file, &Overrides::default(), environment)
    }

    /// As [`Settings::load`], with overrides from the command line.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn load_with(
        file: Option<&Path>,
        overrides: &Overrides,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, LoadError> {
        let text = file.map_or(Ok(String::new()), |path| {
            read_bounded(path)
                .map_err(|reason| LoadError::Unreadable { path: path.to_owned(), reason })
        })?;
        Self::parse(&text, file.unwrap_or(Path::new("")), overrides, environment)
    }

    /// As [`Settings::load`], with the environment of the process.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn from_environment(file: Option<&Path>) -> Result<Self, LoadError> {
        Self::from_environment_with(file, &Overrides::default())
    }

    /// As [`Settings::load_with`], with the environment of the process.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn from_environment_with(
        file: Option<&Path>,
        overrides: &Overrides,
    ) -> Result<Self, LoadError> {
        Self::load_with(file, overrides, &|name| std::env::var(name).ok())
    }

    pub(super) fn parse(
        text: &str,
        file: &Path,
        overrides: &Overrides,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, LoadError> {
        // Some editors begin a file with a byte order mark, which TOML 1.0 does not allow.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let table: toml::Table = text.parse().map_err(|error| syntax_error(text, file, &error))?;
        let directory = file.parent().unwrap_or(Path::new(""));
        let read_file = |path: &str| read_named_file(directory, path);
        let sources = Sources { environment, read_file: &read_file };
        let mut diagnostics = Diagnostics::default();
        let written = sources
            .resolve(toml::Value::Table(table), "", &mut diagnostics)
            .and_then(|value| if let Value::Object(map) = value { Some(map) } else { None })
            .unwrap_or_default();
        let restart = RestartSettings::default();
        let sections =
            Sections { written, directory, sources, diagnostics: &mut diagnostics, restart };
        let settings = sections.settings(overrides);
        match settings {
            Some(settings) if diagnostics.is_empty() => Ok(settings),
            _ => Err(LoadError::Refused(diagnostics.into_vec())),
        }
    }
}

fn read_named_file(directory: &Path, path: &str) -> Result<String, String> {
    if path.is_empty() {
        return Err("expected the path of a file, got an empty text".to_owned());
    }
    read_bounded(&directory.join(path)).map_err(|reason| format!("cannot read the file: {reason}"))
}

fn read_bounded(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let file = open_to_read(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    // Reads one byte more than allowed, to detect a file that is too long.
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
    match read.map_err(|error| error.to_string())? as u64 {
        length if length > FILE_BYTES_MAX => {
            Err(format!("it is longer than {FILE_BYTES_MAX} bytes"))
        }
        _ => Ok(text),
    }
}

fn syntax_error(text: &str, file: &Path, error: &toml::de::Error) -> LoadError {
    let start = error.span().map_or(0, |span| span.start).min(text.len());
    let before = text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    LoadError::Syntax {
        path: file.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        message: error.message().to_owned(),
    }
}

fn in_lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RequestLog;
    use crate::llm::{Dialect, ModelCard, PicoUsd, RateKind, Tier};
    use crate::providers::{Origin, PRESETS};
    use std::time::Duration;

    /// A secret that no message may contain; every variable that ends in `_KEY` has it.
    const CANARY: &str = "canary-7f3a";

    fn environment(name: &str) -> Option<String> {
        match name {
            "A_KEY" => Some(CANARY.to_owned()),
            "BROKEN_KEY" => Some(format!("{CANARY}\n")),
            "EMPTY" => Some(String::new()),
            "ADDRESS" => Some(format!("{CANARY}:80")),
            _ => None,
        }
    }

    fn load(text: &str) -> Result<Settings, LoadError> {
        Settings::parse(text, Path::new(""), &Overrides::default(), &environment)
    }

    fn good(text: &str) -> Settings {
        load(text).unwrap_or_else(|error| panic!("{text}\n{error}"))
    }

    fn refused(text: &str) -> Vec<Diagnostic> {
        match load(text) {
            Err(LoadError::Refused(diagnostics)) => diagnostics,
            other => panic!("{text}\n{other:?}"),
        }
    }

    /// Each file with the paths of its diagnostics, in the order of finding.
    const BAD: [(&str, &[&str]); 70] = [
        (
            "[admin]\nhosts = ['a.b', 'http://a', 'a:1', '*.c', '']\nhost = 'a'",
            &["admin.host", "admin.hosts[1]", "admin.hosts[2]", "admin.hosts[3]", "admin.hosts[4]"],
        ),
        ("[sever]", &["sever"]),
        ("[cache]\nbytes_max = 1\nbytes = 1", &["cache.bytes_max", "cache.bytes"]),
        ("[semantic_cache]\nthreshold = 0.2", &["semantic_cache.threshold"]),
        ("[semantic_cache]\nwrong_max = 2", &["semantic_cache.max_error_rate"]),
        (
            "[semantic_cache]\nwrong_max = 0.01\nmax_error_rate = 0.01",
            &["semantic_cache.wrong_max"],
        ),
        ("server = 5", &["server"]),
        ("providers = 5", &["providers"]),
        ("[providers]\na = 5", &["providers.a"]),
        ("[server]\nlisten = 'localhost'", &["server.listen"]),
        ("[server]\nlisten = 8080", &["server.listen"]),
        ("[server]\nlisten = '${ADDRESS}'", &["server.listen"]),
        ("[server]\nlisen = '127.0.0.1:1'", &["server.lisen"]),
        ("[server]\nadmin_listen = '127.0.0.1:8080'", &["server.admin_listen"]),
        ("[server]\nlisten = '0.0.0.0:8081'", &["server.admin_listen"]),
        ("[server]\nadmin_listen = '0.0.0.0:8081'", &["server.admin_token"]),
        ("[server]\nadmin_token = ''", &["server.admin_token"]),
        ("[server]\nadmin_token = '${EMPTY}'", &["server.admin_token"]),
        ("[server]\nadmin_token = '${BROKEN_KEY}'", &["server.admin_token"]),
        ("[server]\nadmin_token = '${MISSING}'", &["server.admin_token"]),
        ("[server]\nshards = -1", &["server.shards"]),
        ("[server]\nshards = 100000", &["server.shards"]),
        ("[server]\nhead_timeout_ms = 0", &["server.head_timeout_ms"]),
        ("[server]\ndns_ttl_ms = 0", &["server.dns_ttl_ms"]),
        ("[server]\nbody_bytes_max = 5", &["server.body_bytes_max"]),
        (
            "[server]\nbuffered_bytes_max = 1048576",
            &["server.body_bytes_max", "server.answer_bytes_max"],
        ),
        ("[server]\ncustom_hosts = ['https://a']", &["server.custom_hosts[0]"]),
        (
            "[server]\ncustom_hosts = ['a', 'b/c', '*.d']",
            &["server.custom_hosts[1]", "server.custom_hosts[2]"],
        ),
        (
            "[server.tls]\ncert_file = '/absent/cert.pem'",
            &["server.tls.cert_file", "server.tls.key_file"],
        ),
        (
            "[server.tls]\ncert = 'a'",
            &["server.tls.cert", "server.tls.cert_file", "server.tls.key_file"],
        ),
        ("[log]\nrequests = 'stdot'", &["log.requests"]),
        ("[log]\nrequests = true", &["log.requests"]),
        ("[log]\nlevel = 'debug'", &["log.level"]),
        ("[providers.a]", &["providers.a.dialect", "providers.a.base_url"]),
        ("[providers.a]\npreset = 'opneai'", &["providers.a.preset"]),
        ("[providers.a]\npreset = 'openai'", &["providers.a.api_key"]),
        ("[providers.a]\npreset = 'openai'\napi_key = '${MISSING}'", &["providers.a.api_key"]),
        ("[providers.a]\npreset = 'openai'\napi_key = '${EMPTY}'", &["providers.a.api_key"]),
        ("[providers.a]\npreset = 'openai'\napi_key = '${BROKEN_KEY}'", &["providers.a.api_key"]),
        ("[providers.a]\npreset = 'openai'\napi_key = '${A_KEY'", &["providers.a.api_key"]),
        ("[providers.a]\npreset = 'openai'\napi_key = '${file:/absent}'", &["providers.a.api_key"]),
        (
            "[providers.a]\npreset = 'openai'\napikey = '${A_KEY}'",
            &["providers.a.apikey", "providers.a.api_key"],
        ),
        (
            "[providers.a]\npreset = 'ollama'\nbase_url = 'https://${A_KEY}@b'",
            &["providers.a.base_url"],
        ),
        ("[providers.a]\npreset = 'ollama'\ndialect = '${A_KEY}'", &["providers.a.dialect"]),
        ("[providers.a]\npreset = '${A_KEY}'", &["providers.a.preset"]),
        (
            "[providers.a]\npreset = 'ollama'\nheaders = { x = '${BROKEN_KEY}' }",
            &["providers.a.headers.x"],
        ),
        ("[providers.a]\npreset = 'ollama'\ntls_ca_file = '/absent'", &["providers.a.tls_ca_file"]),
        (
            "[providers.a]\npreset = 'ollama'\nconnect_timeout_ms = inf",
            &["providers.a.connect_timeout_ms"],
        ),
        ("[providers.'A b']\npreset = 'ollama'", &["providers.\"A b\""]),
        ("[providers.a]\npreset = 'echo'\nbase_url = 'http://a'", &["providers.a.base_url"]),
        ("[catalogue]\nopenai = 5", &["catalogue.openai"]),
        ("[catalogue.opneai.gpt-4o]", &["catalogue.opneai"]),
        ("[catalog.opneai.gpt-4o]", &["catalog.opneai"]),
        ("[catalog.openai.gpt-4o]\ncontext = 5", &["catalog.openai.gpt-4o.context"]),
        ("[catalog.openai.m]\n[catalogue.openai.m]", &["catalogue.openai.m"]),
        ("[catalogue.openai]\n'gpt-4.1' = 5", &["catalogue.openai.\"gpt-4.1\""]),
        (
            "[catalogue.openai.gpt-4o]\nprices = [{ input = -1 }]\ncontext = 5",
            &["catalogue.openai.gpt-4o.prices[0].input", "catalogue.openai.gpt-4o.context"],
        ),
        ("[keys.a]", &["keys.a.secret"]),
        ("[keys.a]\nhash = '${A_KEY}'", &["keys.a.hash"]),
        ("[keys.a]\nhash = '${MISSING}'", &["keys.a.hash"]),
        ("[keys.a]\nsecret = 'x'\nhash = 'y'", &["keys.a.secret"]),
        ("[keys.a]\nsecret = '${A_KEY}'\n[keys.b]\nsecret = '${A_KEY}'", &["keys.b"]),
        ("[keys.a]\nsecret = 'x'\nroute = 'r'", &["keys.a.route"]),
        ("[keys.a]\nsecret = 'x'\nroutes = ['r', 's*']", &["keys.a.routes[0]"]),
        ("[keys.A]\nsecret = 'x'", &["keys.A"]),
        ("[routes.r]\nprovider = 'eco'", &["routes.r.provider"]),
        ("[routes.r]\ntargets = [{ virtual_key = 'eco' }]", &["routes.r.targets[0].virtual_key"]),
        ("[routes.r]\nstrategy = { mode = 'fallback' }", &["routes.r.strategy.mode"]),
        (
            "[routes.r]\nretry = { attempts = 6 }\ncache = { mode = 'semantics' }",
            &["routes.r.retry.attempts", "routes.r.cache.mode"],
        ),
        (
            "[server]\nshards = 'x'\n[keys.a]\n[routes.r]\nx = 1\n[providers.b]\npreset = 'x-z'\n[z]",
            &["z", "server.shards", "providers.b.preset", "routes.r.x", "keys.a.secret"],
        ),
    ];

    #[test]
    fn all_problems_are_reported_with_path_and_without_secrets() {
        for (text, expected) in BAD {
            let diagnostics = refused(text);
            let paths: Vec<&str> =
                diagnostics.iter().map(|diagnostic| diagnostic.path.as_str()).collect();
            assert_eq!(paths, expected, "{text}");
            let shown = LoadError::Refused(diagnostics).to_string();
            assert!(!shown.contains(CANARY), "{text}\n{shown}");
            assert_eq!(shown.lines().count(), expected.len(), "{shown}");
        }
    }

    #[test]
    fn messages_contain_hints() {
        for (text, expected) in [
            ("[sever]", "sever: unknown section (did you mean `server`?)"),
            ("[server]\nlisen = ''", "server.lisen: unknown name (did you mean `listen`?)"),
            ("[server]\nshards = 'x'", "server.shards: expected a whole number, got a text"),
            (
                "[server]\nhead_timeout_ms = 0",
                "server.head_timeout_ms: expected 1 to 600000, got 0",
            ),
            (
                "[providers.p]\npreset = 'openai'\napi_key = '${MISSING}'",
                "providers.p.api_key: the environment variable MISSING is not set \
                 (set it, or give the value another way)",
            ),
            (
                "[providers.p]\npreset = 'opneai'",
                "providers.p.preset: no preset has the name `opneai` (did you mean `openai`?)",
            ),
            (
                "[providers.p]\npreset = 'openai'",
                "providers.p.api_key: expected a credential, got none \
                 (write api_key = \"${OPENAI_API_KEY}\")",
            ),
            (
                "[keys.a]\nsecret = 'x'\n[keys.b]\nsecret = 'x'",
                "keys.b: expected a secret of its own, got that of `keys.a` \
                 (two keys with one secret cannot be told apart)",
            ),
            (
                "[semantic_cache]\nmode = 'off'",
                "semantic_cache.mode: expected `on` or `shadow`, got `off`",
            ),
        ] {
            assert_eq!(LoadError::Refused(refused(text)).to_string(), expected);
        }
    }

    #[test]
    fn syntax_errors_have_position_but_quote_no_text() {
        let text = format!("[server]\nlisten = 'a'\nadmin_token = {CANARY}\n");
        let error =
            Settings::parse(&text, Path::new("r.toml"), &Overrides::default(), &environment)
                .expect_err("no TOML");
        let shown = error.to_string();
        assert!(shown.starts_with("r.toml:3:15: "), "{shown}");
        assert!(!shown.contains(CANARY), "{shown}");
        let absent = Settings::load(Some(Path::new("/absent/r.toml")), &environment);
        assert!(matches!(absent, Err(LoadError::Unreadable { .. })));
    }

    #[test]
    fn defaults_apply() {
        let settings = good("");
        let server = &settings.server;
        assert_eq!(server.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(server.admin_listen.to_string(), "127.0.0.1:8081");
        assert_eq!(server.body_bytes_max, 10_485_760);
        assert_eq!(server.keep_alive_timeout, Duration::from_secs(75));
        assert_eq!(*settings.log, RequestLog::Off);
        assert!(settings.keys.is_open() && settings.routes.is_empty());
    }

    #[test]
    fn environment_adds_providers_without_a_file() {
        let names = |environment: &dyn Fn(&str) -> Option<String>, text: &str| {
            let settings = Settings::parse(text, Path::new(""), &Overrides::default(), environment);
            let settings = settings.expect("no problem");
            settings.providers.iter().map(|provider| provider.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&|_| None, ""), ["echo"]);
        assert_eq!(names(&|_| Some(String::new()), "[server]\nshards = 1"), ["echo"]);
        let openai = |name: &str| (name == "OPENAI_API_KEY").then(|| "k".to_owned());
        assert_eq!(names(&openai, ""), ["openai", "echo"]);
        assert_eq!(names(&openai, "[providers.a]\npreset = 'echo'"), ["a"]);
        let all = names(&|_| Some("k".to_owned()), "");
        assert_eq!(all.len(), 1 + PRESETS.iter().filter(|row| row.env.is_some()).count());
        let broken = |name: &str| (name == "OPENAI_API_KEY").then(|| "k\n".to_owned());
        assert!(Settings::load(None, &broken).is_err());
    }

    #[test]
    fn complete_file_is_loaded() {
        let settings = good(
            r#"
            [server]
            listen = "0.0.0.0:80"
            custom_hosts = ["Models.Internal:8000"]
            [log]
            requests = "logs/requests.jsonl"
            [providers.zebra]
            preset = "openai"
            api_key = "${A_KEY}"
            [providers.ant]
            dialect = "openai-chat"
            base_url = "http://10.0.0.5:8000/v1"
            models = ["llama"]
            [keys.team-a]
            secret = "s"
            route = "support"
            [routes.support]
            targets = [{ provider = "@zebra", override_params = { model = "m", seed = 7, stop = ["a"] } }]
            request_timeout = 30000
            "#,
        );
        assert_eq!(settings.server.custom_hosts, ["models.internal:8000"]);
        assert_eq!(*settings.log, RequestLog::File("logs/requests.jsonl".into()));
        let names: Vec<&str> = settings.providers.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["zebra", "ant"], "the order of the file");
        let zebra = settings.provider("zebra").expect("configured");
        assert_eq!(zebra.dialect, Dialect::OpenaiChat);
        assert!(matches!(&zebra.origin, Origin::Http(url) if url.tls));
        assert!(zebra.fields.iter().any(|field| field.value.reveal().ends_with(CANARY)));
        assert!(!format!("{settings:?}").contains(CANARY));
        let route = settings.routes.find("support").expect("configured");
        let target = route.only_target().expect("one");
        assert_eq!(target.provider.as_deref(), Some("zebra"));
        assert_eq!(target.override_model.as_deref(), Some("m"));
        assert_eq!(route.request_timeout, Some(Duration::from_secs(30)));
        let key = settings.keys.find(b"s").expect("configured");
        assert_eq!(key.route.as_deref(), Some("support"));
    }

    #[test]
    fn max_error_rate_is_accepted_under_its_old_name() {
        for name in ["max_error_rate", "wrong_max"] {
            let settings = good(&format!("[semantic_cache]\n{name} = 0.25"));
            assert_eq!(settings.semantic_cache.max_error_rate, Some(0.25), "{name}");
        }
    }

    #[test]
    fn operator_model_cards_override_built_in() {
        let settings = good(
            r#"
            [providers.zebra]
            preset = "openai"
            api_key = "${A_KEY}"
            [catalogue.zebra."gpt-4o"]
            prices = [{ input = 0.15, output = 2 }]
            [catalog.openai."gpt-4.1"]
            context_tokens = 5
            "#,
        );
        let find =
            |provider, model| settings.providers.catalog().find_at(provider, Some("openai"), model);
        let price = |provider, model| {
            let card = find(provider, model)?;
            card.prices().price(RateKind::Input, Tier::Standard, 0).map(PicoUsd::get)
        };
        assert_eq!(price("zebra", "gpt-4o"), Some(150_000));
        assert_eq!(price("other", "gpt-4o"), Some(2_500_000));
        assert_eq!(price("zebra", "gpt-4.1"), Some(2_000_000));
        let context = |model| find("zebra", model).and_then(ModelCard::context_tokens);
        assert_eq!((context("gpt-4.1"), context("gpt-4o")), (Some(5), Some(128_000)));
    }

    #[test]
    fn command_line_overrides_the_file_and_is_checked() {
        let overrides = Overrides {
            listen: Some(([127, 0, 0, 1], 0).into()),
            admin_listen: Some(([127, 0, 0, 1], 0).into()),
            shards: Some(2),
        };
        let settings = Settings::load_with(None, &overrides, &environment).expect("good");
        assert_eq!((settings.server.listen.port(), settings.server.shards), (0, 2));
        let open =
            Overrides { admin_listen: Some(([0, 0, 0, 0], 1).into()), ..Overrides::default() };
        assert!(Settings::load_with(None, &open, &environment).is_err());
    }

    #[test]
    fn relative_paths_start_at_the_settings_file() {
        let directory = std::env::temp_dir().join(format!("ringgate-load-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory for the test");
        let write = |name: &str, text: &str| {
            let path = directory.join(name);
            std::fs::write(&path, text).expect("a file for the test");
            path
        };
        write("cert.pem", "-----BEGIN CERTIFICATE-----\n");
        write("key.pem", "-----BEGIN PRIVATE KEY-----\n");
        write("openai.key", "k\n");
        let text = "[server.tls]\ncert_file = 'cert.pem'\nkey_file = 'key.pem'\n\
                    [providers.a]\npreset = 'openai'\napi_key = '${file:openai.key}'\n";
        let file = write("ringgate.toml", text);
        let settings = Settings::load(Some(&file), &environment).expect("good");
        std::fs::remove_dir_all(&directory).expect("the directory is ours");
        assert!(
            settings
                .server
                .tls
                .as_ref()
                .is_some_and(|tls| tls.key_pem.reveal().contains("PRIVATE"))
        );
    }
}
