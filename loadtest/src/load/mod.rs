//! The load generator: one run against one target, measured and reported.
//!
//! It promises: no coordinated omission at a fixed rate; every counted request ends in exactly one of success,
//! a failure by kind, or unsent; the process under test is read only through `/proc`.

mod connection;
mod events;
mod mix;
mod options;
mod plot;
mod process;
mod progress;
mod report;
mod request;
mod table;
mod tally;
mod target;
mod worker;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

pub(crate) use options::LoadOptions;
pub(crate) use plot::{Curve, draw};
pub(crate) use report::{Percentiles, Report};
pub(crate) use table::align;
pub(crate) use tally::Tally;

use process::ProcessUsage;
use progress::{Counts, Progress};
use report::Sample;
use target::Target;
use worker::{Run, Schedule};

/// How often the progress line moves.
const TICK: Duration = Duration::from_millis(100);

/// Flags of the `run` command.
#[derive(Args, Clone, Debug)]
pub struct RunOptions {
    /// Base URL, version included, such as http://127.0.0.1:8080/v1
    #[arg(long, value_name = "URL")]
    url: String,
    /// Processes whose CPU time and memory are measured, such as 1234 or 1234,1235
    #[arg(long, value_delimiter = ',', value_name = "PID")]
    pid: Vec<u32>,
    #[command(flatten)]
    load: LoadOptions,
}

/// A finished run: what to show, and the histograms behind it.
pub(crate) struct RunResult {
    pub report: Report,
    pub tally: Tally,
}

/// The `run` command.
pub fn command(options: &RunOptions) -> anyhow::Result<ExitCode> {
    let load = &options.load;
    let result = run(load, &options.url, &options.pid)?;
    if !load.quiet && load.json.as_deref() != Some(Path::new("-")) {
        print!("{}", table::render(&result.report));
    }
    if let Some(path) = &load.json {
        write_json(path, &result.report)?;
    }
    if let Some(path) = &load.plot {
        let title = format!("{} · {}", result.report.url, result.report.load_text());
        draw(path, &title, &plot::curves_of(&result.tally))?;
    }
    Ok(if result.tally.succeeded == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Loads `url` as configured and measures `pids` meanwhile.
pub(crate) fn run(options: &LoadOptions, url: &str, pids: &[u32]) -> anyhow::Result<RunResult> {
    options.check()?;
    let target = Target::resolve(url, &options.trust())?;
    let requests = request::build_all(options, &target)?;
    let bar = progress_bar(options);
    let before = sample(&Counts::default(), pids)?;
    let schedule = Schedule::new(
        Instant::now(),
        options.warmup(),
        options.window(),
        options.timeout,
        options.rate,
        options.requests,
    );
    let run = Arc::new(Run {
        target: Arc::new(target),
        kind: options.kind,
        timeout: options.timeout,
        requests,
        schedule,
        progress: Progress::default(),
        sent: AtomicU64::new(0),
    });
    let mut threads = Threads::spawn(&run, options)?;
    let start = match options.warmup() {
        Duration::ZERO => before,
        _ => {
            threads.wait(Some(run.schedule.window_start()), &run, &bar);
            sample(&run.progress.read(), pids)?
        }
    };
    threads.wait(run.schedule.window_end(), &run, &bar);
    let end = sample(&run.progress.read(), pids)?;
    bar.set_message("waiting for the last answers");
    threads.wait(None, &run, &bar);
    bar.finish_and_clear();
    let tally = threads.join()?;
    let report = report::build(options, url, &start, &end, &tally);
    Ok(RunResult { report, tally })
}

/// Writes a value as JSON to a file, or to standard output for `-`.
pub(crate) fn write_json(path: &PathBuf, value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    if path.as_os_str() == "-" {
        print!("{text}");
        return Ok(());
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn sample(counts: &Counts, pids: &[u32]) -> anyhow::Result<Sample> {
    let target = if pids.is_empty() { None } else { Some(ProcessUsage::read(pids)?) };
    let loader_cpu_ns = process::own_cpu_ns();
    Ok(Sample { at: Instant::now(), counts: *counts, target, loader_cpu_ns })
}

/// A bar over the whole run; draws nothing unless standard error is a terminal.
fn progress_bar(options: &LoadOptions) -> ProgressBar {
    if options.quiet {
        return ProgressBar::hidden();
    }
    let (length, template) = match (options.window(), options.requests) {
        (Some(window), _) => (
            (options.warmup() + window).as_millis() as u64,
            "{wide_bar:.cyan/blue} {elapsed} {msg}",
        ),
        (None, requests) => (requests.unwrap_or(0), "{wide_bar:.cyan/blue} {pos}/{len} {msg}"),
    };
    let style = ProgressStyle::with_template(template).expect("a valid template");
    ProgressBar::new(length).with_style(style)
}

/// The running threads.
struct Threads {
    handles: Vec<std::thread::JoinHandle<std::io::Result<Tally>>>,
    ended: mpsc::Receiver<()>,
    running: usize,
    started: Instant,
    last: (Instant, u64),
}

impl Threads {
    fn spawn(run: &Arc<Run>, options: &LoadOptions) -> std::io::Result<Self> {
        let (sender, ended) = mpsc::sync_channel(options.threads);
        let mut handles = Vec::new();
        for index in 0..options.threads {
            let share = options.connections / options.threads
                + usize::from(index < options.connections % options.threads);
            let (run, sender) = (Arc::clone(run), sender.clone());
            let core = options.core.map(|first| first + index);
            let body = move || {
                let tally = worker::run_thread(&run, share, core);
                // Nobody listens only if the run was given up.
                let _ = sender.send(());
                tally
            };
            handles.push(std::thread::Builder::new().name(format!("load-{index}")).spawn(body)?);
        }
        let now = Instant::now();
        Ok(Self { running: handles.len(), handles, ended, started: now, last: (now, 0) })
    }

    /// Waits until then or until all threads have ended, whichever is first.
    fn wait(&mut self, until: Option<Instant>, run: &Run, bar: &ProgressBar) {
        while self.running > 0 {
            let left = until.map_or(TICK, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return;
            }
            match self.ended.recv_timeout(left.min(TICK)) {
                Ok(()) => self.running -= 1,
                Err(mpsc::RecvTimeoutError::Timeout) => self.show(run, bar),
                // Every sender is gone: a thread panicked, which `join` reports.
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn show(&mut self, run: &Run, bar: &ProgressBar) {
        if bar.is_hidden() {
            return;
        }
        let (now, counts) = (Instant::now(), run.progress.read());
        let rate = (counts.completed - self.last.1) as f64 / (now - self.last.0).as_secs_f64();
        self.last = (now, counts.completed);
        let position = match run.schedule.window_end() {
            Some(_) => (now - self.started).as_millis() as u64,
            None => counts.completed,
        };
        bar.set_position(position);
        let failed = counts.completed - counts.succeeded;
        bar.set_message(format!("{rate:.0} req/s, {failed} failed"));
    }

    fn join(self) -> anyhow::Result<Tally> {
        let mut sum = Tally::default();
        for handle in self.handles {
            let tally = handle.join().map_err(|_| anyhow::anyhow!("a loader thread panicked"))?;
            sum.merge(&tally.context("a loader thread failed")?);
        }
        Ok(sum)
    }
}
