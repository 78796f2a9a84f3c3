//! Connections in memory: a script provides the received bytes, a tape records the sent ones.
//!
//! They use the same reader and writer as sockets, so the whole pipeline can run in a simulation
//! with chosen splits and faults, and its instructions can be counted.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use super::timer::{Sleep, sleep_until};
use crate::base::Instant;

/// One step of the receiving side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// These bytes arrive in one read.
    Bytes(Vec<u8>),
    /// This poll is pending; the task is woken at once.
    Pause,
    /// Nothing arrives for this time.
    Wait(Duration),
    /// Nothing arrives until something has been sent since the last such step; the sent bytes are
    /// then acknowledged.
    Request,
    /// Nothing arrives any more, and the connection stays open.
    Hang,
    /// The peer closes.
    End,
    /// The connection breaks.
    Break,
}

/// The steps of a receiving side; after the last one the connection hangs.
#[derive(Default)]
pub struct Script {
    steps: VecDeque<Step>,
    /// The wait in progress.
    wait: Option<Pin<Box<Sleep>>>,
    /// The tape that steps wait for.
    sent: Tape,
}

impl Script {
    /// These steps in this order.
    #[must_use]
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), wait: None, sent: Tape::default() }
    }

    /// The same script, whose steps wait for bytes on `tape`.
    pub(super) fn answering(mut self, tape: &Tape) -> Self {
        let waits = self.steps.contains(&Step::Request);
        tape.0.borrow_mut().acknowledged = waits.then_some(0);
        self.sent = tape.clone();
        self
    }

    /// The bytes of the next read; empty at the end of the stream.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        loop {
            if let Some(wait) = &mut self.wait {
                ready!(wait.as_mut().poll(context));
                self.wait = None;
            }
            match self.steps.front() {
                Some(Step::Hang) | None => return Poll::Pending,
                Some(Step::End) => return Poll::Ready(Ok(Vec::new())),
                Some(Step::Break) => {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                Some(Step::Request) => ready!(self.sent.poll_acknowledge(context)),
                Some(Step::Bytes(_) | Step::Pause | Step::Wait(_)) => {}
            }
            match self.steps.pop_front() {
                Some(Step::Bytes(bytes)) => return Poll::Ready(Ok(bytes)),
                Some(Step::Wait(time)) => {
                    self.wait = Some(Box::pin(sleep_until(Instant::now().after(time))));
                }
                Some(Step::Request) => {}
                _ => {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
    }
}

/// The sent bytes of a connection. Clones share one tape.
#[derive(Clone, Debug, Default)]
pub struct Tape(Rc<RefCell<TapeState>>);

#[derive(Debug, Default)]
struct TapeState {
    bytes: Vec<u8>,
    cut_after: Option<usize>,
    last_write: Option<Instant>,
    written: u64,
    /// Number of acknowledged bytes; `None`: all are acknowledged at once.
    acknowledged: Option<u64>,
    /// Waker for the next write.
    reader: Option<Waker>,
}

impl Tape {
    /// A tape that accepts so many bytes; the write beyond fails.
    #[must_use]
    pub fn cut_after(count: usize) -> Self {
        Self(Rc::new(RefCell::new(TapeState { cut_after: Some(count), ..TapeState::default() })))
    }

    /// A tape that takes so many bytes before it has to grow, as a socket does.
    #[must_use]
    pub fn with_room(bytes: usize) -> Self {
        let bytes = Vec::with_capacity(bytes);
        Self(Rc::new(RefCell::new(TapeState { bytes, ..TapeState::default() })))
    }

    /// Takes everything written so far.
    #[must_use]
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.borrow_mut().bytes)
    }

    /// Time of the last write.
    #[must_use]
    pub fn last_write(&self) -> Option<Instant> {
        self.0.borrow().last_write
    }

    pub(super) fn acknowledged(&self) -> u64 {
        let state = self.0.borrow();
        state.acknowledged.unwrap_or(state.written)
    }

    /// Waits for unacknowledged bytes, and acknowledges them.
    fn poll_acknowledge(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.0.borrow_mut();
        if state.acknowledged.is_none_or(|count| count < state.written) {
            state.acknowledged = Some(state.written);
            return Poll::Ready(());
        }
        state.reader = Some(context.waker().clone());
        Poll::Pending
    }

    pub(super) fn write(&self, data: &[u8]) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.last_write = Some(Instant::now());
        state.written = state.written.saturating_add(data.len() as u64);
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
        let room = state.cut_after.map_or(usize::MAX, |limit| limit - state.bytes.len().min(limit));
        state.bytes.extend_from_slice(data.get(..room).unwrap_or(data));
        if data.len() > room { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }
}
