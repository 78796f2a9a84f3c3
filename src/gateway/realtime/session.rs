//! A session that is open: what each side sends goes to the other, until one ends it.
//!
//! What has been read from one side is written to the other before more is read, so a side that reads
//! slowly holds its peer back, and a session keeps no more than two reads (64 KiB, double that at the
//! very most), their copies and what the meter keeps. Both directions are one task; neither moves more
//! than [`TURN_BYTES`] before others have had their turn.
//!
//! A session has no total limit but [`SESSION_MAX`]: vendors end theirs, OpenAI after an hour (its
//! guide on realtime conversations). It ends when both sides are silent for too long, when one does
//! not take what it is sent, and at half of the drain when the gateway stops.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{Either, select};

use super::frames::{FramePart, Frames};
use super::meter::Meter;
use super::model_check::ModelCheck;
use crate::base::Instant;
use crate::gateway::context::{Client, Exchange, GatewayError, Grant};
use crate::gateway::upstream::redact::Redaction;
use crate::gateway::upstream::request::UpstreamRequest;
use crate::gateway::worker::Worker;
use crate::llm::Usage;
use crate::shard::{Connection, Reader, Writer, sleep, within};

/// After the close frame of one side, the other has so long to send its own.
pub(super) const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// The longest session, so that a key that has been withdrawn is not in use for ever.
const SESSION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Bytes that one direction moves before others have had their turn.
const TURN_BYTES: usize = 256 * 1024;

/// An idle session keeps no larger buffer for what it sends.
const KEPT_BYTES: usize = 16 * 1024;

/// How often the limits are looked at, if they are not shorter than that.
const TICK: Duration = Duration::from_secs(1);
const TICK_MIN: Duration = Duration::from_millis(20);

/// Close codes of RFC 6455 section 7.4.1 and of its registry: the server goes away; a message is against
/// its rules; what stands behind it failed.
const GOING_AWAY: u16 = 1001;
const POLICY_VIOLATION: u16 = 1008;
const BAD_GATEWAY: u16 = 1014;

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionEnd {
    /// One side closed it.
    Closed,
    /// The client's connection ended without a word.
    ClientLeft,
    /// The client did not take what it was sent.
    ClientStalled,
    /// The provider's connection ended without a word.
    ProviderLeft,
    /// The provider did not take what it was sent.
    ProviderStalled,
    /// The client sent what its key may not.
    Refused,
    /// By a limit of the gateway: silence, age, a stop.
    Limited,
}

impl SessionEnd {
    /// The same for `settle`.
    pub(super) fn outcome(self, provider: &str) -> Result<(), GatewayError> {
        let provider = || provider.to_owned();
        match self {
            Self::Closed | Self::Limited | Self::Refused => Ok(()),
            Self::ClientLeft => Err(GatewayError::ClientLeft),
            Self::ClientStalled => Err(GatewayError::ClientStalled),
            Self::ProviderStalled => {
                Err(GatewayError::UpstreamTimeout { provider: provider(), phase: "sending" })
            }
            Self::ProviderLeft => Err(GatewayError::InvalidAnswer {
                provider: provider(),
                reason: "its connection broke in the middle of the session",
                source: None,
            }),
        }
    }
}

/// What is known of one direction.
#[derive(Default)]
pub(super) struct Flow {
    bytes: Cell<u64>,
    /// Its close frame has passed.
    has_closed: Cell<bool>,
    /// Its last frame has passed whole.
    is_between: Cell<bool>,
    writing_since: Cell<Option<Instant>>,
}

impl Flow {
    /// Bytes moved.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    fn is_stalled(&self, limit: Duration) -> bool {
        self.writing_since.get().is_some_and(|since| since.elapsed() >= limit)
    }
}

/// Why a direction stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Who sends has ended.
    Sender,
    /// Who receives has.
    Receiver,
}

