//! The `loadtest` command: `mock`, `run` and `compare`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use loadtest::{compare, load, mock};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A mock AI provider and a load generator for any OpenAI-compatible endpoint.
#[derive(Parser)]
#[command(name = "loadtest", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a mock provider in the vendors' dialects until killed
    Mock(mock::MockOptions),
    /// Load one target and report latency, throughput, errors and CPU time
    Run(load::RunOptions),
    /// Load several targets in turn, round by round, and report ratios to the first
    Compare(compare::CompareOptions),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Mock(options) => mock::serve_forever(options),
        Command::Run(options) => load::command(&options),
        Command::Compare(options) => compare::command(&options),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("loadtest: {error:#}");
            ExitCode::from(2)
        }
    }
}
