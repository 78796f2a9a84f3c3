//! Embedder threads behind a bounded queue.
//!
//! A shard passes a text and a callback and continues; it never waits, and a full queue is an
//! immediate error. The callback runs on the embedder thread with the vector, so that the search
//! for neighbors runs there too. Each accepted request gets exactly one callback, including when it
//! is canceled, the embedder fails, or the pool stops.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{EmbedError, Embedder, Embedding, LocalModel, TokenIds, Tokenizer};
use crate::base::{BackgroundThread, Instant};

/// `nice` value of embedder threads: a tenth of the share of a serving thread.
const NICENESS: libc::c_int = 10;

/// Time that stopping a pool waits for each thread: a batch takes some milliseconds.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// Callback with the result, run on the embedder thread.
pub type EmbedReply = Box<dyn FnOnce(Result<Embedding, EmbedError>) + Send>;

/// Settings of a pool.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    /// Threads, at least 1.
    pub threads: usize,
    /// Cores to pin them to, in turn; empty: not pinned.
    pub cores: Vec<usize>,
    /// Length of the queue, at least the number of threads. A wait of 1 ms is one request per
    /// thread at 16 tokens.
    pub queue_max: usize,
    /// Clock of the deadlines.
    pub clock: fn() -> Instant,
}

/// A text to embed.
pub struct EmbedRequest {
    /// At most [`TEXT_BYTES_MAX`](super::TEXT_BYTES_MAX) bytes.
    pub text: String,
    /// A text with more tokens, including `[CLS]` and `[SEP]`, is rejected with
    /// [`EmbedError::TokenCount`]; tokens beyond [`TOKENS_MAX`](super::TOKENS_MAX) are ignored.
    pub tokens_max: usize,
    /// After this the vector is not needed.
    pub deadline: Instant,
    /// Cancels the request.
    pub cancel: Cancel,
    /// Callback with the result.
    pub reply: EmbedReply,
}

/// Cancels a waiting request. Clones share one flag.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Cancels the request.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// True after [`cancel`](Self::cancel).
    #[must_use]
    pub fn is_canceled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a request was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full.
    #[error("the embedder threads are busy")]
    Busy,
    /// The pool has stopped.
    #[error("the embedder threads have ended")]
    Stopped,
}

/// The embedder threads. Dropping it stops them, as [`stop`](Self::stop) does.
#[derive(Debug)]
pub struct EmbedderPool {
    sender: SyncSender<Message>,
    shared: Arc<Shared>,
    threads: Vec<BackgroundThread>,
}

/// Sends texts to an [`EmbedderPool`]; one for each shard.
#[derive(Clone, Debug)]
pub struct Submitter {
    sender: SyncSender<Message>,
    shared: Arc<Shared>,
}

/// Statistics since the pool started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct PoolCounts {
    /// Requests in the queue.
    pub queued: u64,
    /// Vectors computed.
    pub done: u64,
    /// Texts that could not be embedded.
    pub failed: u64,
    /// Requests canceled while they waited.
    pub abandoned: u64,
    /// Requests rejected.
    pub refused: u64,
}