/// One session.
pub(super) struct RealtimeSession {
    pub(super) from_client: Flow,
    pub(super) from_provider: Flow,
    meter: RefCell<Meter>,
    /// Where the client's key has a list of models.
    check: RefCell<Option<ModelCheck>>,
    begun: Instant,
    last_byte: Cell<Instant>,
    idle: Duration,
    /// How long a write to the client may take, and one to the provider.
    write_limits: [Duration; 2],
    drain: Duration,
}

impl RealtimeSession {
    /// A session that is just open.
    pub(super) fn new(
        exchange: &Exchange<'_>,
        grant: &Grant,
        upstream_request: &UpstreamRequest,
    ) -> Self {
        let server = &exchange.snapshot.settings.server;
        let now = Instant::now();
        let flow = || Flow { is_between: Cell::new(true), ..Flow::default() };
        Self {
            from_client: flow(),
            from_provider: flow(),
            meter: RefCell::default(),
            check: RefCell::new(grant.key_with_models().cloned().map(ModelCheck::new)),
            begun: now,
            last_byte: Cell::new(now),
            idle: upstream_request.timeouts.realtime_idle,
            write_limits: [server.client_write_timeout, upstream_request.timeouts.idle],
            drain: server.drain_timeout,
        }
    }

    /// The usage that the provider has reported.
    pub(super) fn usage(&self) -> Option<Usage> {
        self.meter.borrow().usage()
    }

    /// Why the gateway has ended the session, where the client sent what its key may not.
    pub(super) fn take_refusal(&self) -> Option<GatewayError> {
        self.check.borrow_mut().as_mut()?.take_refusal()
    }

    fn is_refused(&self) -> bool {
        self.check.borrow().as_ref().is_some_and(|check| check.refusal().is_some())
    }

