//! The roof: the one place where all parts meet.
//!
//! The calling thread becomes the control thread: it starts the shards, serves the admin listener, hears
//! signals and ends the process. What signals do is in `control/`. The control thread is never in the request
//! pipeline.

mod listeners;
mod options;
mod run;
mod shutdown;
mod start;

use std::io::{self, Write};

use anyhow::Context;

use crate::admin::{self, AdminState};
use crate::base::Instant;
use crate::config::{Overrides, Settings};
use crate::control::{Process, prepare_settings};
use crate::llm::Catalog;
use crate::routing::TargetRegistry;
use crate::shard::raise_file_limit;
use listeners::Listeners;
pub use options::{FileOptions, ServeOptions};
use run::{Signals, run};
use start::start;

/// `ringgate check`: every problem, or a line that all is well.
///
/// # Errors
/// The problems, one a line.
pub fn check(options: &FileOptions) -> anyhow::Result<()> {
    let settings = options.load(&Overrides::default())?;
    let providers = settings.providers.len();
    let keys = settings.keys.iter().count();
    let routes = settings.routes.len();
    prepare_settings(settings, &TargetRegistry::new(Instant::now()))?;
    let mut out = io::stdout();
    writeln!(out, "settings are good: {providers} providers, {keys} keys, {routes} routes")?;
    Ok(())
}

/// `ringgate serve`: until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start; afterwards it only ends by a signal.
pub fn serve(options: &ServeOptions) -> anyhow::Result<()> {
    let mut settings = options.load()?;
    let files = raise_file_limit().context("cannot raise the limit of open files")?;
    let listeners = Listeners::bind(&settings.server)?;
    settings.set_bound_addresses(listeners.listen, listeners.admin_listen);
    warm_catalog(&settings);
    let prepared = prepare_settings(settings, &TargetRegistry::new(Instant::now()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before the first client is served: without a handler SIGTERM would end the process at once.
    let mut signals = runtime.block_on(async { Signals::new() })?;
    let gateway = start(options.clone(), prepared)?;
    gateway.log_startup(files);
    let outcome = runtime.block_on(async {
        let admin = admin::serve(listeners.admin, admin_state(&gateway.process), files);
        let admin = tokio::spawn(admin);
        run(&gateway.process, &mut signals).await;
        let outcome = gateway.drain(&mut signals).await;
        admin.abort();
        outcome
    });
    runtime.shutdown_background();
    outcome
}

/// Reads the catalog, so that no request has to wait for it. It takes memory that a gateway without vendors
/// does not need; there the first client that names a preset of its own waits the few milliseconds.
fn warm_catalog(settings: &Settings) {
    if settings.providers.iter().any(|provider| provider.preset.is_some()) {
        Catalog::warm();
    }
}

fn admin_state(process: &Process) -> AdminState {
    let settings = process.settings();
    AdminState {
        services: process.services().clone(),
        ready: process.ready_flag(),
        token: settings.server.admin_token.clone(),
        hosts: settings.admin.hosts.clone(),
    }
}