impl EmbedderPool {
    /// Starts threads named `embedder-N` that share `model`.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(model: LocalModel, options: &PoolOptions) -> io::Result<Self> {
        let threads = options.threads.max(1);
        // For waking each thread when the pool stops, see `stop`.
        let (sender, receiver) = sync_channel(options.queue_max.max(threads));
        let shared = Arc::new(Shared {
            receiver: Mutex::new(receiver),
            stopping: AtomicBool::new(false),
            counters: Counters::default(),
        });
        let mut pool = Self { sender, shared, threads: Vec::with_capacity(threads) };
        let tokenizer = Arc::new(model.tokenizer);
        for index in 0..threads {
            let worker = Worker {
                shared: Arc::clone(&pool.shared),
                tokenizer: Arc::clone(&tokenizer),
                embedder: model.embedder.share(),
                clock: options.clock,
            };
            let core = options.cores.get(index % options.cores.len().max(1)).copied();
            let body = move || {
                if let Some(id) = core {
                    // Unpinned is slower, but correct.
                    core_affinity::set_for_current(core_affinity::CoreId { id });
                }
                step_back();
                worker.run();
            };
            pool.threads.push(BackgroundThread::start(format!("embedder-{index}"), body)?);
        }
        Ok(pool)
    }

    /// A new client of the pool.
    #[must_use]
    pub fn submitter(&self) -> Submitter {
        Submitter { sender: self.sender.clone(), shared: Arc::clone(&self.shared) }
    }

    /// Its statistics.
    #[must_use]
    pub fn counts(&self) -> PoolCounts {
        self.shared.counters.read()
    }

    /// Stops the threads after their current batches, and waits at most two seconds for each.
    /// Queued requests end with [`EmbedError::Stopped`].
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        for _ in &self.threads {
            // A full queue wakes the threads too.
            let _ = self.sender.try_send(Message::Wake);
        }
        for thread in self.threads.drain(..) {
            // A thread that is still in its batch ends with the process.
            let _ = thread.join_within(STOP_LIMIT);
        }
        self.shared.empty();
    }
}

impl Drop for EmbedderPool {
    fn drop(&mut self) {
        self.end();
    }
}

impl Submitter {
    /// Queues a request; never waits. `reply` is called once, on an embedder thread.
    ///
    /// # Errors
    /// If it is not accepted; then `reply` is not called.
    pub fn try_submit(&self, request: EmbedRequest) -> Result<(), SubmitError> {
        let counters = &self.shared.counters;
        if self.shared.stopping.load(Ordering::Acquire) {
            counters.refused.fetch_add(1, Ordering::Relaxed);
            return Err(SubmitError::Stopped);
        }
        let EmbedRequest { text, tokens_max, deadline, cancel, reply } = request;
        let job = Job {
            text,
            tokens_max,
            deadline,
            cancel,
            reply: Some(reply),
            shared: Arc::clone(&self.shared),
        };
        // Counted before it can be taken, so that the depth is never negative.
        counters.queued.fetch_add(1, Ordering::Relaxed);
        match self.sender.try_send(Message::Job(job)) {
            Ok(()) => {
                if self.shared.stopping.load(Ordering::SeqCst) {
                    // Stopping may have emptied the queue just before, and then no other thread
                    // looks. A thread that holds the lock is woken by this request.
                    self.shared.empty();
                }
                Ok(())
            }
            Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => {
                if let Message::Job(mut job) = message {
                    job.reply = None;
                }
                counters.queued.fetch_sub(1, Ordering::Relaxed);
                counters.refused.fetch_add(1, Ordering::Relaxed);
                Err(SubmitError::Busy)
            }
        }
    }

    /// Statistics of the pool.
    #[must_use]
    pub fn counts(&self) -> PoolCounts {
        self.shared.counters.read()
    }
}

#[derive(Debug)]
struct Shared {
    /// Only embedder threads take this lock: one waits in it for work, the others for the lock.
    receiver: Mutex<Receiver<Message>>,
    stopping: AtomicBool,
    counters: Counters,
}

impl Shared {
    fn receiver(&self) -> std::sync::MutexGuard<'_, Receiver<Message>> {
        // The queue has no state that a panic could leave inconsistent.
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops all queued requests when the pool stops; dropping a request calls its callback.
    fn empty(&self) {
        let receiver = self.receiver();
        while let Ok(message) = receiver.try_recv() {
            self.count_taken(&message);
        }
    }

