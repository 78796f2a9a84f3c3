//! The `ringgate` command: parses its arguments and hands over to [`ringgate::app`] or
//! [`ringgate::commands`].

use std::process::ExitCode;

use clap::Parser;
use ringgate::app;
use ringgate::arguments::{Arguments, Command};
use ringgate::commands;

/// mimalloc: small allocations on many threads are what a gateway does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The allocator asks for huge pages, of which the first byte touched costs two megabytes: half
    // of an idle gateway's memory. Neither the request line nor the embedder is faster by them. A
    // kernel that refuses is one that has none.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let command = Arguments::parse().into_command();
    let outcome = match command {
        Command::Serve(options) => app::serve(&options),
        Command::Check(options) => app::check(&options),
        Command::HashKey => commands::hash_key(),
        Command::FetchModel(options) => commands::fetch_model(&options),
        Command::CacheReport(options) => commands::cache_report(&options),
        Command::Providers(options) => commands::providers(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = format!("{error:#}");
            // A list of problems stands below the name, one a line.
            let separator = if text.contains('\n') { '\n' } else { ' ' };
            eprintln!("ringgate:{separator}{text}");
            ExitCode::FAILURE
        }
    }
}