    /// Moves bytes both ways until the session has ended.
    pub(super) async fn run(
        &self,
        worker: &Worker,
        client: &mut Client,
        (provider, mut redaction): (&mut Connection, Redaction<'_>),
    ) -> SessionEnd {
        let client = &mut client.connection;
        let (from_client, to_provider) = (&mut client.reader, &mut provider.writer);
        let (from_provider, to_client) = (&mut provider.reader, &mut client.writer);
        let mut up = pin!(self.forward_frames(
            &self.from_client,
            (from_client, to_provider),
            |part| {
                if let Some(check) = &mut *self.check.borrow_mut() {
                    check.take(part);
                }
            },
            |out, bytes, _| out.extend_from_slice(bytes)
        ));
        let mut down = pin!(self.forward_frames(
            &self.from_provider,
            (from_provider, to_client),
            |part| self.meter.borrow_mut().take(part, &mut worker.scanner()),
            |out, bytes, is_between| {
                redaction.push(bytes, |ready| out.extend_from_slice(ready));
                // A credential does not go on in the next message, which may be long in coming.
                if is_between {
                    redaction.finish(|ready| out.extend_from_slice(ready));
                }
            }
        ));
        let clock = pin!(self.clock(worker));
        let both = select(up.as_mut(), down.as_mut());
        let (is_up, stop) = match select(both, clock).await {
            Either::Left((Either::Left((stop, _)), _)) => (true, stop),
            Either::Left((Either::Right((stop, _)), _)) => (false, stop),
            Either::Right((ended, _)) => return ended,
        };
        if is_up && self.is_refused() {
            // A pending write to the client that has completed must be polled, so that the error
            // event can follow it.
            poll_fn(|task| {
                let _ = down.as_mut().poll(task);
                Poll::Ready(())
            })
            .await;
            return SessionEnd::Refused;
        }
        let client_ended = is_up == (stop == Stop::Sender);
        let (from_ended, from_other) = match client_ended {
            true => (&self.from_client, &self.from_provider),
            false => (&self.from_provider, &self.from_client),
        };
        // A close frame is answered. The last frames of a side that reads nothing any more may be in
        // flight.
        let is_answered = from_ended.has_closed.get() && !from_other.has_closed.get();
        if is_answered || stop == Stop::Receiver {
            let grace = Instant::now().after(CLOSE_GRACE);
            // How the other direction ends makes no difference any more.
            let _ = match is_up {
                true => within(grace, down).await,
                false => within(grace, up).await,
            };
        }
        match from_ended.has_closed.get() || from_other.has_closed.get() {
            true => SessionEnd::Closed,
            false if client_ended => SessionEnd::ClientLeft,
            false => SessionEnd::ProviderLeft,
        }
    }

    /// The close frame that ends the session for the client, where it has got none and can get one.
    pub(super) fn close_frame(&self, ended: &SessionEnd) -> Option<Vec<u8>> {
        let code = match ended {
            SessionEnd::Limited => GOING_AWAY,
            SessionEnd::Refused => POLICY_VIOLATION,
            SessionEnd::ProviderLeft | SessionEnd::ProviderStalled => BAD_GATEWAY,
            SessionEnd::Closed | SessionEnd::ClientLeft | SessionEnd::ClientStalled => return None,
        };
        let flow = &self.from_provider;
        let can = flow.is_between.get() && !flow.has_closed.get();
        let [high, low] = code.to_be_bytes();
        can.then(|| vec![0x88, 2, high, low])
    }

    /// One direction, until one of its ends is gone. `take` appends what is sent of the bytes that were
    /// read, and learns whether they end between two frames.
    async fn forward_frames(
        &self,
        flow: &Flow,
        (reader, writer): (&mut Reader, &mut Writer),
        mut visit: impl FnMut(FramePart<'_>),
        mut take: impl FnMut(&mut Vec<u8>, &[u8], bool),
    ) -> Stop {
        let mut frames = Frames::default();
        let mut out = Vec::new();
        let mut turn = 0;
        loop {
            if reader.bytes().is_empty() && !matches!(reader.fill().await, Ok(1..)) {
                return Stop::Sender;
            }
            let count = reader.bytes().len();
            frames.read(reader.bytes(), &mut visit);
            if self.is_refused() {
                // Its last bytes stay here, so that the provider never has the whole message.
                return Stop::Sender;
            }
            take(&mut out, reader.bytes(), frames.is_between());
            reader.consume(count);
            flow.has_closed.set(frames.has_closed());
            flow.is_between.set(frames.is_between());
            self.last_byte.set(Instant::now());
            flow.writing_since.set(Some(self.last_byte.get()));
            let written = writer.write_all(out).await;
            flow.writing_since.set(None);
            let Ok(emptied) = written else { return Stop::Receiver };
            flow.bytes.set(flow.bytes.get() + count as u64);
            if self.from_client.has_closed.get() && self.from_provider.has_closed.get() {
                // Nothing more can follow, and neither has to wait for the other to hang up.
                return Stop::Sender;
            }
            out = if emptied.capacity() > KEPT_BYTES { Vec::new() } else { emptied };
            turn += count;
            if turn >= TURN_BYTES {
                turn = 0;
                yield_to_others().await;
            }
        }
    }

    /// Ends with the first limit that is reached.
    async fn clock(&self, worker: &Worker) -> SessionEnd {
        let [client_limit, provider_limit] = self.write_limits;
        let drain_half = self.drain / 2;
        let shortest = [self.idle, client_limit, provider_limit].into_iter().min();
        let tick = shortest.unwrap_or(TICK).min(drain_half.max(TICK_MIN) / 2);
        let mut draining_since = None;
        loop {
            sleep(tick.clamp(TICK_MIN, TICK)).await;
            if self.from_provider.is_stalled(client_limit) {
                return SessionEnd::ClientStalled;
            }
            if self.from_client.is_stalled(provider_limit) {
                return SessionEnd::ProviderStalled;
            }
            if self.last_byte.get().elapsed() >= self.idle || self.begun.elapsed() >= SESSION_MAX {
                return SessionEnd::Limited;
            }
            if worker.is_draining() {
                let since: Instant = *draining_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= drain_half {
                    return SessionEnd::Limited;
                }
            }
        }
    }
}

/// Ready when polled again, after the shard's other tasks.
async fn yield_to_others() {
    let mut has_waited = false;
    poll_fn(|task| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        task.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