    fn count_taken(&self, message: &Message) {
        if matches!(message, Message::Job(_)) {
            self.counters.queued.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[derive(Debug, Default)]
struct Counters {
    queued: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
    abandoned: AtomicU64,
    refused: AtomicU64,
}

impl Counters {
    fn read(&self) -> PoolCounts {
        PoolCounts {
            queued: self.queued.load(Ordering::Relaxed),
            done: self.done.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            abandoned: self.abandoned.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    fn count(&self, result: &Result<Embedding, EmbedError>) {
        let counter = match result {
            Ok(_) => &self.done,
            Err(EmbedError::Abandoned | EmbedError::Stopped) => &self.abandoned,
            Err(_) => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

enum Message {
    Job(Job),
    /// Wakes a thread to check `stopping`.
    Wake,
}

/// A request in the queue. If it is dropped without a result, the callback gets an error.
struct Job {
    text: String,
    tokens_max: usize,
    deadline: Instant,
    cancel: Cancel,
    reply: Option<EmbedReply>,
    shared: Arc<Shared>,
}

impl Job {
    fn answer(&mut self, result: Result<Embedding, EmbedError>) {
        if let Some(reply) = self.reply.take() {
            self.shared.counters.count(&result);
            // A panic in a callback is the caller's, and must not cost others their vectors or the
            // thread; the panic hook has reported it.
            let _ = catch_unwind(AssertUnwindSafe(|| reply(result)));
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.answer(Err(EmbedError::Stopped));
    }
}

/// Gives shards priority on a busy machine: a request that waits for a vector can continue without
/// it, others cannot. Not the lowest priority, so that a saturated machine still embeds.
#[expect(unsafe_code, reason = "the system call has no safe form among our dependencies")]
fn step_back() {
    // SAFETY: takes and keeps no pointer. On Linux the 0 means this thread. A failure is harmless.
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}

/// One embedder thread.
struct Worker {
    shared: Arc<Shared>,
    tokenizer: Arc<Tokenizer>,
    embedder: Box<dyn Embedder>,
    clock: fn() -> Instant,
}

impl Worker {
    fn run(mut self) {
        while let Some(jobs) = self.next_batch() {
            self.serve(jobs);
        }
    }

    /// Waits for a request and takes further ones, up to a batch; `None` when the pool stops.
    fn next_batch(&self) -> Option<Vec<Job>> {
        let receiver = self.shared.receiver();
        let mut jobs = Vec::new();
        let mut message = receiver.recv().ok()?;
        loop {
            self.shared.count_taken(&message);
            if self.shared.stopping.load(Ordering::Acquire) {
                // Dropping the requests ends them with an error.
                return None;
            }
            if let Message::Job(job) = message {
                jobs.push(job);
            }
            if jobs.len() >= self.embedder.batch_max() {
                break;
            }
            match receiver.try_recv() {
                Ok(next) => message = next,
                Err(_) => break,
            }
        }
        Some(jobs)
    }

    fn serve(&mut self, jobs: Vec<Job>) {
        let now = (self.clock)();
        let mut waiting = Vec::with_capacity(jobs.len());
        let mut sequences = Vec::with_capacity(jobs.len());
        for mut job in jobs {
            if job.cancel.is_canceled() || now > job.deadline {
                job.answer(Err(EmbedError::Abandoned));
                continue;
            }
            match self.tokenizer.encode(&job.text) {
                Ok(ids) if ids.len() > job.tokens_max => {
                    let count = ids.len();
                    job.answer(Err(EmbedError::TokenCount { count }));
                }
                Ok(ids) => {
                    waiting.push(job);
                    sequences.push(ids);
                }
                Err(error) => job.answer(Err(error)),
            }
        }
        self.embed(waiting, &sequences);
    }

    fn embed(&mut self, jobs: Vec<Job>, sequences: &[TokenIds]) {
        let embedder = &mut self.embedder;
        // Working memory is written before it is read, so an interrupted pass has no effect.
        let embedded = catch_unwind(AssertUnwindSafe(|| embedder.embed(sequences)));
        match embedded.unwrap_or(Err(EmbedError::Panicked)) {
            Ok(embeddings) => {
                for (mut job, embedding) in jobs.into_iter().zip(embeddings) {
                    job.answer(Ok(embedding));
                }
            }
            Err(error) => jobs.into_iter().for_each(|mut job| job.answer(Err(error.clone()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{SyncSender, sync_channel};
    use std::time::Duration;

    use super::super::TOKENS_MAX;
    use super::super::samples::SampleFolder;
    use super::*;
    use std::thread;

    /// Longer than any operation here takes.
    const LIMIT: Duration = Duration::from_secs(60);

    fn pool(threads: usize, queue_max: usize) -> EmbedderPool {
        let folder = SampleFolder::new();
        let model = LocalModel::open(folder.path()).expect("the small model");
        let options = PoolOptions { threads, cores: Vec::new(), queue_max, clock: Instant::now };
        EmbedderPool::start(model, &options).expect("threads")
    }

    fn request(text: &str, reply: EmbedReply) -> EmbedRequest {
        let deadline = Instant::now().after(LIMIT);
        EmbedRequest {
            text: text.to_owned(),
            tokens_max: TOKENS_MAX,
            deadline,
            cancel: Cancel::default(),
            reply,
        }
    }

    /// A callback that sends its result to a channel.
    fn reply_to(to: &SyncSender<Result<Embedding, EmbedError>>) -> EmbedReply {
        let to = to.clone();
        Box::new(move |result| to.send(result).expect("the test listens"))
    }

    /// Blocks the only thread of a pool until the sender is dropped.
    fn hold_up(submitter: &Submitter) -> SyncSender<()> {
        let (release, released) = sync_channel::<()>(0);
        let (started, is_started) = sync_channel(1);
        let reply = Box::new(move |_| {
            started.send(()).expect("the test waits");
            // The wait ends with an error.
            let _ = released.recv();
        });
        submitter.try_submit(request("hold", reply)).expect("an empty queue");
        is_started.recv_timeout(LIMIT).expect("the thread has begun");
        release
    }

    #[test]
    fn each_text_gets_its_own_vector() {
        let pool = pool(2, 64);
        let submitter = pool.submitter();
        let (sender, results) = sync_channel(64);
        for text in ["a", "b c d", "a"].repeat(10) {
            let (to, name) = (sender.clone(), thread::current().id());
            let reply: EmbedReply = Box::new(move |result| {
                assert_ne!(thread::current().id(), name);
                assert!(thread::current().name().is_some_and(|it| it.starts_with("embedder-")));
                to.send((text, result.expect("a vector"))).expect("the test listens");
            });
            submitter.try_submit(request(text, reply)).expect("room");
        }
        let mut found: Vec<_> =
            (0..30).map(|_| results.recv_timeout(LIMIT).expect("a reply")).collect();
        found.sort_by_key(|(text, _)| *text);
        assert!(found[..20].iter().all(|it| it == &found[0]), "one text, one vector");
        assert!(found[20].1.cosine(&found[0].1) < 0.999, "another text, another vector");
        let counts = pool.counts();
        assert_eq!((counts.done, counts.queued, counts.refused), (30, 0, 0));
        pool.stop();
    }

    #[test]
    fn full_queue_rejects_immediately() {
        let pool = pool(1, 2);
        let submitter = pool.submitter();
        let release = hold_up(&submitter);
        let (sender, results) = sync_channel(8);
        for _ in 0..2 {
            submitter.try_submit(request("x", reply_to(&sender))).expect("room for two");
        }
        assert_eq!(submitter.try_submit(request("x", reply_to(&sender))), Err(SubmitError::Busy));
        assert_eq!((pool.counts().queued, pool.counts().refused), (2, 1));
        drop(release);
        drop(sender);
        let replies = std::iter::from_fn(|| results.recv_timeout(LIMIT).ok()).count();
        assert_eq!(replies, 2, "the refused one has none");
    }

    #[test]
    fn canceled_and_late_requests_are_skipped() {
        let pool = pool(1, 8);
        let submitter = pool.submitter();
        let release = hold_up(&submitter);
        let (sender, results) = sync_channel(8);
        let cancelled = request("x", reply_to(&sender));
        let cancel = cancelled.cancel.clone();
        submitter.try_submit(cancelled).expect("room");
        let late = EmbedRequest { deadline: Instant::now(), ..request("x", reply_to(&sender)) };
        submitter.try_submit(late).expect("room");
        let long = "x".repeat(super::super::TEXT_BYTES_MAX + 1);
        submitter.try_submit(request(&long, reply_to(&sender))).expect("room");
        cancel.cancel();
        drop(release);
        let reply = || results.recv_timeout(LIMIT).expect("a reply");
        assert_eq!(reply(), Err(EmbedError::Abandoned), "cancelled");
        assert_eq!(reply(), Err(EmbedError::Abandoned), "past its deadline");
        assert_eq!(reply(), Err(EmbedError::TextSize { bytes: long.len() }));
        let counts = pool.counts();
        assert_eq!((counts.done, counts.abandoned, counts.failed), (1, 2, 1));
    }

    #[test]
    fn stop_finishes_queued_and_rejects_new() {
        let pool = pool(1, 8);
        let submitter = pool.submitter();
        let release = hold_up(&submitter);
        let (sender, results) = sync_channel(8);
        for _ in 0..3 {
            submitter.try_submit(request("x", reply_to(&sender))).expect("room");
        }
        let stopping = Arc::clone(&pool.shared);
        let stopper = thread::spawn(move || pool.stop());
        while !stopping.stopping.load(Ordering::Acquire) {
            thread::yield_now();
        }
        drop(release);
        stopper.join().expect("it stops");
        for _ in 0..3 {
            let result = results.recv_timeout(LIMIT).expect("a reply");
            assert_eq!(result, Err(EmbedError::Stopped));
        }
        assert_eq!(
            submitter.try_submit(request("x", reply_to(&sender))),
            Err(SubmitError::Stopped)
        );
        assert_eq!(submitter.counts().queued, 0);
    }

    #[test]
    fn panicking_reply_does_not_affect_others() {
        let pool = pool(1, 8);
        let submitter = pool.submitter();
        let (sender, results) = sync_channel(8);
        for _ in 0..2 {
            let reply = Box::new(|_| panic!("a reply of the test"));
            submitter.try_submit(request("x", reply)).expect("room");
            submitter.try_submit(request("x", reply_to(&sender))).expect("room");
            assert!(results.recv_timeout(LIMIT).expect("a reply").is_ok());
        }
        assert_eq!((pool.counts().done, pool.counts().queued), (4, 0));
    }

    /// An embedder that panics.
    struct PanickingEmbedder;

    impl Embedder for PanickingEmbedder {
        fn version(&self) -> &'static str {
            "broken"
        }

        fn batch_max(&self) -> usize {
            4
        }

        fn embed(&mut self, _: &[TokenIds]) -> Result<Vec<Embedding>, EmbedError> {
            panic!("an embedder of the test")
        }

        fn share(&self) -> Box<dyn Embedder> {
            Box::new(Self)
        }
    }

    #[test]
    fn panicking_embedder_replies_and_continues() {
        let folder = SampleFolder::new();
        let model = LocalModel::open(folder.path()).expect("the small model");
        let model = LocalModel { embedder: Box::new(PanickingEmbedder), ..model };
        let options =
            PoolOptions { threads: 1, cores: Vec::new(), queue_max: 8, clock: Instant::now };
        let pool = EmbedderPool::start(model, &options).expect("a thread");
        let (sender, results) = sync_channel(8);
        for _ in 0..3 {
            pool.submitter().try_submit(request("x", reply_to(&sender))).expect("room");
            let result = results.recv_timeout(LIMIT).expect("a reply");
            assert_eq!(result, Err(EmbedError::Panicked));
        }
        assert_eq!((pool.counts().failed, pool.counts().queued), (3, 0));
    }
}
