//! The semantic tier: a text becomes a vector on an embedder thread, and the search for a stored
//! question of the same meaning happens there too.
//!
//! The model is opened when a route or a request first needs it. Until it is ready, and where there
//! is none, look-ups are refused and the caller goes on without.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::agreement::agree;
use super::error_controller::SampledCheck;
use super::profile::Profile;
use super::questions::Neighbor;
use super::shadow::Observation;
use super::verifier::{Decision, MatchPolicy};
use super::{Cache, Key, Question, SemanticLimits, Vector};
use crate::base::{Instant, log_message};
use crate::inference::{
    Cancel, EmbedRequest, EmbedderPool, Embedding, LocalModel, PoolCounts, PoolOptions, Submitter,
    TOKENS_MAX,
};

/// Texts that may wait for each embedder thread. At 1 ms for a text, none waits longer than the default
/// of `semantic_cache.timeout_ms`; more could not finish in time.
const QUEUE_PER_THREAD: usize = 32;

/// Tokens of a question, at most: 64 of its own. What is longer holds more than one vector can represent,
/// and takes longer than others should wait for.
const QUESTION_TOKENS_MAX: usize = 66;

/// How long a comparison of answers may wait for an embedder thread.
const COMPARISON_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of an answer that are embedded: more than the model reads.
const ANSWER_BYTES_MAX: usize = 2_048;

/// A question to look up.
#[derive(Clone, Debug)]
pub struct SemanticQuery {
    /// The name its entry has or would have.
    pub key: Key,
    /// What must be the same before meanings are compared.
    pub partition: Key,
    /// The text.
    pub text: String,
}

/// The result of a lookup.
#[derive(Clone, Debug)]
pub struct SemanticMatch {
    /// The question, for its answer to be found by.
    pub question: Box<Question>,
    /// The stored question next to it.
    pub neighbor: Option<Neighbor>,
}

impl SemanticMatch {
    /// The stored question whose answer may be served.
    #[must_use]
    pub fn served(&self) -> Option<&Neighbor> {
        self.neighbor.as_ref().filter(|it| it.decision == Decision::Serve)
    }
}

/// What is done with what was found, on an embedder thread.
pub type LookupReply = Box<dyn FnOnce(Option<SemanticMatch>) + Send>;

/// The semantic tier of a cache; clones are one.
#[derive(Clone)]
pub struct Semantic(Arc<Tier>);

struct Tier {
    cache: Cache,
    model_dirs: Vec<PathBuf>,
    threads: usize,
    clock: fn() -> Instant,
    is_starting: AtomicBool,
    /// None where there is no model.
    pool: OnceLock<Option<(EmbedderPool, Submitter)>>,
}

impl Semantic {
    /// The tier of `cache`, with `threads` embedder threads. Nothing is started.
    #[must_use]
    pub fn new(
        cache: Cache,
        limits: &SemanticLimits,
        threads: usize,
        clock: fn() -> Instant,
    ) -> Self {
        Self(Arc::new(Tier {
            cache,
            model_dirs: limits.model_dirs.clone(),
            threads,
            clock,
            is_starting: AtomicBool::new(false),
            pool: OnceLock::new(),
        }))
    }

    /// Opens the model and starts the embedder threads, on a thread of its own. Reports on standard error
    /// what came of it.
    pub fn start(&self) {
        if self.0.is_starting.swap(true, Ordering::AcqRel) {
            return;
        }
        let semantic = self.clone();
        let body = move || {
            let pool = semantic.open_pool();
            // This thread alone sets it.
            let _ = semantic.0.pool.set(pool);
        };
        if let Err(error) =
            std::thread::Builder::new().name("embedder-start".to_owned()).spawn(body)
        {
            log_message(format_args!("semantic cache is off: {error}"));
        }
    }

    fn open_pool(&self) -> Option<(EmbedderPool, Submitter)> {
        let tier = &*self.0;
        let is_there = |dir: &&PathBuf| dir.join("model.safetensors").exists();
        let dir = tier.model_dirs.iter().find(is_there).or(tier.model_dirs.first())?;
        let options = PoolOptions {
            threads: tier.threads,
            cores: Vec::new(),
            queue_max: QUEUE_PER_THREAD * tier.threads,
            clock: tier.clock,
        };
        let opened = LocalModel::open(dir).map_err(|error| error.to_string()).and_then(|model| {
            let version = model.embedder.version();
            let pool = EmbedderPool::start(model, &options).map_err(|error| error.to_string())?;
            Ok((version, pool))
        });
        match opened {
            Ok((version, pool)) => {
                let plural = if tier.threads == 1 { "" } else { "s" };
                let threads = tier.threads;
                log_message(format_args!(
                    "semantic cache is on: {version}, {threads} embedder thread{plural}"
                ));
                let submitter = pool.submitter();
                Some((pool, submitter))
            }
            Err(reason) => {
                log_message(format_args!("semantic cache is off: {reason}"));
                None
            }
        }
    }

    fn submitter(&self) -> Option<&Submitter> {
        match self.0.pool.get() {
            Some(pool) => pool.as_ref().map(|(_, submitter)| submitter),
            None => {
                self.start();
                None
            }
        }
    }

