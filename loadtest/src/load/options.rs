//! Options of a load, shared by `run` and `compare`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::quantity::{parse_bytes, parse_duration, parse_percent, parse_rate};
use crate::tls::Trust;

/// How long a run lasts when neither `--duration` nor `--requests` is given.
const DURATION_DEFAULT: Duration = Duration::from_secs(10);
/// Warm-up of a run that is bounded by time.
const WARMUP_DEFAULT: Duration = Duration::from_secs(2);

/// The endpoint of a run, and whether its answers are streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestKind {
    /// POST /chat/completions, one JSON answer
    Chat,
    /// POST /chat/completions with "stream":true
    Stream,
    /// POST /embeddings
    Embeddings,
}

/// What to send, how fast and how long.
#[derive(Args, Clone, Debug)]
pub struct LoadOptions {
    /// Kind of request
    #[arg(long, value_enum, default_value = "chat")]
    pub kind: RequestKind,
    /// Connections kept open. Without --rate each sends its next request when the last is answered
    #[arg(long, short = 'c', default_value_t = 64, value_name = "N")]
    pub connections: usize,
    /// Requests per second at fixed intervals (open loop). When all connections are busy requests queue, and the
    /// wait counts as latency
    #[arg(long, short = 'r', value_parser = parse_rate, value_name = "PER_SECOND")]
    pub rate: Option<f64>,
    /// Length of the counted window, such as 10s [default: 10s, or none with --requests]
    #[arg(long, short = 'd', value_parser = parse_duration, value_name = "TIME")]
    pub duration: Option<Duration>,
    /// Counted requests; ends the run if --duration does not end it first
    #[arg(long, short = 'n', value_name = "N")]
    pub requests: Option<u64>,
    /// Time before the counted window, under the same load [default: 2s, or 0 with --requests alone]
    #[arg(long, value_parser = parse_duration, value_name = "TIME")]
    pub warmup: Option<Duration>,
    /// Longest wait for one request, from its first byte sent to its last byte received
    #[arg(long, default_value = "30s", value_parser = parse_duration, value_name = "TIME")]
    pub timeout: Duration,
    /// Size of the whole request body in bytes: 600, 1k, 20k, 1m
    #[arg(long, default_value = "600", value_parser = parse_bytes, value_name = "BYTES")]
    pub prompt_bytes: usize,
    /// Take the prompts from this file, one a line, in turn; replaces --prompt-bytes. A line may hold
    /// several wordings of one question, with tabs between them
    #[arg(long, value_name = "FILE")]
    pub prompts: Option<PathBuf>,
    /// Share of requests that repeat a prompt sent before, in percent
    #[arg(long, requires = "prompts", default_value = "0", value_parser = parse_percent)]
    #[arg(value_name = "PERCENT")]
    pub repeats: f64,
    /// Share of requests that ask a question sent before in another of its wordings, in percent
    #[arg(long, requires = "prompts", default_value = "0", value_parser = parse_percent)]
    #[arg(value_name = "PERCENT")]
    pub paraphrases: f64,
    /// Model named in the request
    #[arg(long, default_value = "gpt-4o-mini", value_name = "NAME")]
    pub model: String,
    /// Environment variable that holds the bearer token
    #[arg(long, value_name = "VARIABLE")]
    pub key_env: Option<String>,
    /// Further request header; may be repeated
    #[arg(long, value_name = "NAME: VALUE")]
    pub header: Vec<String>,
    /// Accept any certificate (https)
    #[arg(long, conflicts_with = "ca")]
    pub insecure: bool,
    /// Trust the certificates in this PEM file instead of the system's (https)
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Loader threads, which share connections and rate evenly
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub threads: usize,
    /// Pin the first loader thread to this core, the next to the one after, and so on
    #[arg(long, value_name = "N")]
    pub core: Option<usize>,
    /// Print no table and no progress
    #[arg(long, short = 'q')]
    pub quiet: bool,
    /// Write the result as JSON to a file, or to standard output with `-`
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Draw latency by percentile into FILE.svg or FILE.html
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
}

impl LoadOptions {
    /// Length of the counted window; `None` if only the number of requests ends it.
    pub fn window(&self) -> Option<Duration> {
        self.duration.or(if self.requests.is_some() { None } else { Some(DURATION_DEFAULT) })
    }

    /// Length of the warm-up.
    pub fn warmup(&self) -> Duration {
        let default = if self.window().is_some() { WARMUP_DEFAULT } else { Duration::ZERO };
        self.warmup.unwrap_or(default)
    }

    pub(crate) fn trust(&self) -> Trust {
        match &self.ca {
            _ if self.insecure => Trust::Anyone,
            Some(path) => Trust::File(path.clone()),
            None => Trust::System,
        }
    }

    pub(crate) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.connections > 0, "--connections: expected 1 or more, got 0");
        anyhow::ensure!(self.threads > 0, "--threads: expected 1 or more, got 0");
        anyhow::ensure!(
            self.threads <= self.connections,
            "--threads: expected at most --connections ({}), got {}",
            self.connections,
            self.threads
        );
        anyhow::ensure!(self.requests != Some(0), "--requests: expected 1 or more, got 0");
        anyhow::ensure!(!self.timeout.is_zero(), "--timeout: expected more than 0");
        anyhow::ensure!(self.window() != Some(Duration::ZERO), "--duration: expected more than 0");
        if let Some(path) = &self.plot {
            let known = path.extension().is_some_and(|end| end == "svg" || end == "html");
            anyhow::ensure!(
                known,
                "--plot: expected a name ending in .svg or .html, got {}",
                path.display()
            );
        }
        Ok(())
    }
}
