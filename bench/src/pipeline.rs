//! The whole request pipeline on a shard, between a scripted client and scripted providers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ringgate::base::Instant;
use ringgate::config::Settings;
use ringgate::control::{PreparedSettings, prepare_settings};
use ringgate::gateway::{ENDPOINT_NAMES, Simulation};
use ringgate::routing::TargetRegistry;
use ringgate::shard::{Driver, Script, ShardOptions, Step, Tape, run};
use ringgate::telemetry::MetricsRegistry;

use crate::sample::{
    ConnectionReuse, KEY_SECRET, chat_answer, chat_request, request_head, stream_answer,
};

const PROVIDER: &str = "openai-prod";

/// More than any job writes: the growth of a buffer that only stands for a socket is not counted.
const TAPE_BYTES: usize = 1 << 20;

/// What one client does on its connection.
#[derive(Clone, Copy, Debug)]
pub enum Job {
    /// So many chat requests of 600 bytes, sent ahead; each is answered with 1 KB of JSON.
    Json(usize),
    /// One chat request, answered with so many events, one for each read.
    Events(usize),
}

/// Runs a future on a shard of its own, on this thread and on no core in particular. It runs on
/// epoll, since the pipeline needs no driver here, and a ring may be refused.
///
/// # Errors
/// When the poller is refused.
pub fn on_shard<F: Future + 'static>(main: impl FnOnce() -> F) -> Result<F::Output>
where
    F::Output: 'static,
{
    let options = ShardOptions { core: None, driver: Driver::Epoll, busy_poll: Duration::ZERO };
    Ok(run(options, main)?)
}

/// One provider that is never dialled, one route that sets the model, one key that takes it.
///
/// # Errors
/// When the settings cannot be written, read or published.
pub fn publish_settings() -> Result<Arc<PreparedSettings>> {
    let text = format!(
        r#"
        [providers.{PROVIDER}]
        dialect = "openai-chat"
        base_url = "http://127.0.0.1:9/v1"
        api_key = "sk-0123456789abcdef"
        [routes.support]
        targets = [{{ provider = "{PROVIDER}", override_params = {{ model = "gpt-4o-mini" }} }}]
        [keys.team-a]
        secret = "{KEY_SECRET}"
        route = "support"
        metadata = {{ team = "a" }}
        "#
    );
    let path = std::env::temp_dir().join(format!("ringgate-bench-{}.toml", std::process::id()));
    std::fs::write(&path, text).context("cannot write the settings")?;
    let settings = Settings::load(Some(&path), &|_| None);
    std::fs::remove_file(&path).context("cannot remove the settings")?;
    Ok(Arc::new(prepare_settings(settings?, &TargetRegistry::new(Instant::now()))?))
}

/// A shard's worker with its provider. It must live on a shard.
pub struct Pipeline {
    simulation: Simulation,
}

impl Pipeline {
    /// A worker that has served one job of each kind, so that its buffers, series and tables are
    /// those of a gateway at work.
    ///
    /// # Errors
    /// When a job was not answered as it should be: its cost would then be that of something else.
    pub async fn warmed(published: &Arc<PreparedSettings>) -> Result<Self> {
        let simulation = Simulation::new(published, &MetricsRegistry::new(1, ENDPOINT_NAMES))?;
        let pipeline = Self { simulation };
        for (job, end) in [
            (Job::Json(2), &b"\"system_fingerprint\":\"fp_0123456789\"}"[..]),
            (Job::Events(3), b"data: [DONE]\n\n\r\n0\r\n\r\n"),
        ] {
            let (script, tape) = pipeline.prepare(job);
            pipeline.serve(script, tape.clone()).await;
            let sent = tape.take();
            ensure!(sent.starts_with(b"HTTP/1.1 200 OK\r\n"), "{job:?} was refused");
            ensure!(sent.ends_with(end), "{job:?} was not served to its end");
        }
        Ok(pipeline)
    }

    /// Gives the provider its answers; returns what the client sends and where its answers go.
    #[must_use]
    pub fn prepare(&self, job: Job) -> (Script, Tape) {
        let (requests, answers) = match job {
            Job::Json(requests) => {
                // The connection serves all of them, and is silent in between, as it has to be.
                let kept = || [Step::Request, Step::Bytes(chat_answer(ConnectionReuse::KeepAlive))];
                let mut answers: Vec<_> = (1..requests).flat_map(|_| kept()).collect();
                answers.push(Step::Request);
                answers.push(Step::Bytes(chat_answer(ConnectionReuse::Close)));
                (requests, answers)
            }
            Job::Events(events) => {
                let events = stream_answer(events).into_iter().map(Step::Bytes);
                (1, [Step::Request].into_iter().chain(events).collect())
            }
        };
        self.simulation.provider(PROVIDER, Script::new(answers), Tape::with_room(TAPE_BYTES));
        let body = chat_request(600, matches!(job, Job::Events(_)));
        let mut request = request_head(body.len());
        request.extend_from_slice(&body);
        let client = [Step::Bytes(request.repeat(requests)), Step::End];
        (Script::new(client), Tape::with_room(TAPE_BYTES))
    }

    /// Serves the client to the end of its connection.
    pub async fn serve(&self, script: Script, tape: Tape) {
        self.simulation.client(script, tape).await;
    }
}
