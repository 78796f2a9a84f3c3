//! The `ringgate` command: parses its arguments and hands over to [`ringgate::app`] or
//! [`ringgate::commands`].

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Parser;
use ringgate::app;
use ringgate::arguments::{Arguments, Command};
use ringgate::base::{flush_messages, log_message};
use ringgate::commands;
use ringgate::telemetry::start_message_writer;

/// mimalloc: small allocations on many threads are what a gateway does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The process ends so much later at most where nobody reads standard error.
const LAST_MESSAGES: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    // The allocator asks for huge pages, of which the first byte touched costs two megabytes: half
    // of an idle gateway's memory. Neither the request line nor the embedder is faster by them. A
    // kernel that refuses is one that has none.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let command = Arguments::parse().into_command();
    // Without the thread messages are counted and lost, and the process does its work all the same.
    let _ = start_message_writer();
    panic::set_hook(Box::new(log_panic));
    let outcome = match command {
        Command::Serve(options) => app::serve(&options),
        Command::Check(options) => app::check(&options),
        Command::HashKey => commands::hash_key(),
        Command::FetchModel(options) => commands::fetch_model(&options),
        Command::CacheReport(options) => commands::cache_report(&options),
        Command::Providers(options) => commands::providers(&options),
    };
    let code = match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = format!("{error:#}");
            // A list of problems stands below the name, one a line.
            let separator = if text.contains('\n') { "\n" } else { "" };
            log_message(format_args!("{separator}{text}"));
            ExitCode::FAILURE
        }
    };
    // What is not written by then has no reader.
    let _ = flush_messages(LAST_MESSAGES);
    code
}

/// The standard library's own hook waits for standard error, which may be a full pipe.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let name = thread.name().unwrap_or("without a name");
    let trace = Backtrace::capture();
    match trace.status() {
        BacktraceStatus::Captured => log_message(format_args!("thread {name} {panic}\n{trace}")),
        _ => log_message(format_args!("thread {name} {panic}")),
    }
}
