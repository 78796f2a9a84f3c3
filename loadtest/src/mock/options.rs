//! Options of the mock, as flags and as a struct for tests.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, FromArgMatches};

use super::fault::FaultRates;
use crate::distribution::Distribution;
use crate::quantity::{parse_bytes, parse_probability};

/// How the mock listens and answers. `Default` equals the command without flags, but listens on port 0.
#[derive(Args, Clone, Debug)]
pub struct MockOptions {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:9900", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// Time to the first byte of an answer: 0, fixed:20ms, uniform:10ms..50ms, lognormal:30ms:0.5 (median:sigma), exp:20ms
    #[arg(long, default_value = "0", value_name = "DISTRIBUTION")]
    pub latency: Distribution,
    /// Tokens of an answer, and content events of a stream
    #[arg(long, default_value_t = 16, value_name = "N")]
    pub tokens: u32,
    /// Pace of streams in events per second; 0 sends all at once
    #[arg(long, default_value_t = 0.0, value_name = "R")]
    pub tokens_per_second: f64,
    /// Pad each JSON answer to exactly this many bytes of body (600, 20k, 1m)
    #[arg(long, value_parser = parse_bytes, value_name = "BYTES")]
    pub answer_bytes: Option<usize>,
    /// Pad each content event of a stream to exactly this many bytes, `data: ` and blank line included
    #[arg(long, value_parser = parse_bytes, value_name = "BYTES")]
    pub event_bytes: Option<usize>,
    /// Numbers in each embedding
    #[arg(long, default_value_t = 256, value_name = "N")]
    pub embedding_dimensions: usize,
    /// Share of requests answered with status 500 and a JSON error, 0 to 1
    #[arg(long, default_value_t = 0.0, value_parser = parse_probability, value_name = "P")]
    pub fault_error: f64,
    /// Share of requests answered with status 429 and retry-after, 0 to 1
    #[arg(long, default_value_t = 0.0, value_parser = parse_probability, value_name = "P")]
    pub fault_429: f64,
    /// Share of requests answered with a TCP reset, 0 to 1
    #[arg(long, default_value_t = 0.0, value_parser = parse_probability, value_name = "P")]
    pub fault_reset: f64,
    /// Share of requests whose answer is cut in the middle, 0 to 1
    #[arg(long, default_value_t = 0.0, value_parser = parse_probability, value_name = "P")]
    pub fault_truncate: f64,
    /// Share of requests that are read and never answered, 0 to 1
    #[arg(long, default_value_t = 0.0, value_parser = parse_probability, value_name = "P")]
    pub fault_hang: f64,
    /// Share of requests answered with bytes that are not HTTP, 0 to 1
    #[arg(long, default_value_t = 0.0, value_parser = parse_probability, value_name = "P")]
    pub fault_garbage: f64,
    /// Refuse requests without a credential at the vendors' endpoints, as each vendor does
    #[arg(long)]
    pub require_auth: bool,
    /// Seed of latencies and faults
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Serve TLS with a self-signed certificate for localhost and 127.0.0.1
    #[arg(long)]
    pub tls: bool,
    /// Write the certificate (PEM) to this file, for clients to trust
    #[arg(long, value_name = "FILE")]
    pub tls_cert_out: Option<PathBuf>,
    /// Serve TLS with this certificate chain (PEM)
    #[arg(long, requires = "tls_key", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Key of --tls-cert (PEM)
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Threads, each with its own listener on the same port
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub threads: usize,
    /// Pin the first thread to this core, the next to the one after, and so on
    #[arg(long, value_name = "N")]
    pub core: Option<usize>,
}

impl Default for MockOptions {
    fn default() -> Self {
        let command = Self::augment_args(clap::Command::new("mock"));
        let matches = command.get_matches_from(["mock"]);
        let mut options = Self::from_arg_matches(&matches).expect("every flag has a default");
        options.listen.set_port(0);
        options
    }
}

impl MockOptions {
    /// Refuses what no single flag can check.
    pub(super) fn check(&self) -> Result<(), String> {
        if !(self.tokens_per_second >= 0.0 && self.tokens_per_second.is_finite()) {
            return Err(format!(
                "--tokens-per-second: expected 0 or more, got {}",
                self.tokens_per_second
            ));
        }
        let total = self.fault_rates().total();
        if total > 1.0 + 1e-9 {
            return Err(format!("the fault rates add up to {total}, expected at most 1"));
        }
        Ok(())
    }

    pub(super) fn fault_rates(&self) -> FaultRates {
        FaultRates {
            error: self.fault_error,
            too_many: self.fault_429,
            reset: self.fault_reset,
            truncate: self.fault_truncate,
            hang: self.fault_hang,
            garbage: self.fault_garbage,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_quiet_and_local() {
        let options = MockOptions::default();
        assert_eq!(options.listen, "127.0.0.1:0".parse().unwrap());
        assert_eq!(options.latency, Distribution::ZERO);
        assert_eq!(options.fault_rates().total(), 0.0);
        assert!(options.check().is_ok());
    }

    #[test]
    fn rates_above_one_are_rejected() {
        let options = MockOptions { fault_error: 0.7, fault_reset: 0.7, ..MockOptions::default() };
        assert!(options.check().unwrap_err().contains("1.4"));
    }
}