    /// `on`, `starting`, or `off` where there is no model or nothing has needed it yet.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self.0.pool.get() {
            Some(Some(_)) => "on",
            None if self.0.is_starting.load(Ordering::Acquire) => "starting",
            _ => "off",
        }
    }

    /// What the embedder threads have done; none before they are started.
    #[must_use]
    pub fn counts(&self) -> Option<PoolCounts> {
        let (pool, _) = self.0.pool.get()?.as_ref()?;
        Some(pool.counts())
    }

    /// Looks for a stored question of the same meaning; never waits. `reply` hears of it once, also
    /// where nothing comes of it by `deadline`. `now` is the wall clock's. False if the question is not
    /// taken; then there is no reply.
    #[must_use]
    pub fn lookup(
        &self,
        query: SemanticQuery,
        policy: MatchPolicy,
        (now, deadline): (Duration, Instant),
        cancel: Cancel,
        reply: LookupReply,
    ) -> bool {
        let Some(submitter) = self.submitter() else { return false };
        let cache = self.0.cache.clone();
        let text = query.text.clone();
        let reply = Box::new(move |embedding: Result<Embedding, _>| {
            let found = embedding.ok().and_then(|it| search(&cache, &query, &it, policy, now));
            reply(found);
        });
        let tokens_max = QUESTION_TOKENS_MAX;
        submitter.try_submit(EmbedRequest { text, tokens_max, deadline, cancel, reply }).is_ok()
    }

    /// Finds out whether the two answers to a question, the stored and the fresh one, say the same, and
    /// informs the waiting followers. Never waits; where the embedder threads are busy it stays unknown.
    pub fn compare(&self, report: ComparisonReport, answers: Option<(String, String)>) {
        let cache = self.0.cache.clone();
        let Some((stored, fresh)) = answers else { return report.end(&cache, None) };
        let comparison = AnswerComparison { cache, report, stored, fresh };
        let is_clear = agree(&comparison.stored, &comparison.fresh, None).is_some();
        let Some(submitter) = self.submitter().filter(|_| !is_clear).cloned() else {
            return comparison.end(None);
        };
        let deadline = (self.0.clock)().after(COMPARISON_TIMEOUT);
        let (first, second) = (start_of(&comparison.stored), start_of(&comparison.fresh));
        let next = submitter.clone();
        comparison.embed((&submitter, deadline), first, move |comparison, one| {
            comparison.embed((&next, deadline), second, move |comparison, other| {
                comparison.end(Some(one.cosine(&other)));
            });
        });
    }
}

/// Where the result of a comparison of two answers goes.
#[derive(Default)]
pub struct ComparisonReport {
    /// Written down, with whether they agree.
    pub observation: Option<Box<Observation>>,
    /// Held against the route if they do not.
    pub check: Option<Box<SampledCheck>>,
}

impl ComparisonReport {
    fn end(self, cache: &Cache, agreed: Option<bool>) {
        if let Some((check, agreed)) = self.check.zip(agreed) {
            cache.record_comparison(&check, agreed);
        }
        if let Some(mut observation) = self.observation {
            observation.agreed = agreed;
            cache.observe(observation);
        }
    }
}

/// A comparison of two answers under way. What it cannot find out it reports as unknown.
struct AnswerComparison {
    cache: Cache,
    report: ComparisonReport,
    stored: String,
    fresh: String,
}

impl AnswerComparison {
    fn end(self, cosine: Option<f32>) {
        let agreed = agree(&self.stored, &self.fresh, cosine);
        self.report.end(&self.cache, agreed);
    }

    /// Embeds `text`, then hands itself and the vector to `next`.
    fn embed(
        self,
        (submitter, deadline): (&Submitter, Instant),
        text: String,
        next: impl FnOnce(Self, Embedding) + Send + 'static,
    ) {
        let comparison = Arc::new(Mutex::new(Some(self)));
        let taken = Arc::clone(&comparison);
        let take = |comparison: &Mutex<Option<Self>>| {
            comparison.lock().unwrap_or_else(PoisonError::into_inner).take()
        };
        let reply = Box::new(move |embedding: Result<Embedding, _>| {
            let Some(comparison) = take(&taken) else { return };
            match embedding {
                Ok(embedding) => next(comparison, embedding),
                Err(_) => comparison.end(None),
            }
        });
        let (tokens_max, cancel) = (TOKENS_MAX, Cancel::default());
        if submitter.try_submit(EmbedRequest { text, tokens_max, deadline, cancel, reply }).is_err()
            && let Some(comparison) = take(&comparison)
        {
            comparison.end(None);
        }
    }
}

fn start_of(text: &str) -> String {
    let end = text.floor_char_boundary(ANSWER_BYTES_MAX);
    text.get(..end).unwrap_or_default().to_owned()
}

fn search(
    cache: &Cache,
    query: &SemanticQuery,
    embedding: &Embedding,
    policy: MatchPolicy,
    now: Duration,
) -> Option<SemanticMatch> {
    let profile = Profile::of(&query.text);
    // Of a text that was not read whole nothing is known for sure.
    if profile.is_cut() {
        return None;
    }
    let vector = Vector::of(embedding.as_array());
    let question = Box::new(Question { partition: query.partition, vector, profile });
    let neighbor = cache.nearest(&query.key, &question, embedding, policy, now);
    Some(SemanticMatch { question, neighbor })
}
