//! The models that a client names inside a session, held against the list of its key.
//!
//! Each message is read as soon as it is whole and before its last byte goes on: a provider never has
//! the whole of one that is refused. At most [`MESSAGE_BYTES_MAX`] are kept, of the message that is just
//! coming. Only sessions of a key with a list of models have this check.

use std::sync::Arc;

use super::frames::{FrameKind, FramePart};
use crate::gateway::context::{GatewayError, ModelList};
use crate::keys::VirtualKey;
use crate::llm::each_model;

/// A longer message is refused, since what it names cannot be known.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// So much is kept for the next message.
const KEPT_BYTES: usize = 16 * 1024;

/// The reader of what the client sends.
pub(super) struct ModelCheck {
    key: Arc<VirtualKey>,
    message: Vec<u8>,
    mask: [u8; 4],
    /// How far into its frame's payload the next byte stands.
    offset: usize,
    /// The frame at hand belongs to a message: control frames may come between its frames.
    is_data: bool,
    is_final: bool,
    /// A message has begun and not ended.
    is_open: bool,
    refusal: Option<GatewayError>,
}

impl ModelCheck {
    pub(super) fn new(key: Arc<VirtualKey>) -> Self {
        Self {
            key,
            message: Vec::new(),
            mask: [0; 4],
            offset: 0,
            is_data: false,
            is_final: false,
            is_open: false,
            refusal: None,
        }
    }

    /// Why the session ends, once a message is refused.
    pub(super) fn refusal(&self) -> Option<&GatewayError> {
        self.refusal.as_ref()
    }

    /// Gives the reason away.
    pub(super) fn take_refusal(&mut self) -> Option<GatewayError> {
        self.refusal.take()
    }

    /// Takes the next part of what the client sends.
    pub(super) fn take(&mut self, part: FramePart<'_>) {
        if self.refusal.is_some() {
            return;
        }
        match part {
            FramePart::Begin { kind, is_final, mask } => {
                (self.mask, self.offset) = (mask, 0);
                self.is_data = !matches!(kind, FrameKind::Close | FrameKind::Other);
                if self.is_data {
                    // RFC 6455 section 5.4: one message ends before the next begins.
                    if self.is_open != (kind == FrameKind::Continuation) {
                        self.refuse("frames of two messages are mixed");
                    }
                    (self.is_open, self.is_final) = (!is_final, is_final);
                }
            }
            FramePart::Payload(piece) if self.is_data => {
                if self.message.len() + piece.len() > MESSAGE_BYTES_MAX {
                    self.refuse(
                        "a message is over 1 MiB, so the models that it names cannot be checked \
                         against the list of this key",
                    );
                    return;
                }
                let key = self.mask.iter().cycle().skip(self.offset % 4);
                self.message.extend(piece.iter().zip(key).map(|(byte, key)| byte ^ key));
                self.offset += piece.len();
            }
            FramePart::Payload(_) => {}
            FramePart::End if self.is_data && self.is_final => {
                self.check();
                self.message.clear();
                self.message.shrink_to(KEPT_BYTES);
            }
            FramePart::End => {}
        }
    }

    fn check(&mut self) {
        // Without an object it names nothing, whatever its reader makes of it.
        if memchr::memchr(b'{', &self.message).is_none() {
            return;
        }
        let mut models = ModelList::new(&self.key);
        let read = each_model(&self.message, &mut |model| models.check(model));
        let verdict = models.verdict();
        match read {
            Ok(()) => self.refusal = verdict.err(),
            Err(_) => self.refuse("a message is no JSON, or nested too deep"),
        }
    }

    fn refuse(&mut self, text: &'static str) {
        self.refusal = Some(GatewayError::Invalid(text.into()));
    }
}
