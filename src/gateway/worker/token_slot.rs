//! The token of a provider as a shard has it.
//!
//! The thread `credentials` fetches tokens and sends them to the shards; a call takes the one that is there.
//! One that comes before the first waits for it, no longer than for a connection.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use futures_channel::oneshot;

use super::redactor::Redactor;
use crate::base::unix_now;
use crate::providers::{Token, TokenUpdate};

/// Calls that wait for a token are looked through for those that have left each time so many came.
const WAITING_SWEEP: usize = 64;

/// The token of one provider on one shard.
#[derive(Default)]
pub(crate) struct TokenSlot(RefCell<TokenState>);

#[derive(Default)]
struct TokenState {
    token: Option<Arc<Token>>,
    /// Knows it and the one before, which calls under way may carry.
    redactor: Option<Rc<Redactor>>,
    /// The last attempt to obtain one failed.
    has_failed: bool,
    waiting: Vec<oneshot::Sender<()>>,
}

impl TokenSlot {
    /// Applies an update of the credentials thread and wakes the calls that wait for it.
    pub(crate) fn update(&self, update: &TokenUpdate) {
        let mut state = self.0.borrow_mut();
        match update {
            TokenUpdate::Token(token) => {
                let before = state.token.replace(Arc::clone(token));
                let both = [Some(token), before.as_ref()].into_iter().flatten();
                state.redactor = Some(Rc::new(Redactor::of_tokens(both.map(|token| &**token))));
                state.has_failed = false;
            }
            TokenUpdate::Failed => state.has_failed = true,
        }
        for waiting in state.waiting.drain(..) {
            // Who has left meanwhile needs no waking.
            let _ = waiting.send(());
        }
    }

    /// Masks its token in what the provider sends back.
    pub(crate) fn redactor(&self) -> Option<Rc<Redactor>> {
        self.0.borrow().redactor.clone()
    }

    /// The token, if it is valid.
    pub(crate) fn current(&self) -> Option<Arc<Token>> {
        let now = unix_now();
        self.0.borrow().token.clone().filter(|token| token.expires_at > now)
    }

    /// Ready with the next update; none if there is nothing to wait for.
    pub(crate) fn next(&self) -> Option<oneshot::Receiver<()>> {
        let mut state = self.0.borrow_mut();
        if state.has_failed {
            return None;
        }
        if state.waiting.len() % WAITING_SWEEP == WAITING_SWEEP - 1 {
            state.waiting.retain(|waiting| !waiting.is_canceled());
        }
        let (sender, receiver) = oneshot::channel();
        state.waiting.push(sender);
        Some(receiver)
    }
}
