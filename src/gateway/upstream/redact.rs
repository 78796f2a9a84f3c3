//! Credentials masked in what a provider sends back, whole or piece by piece.

use std::borrow::Cow;

use super::request::UpstreamRequest;
use crate::gateway::worker::{Redactor, Scrutiny};

impl UpstreamRequest {
    /// Masks this provider's credentials in what it has sent.
    pub(crate) fn mask(&self, bytes: &mut [u8], scrutiny: Scrutiny) {
        self.each_redactor(|redactor| redactor.mask(bytes, scrutiny));
    }

    /// The bytes with the credentials masked; as they are where there are none.
    pub(crate) fn masked<'b>(&self, bytes: &'b [u8], scrutiny: Scrutiny) -> Cow<'b, [u8]> {
        let mut is_in = false;
        self.each_redactor(|redactor| is_in |= redactor.is_in(bytes, scrutiny));
        if !is_in {
            return Cow::Borrowed(bytes);
        }
        let mut own = bytes.to_vec();
        self.mask(&mut own, scrutiny);
        Cow::Owned(own)
    }

    /// How many bytes at the end may be the beginning of a credential.
    fn credential_tail(&self, bytes: &[u8]) -> usize {
        let mut tail = 0;
        self.each_redactor(|redactor| tail = tail.max(redactor.tail(bytes)));
        tail
    }

    /// Hands those who know a credential that the provider may know to `visit`.
    fn each_redactor(&self, mut visit: impl FnMut(&Redactor)) {
        visit(&self.upstream.redactor);
        self.redactor.iter().for_each(&mut visit);
        if self.upstream.provider.credential.source().is_some() {
            self.upstream.token.redactor().iter().for_each(|of_token| visit(of_token));
        }
    }
}

/// Masks what comes piece by piece. What may be the beginning of a credential waits for what follows.
pub(crate) struct Redaction<'a> {
    upstream_request: &'a UpstreamRequest,
    scrutiny: Scrutiny,
    held: Vec<u8>,
}

impl<'a> Redaction<'a> {
    pub(crate) fn new(upstream_request: &'a UpstreamRequest, scrutiny: Scrutiny) -> Self {
        Self { upstream_request, scrutiny, held: Vec::new() }
    }

    /// Takes in a piece and hands on what is ready, never nothing.
    pub(crate) fn push(&mut self, piece: &[u8], mut sink: impl FnMut(&[u8])) {
        if self.held.is_empty() && self.upstream_request.credential_tail(piece) == 0 {
            let masked = self.upstream_request.masked(piece, self.scrutiny);
            if !masked.is_empty() {
                sink(&masked);
            }
            return;
        }
        self.held.extend_from_slice(piece);
        self.upstream_request.mask(&mut self.held, self.scrutiny);
        let ready = self.held.len() - self.upstream_request.credential_tail(&self.held);
        if ready > 0 {
            sink(self.held.get(..ready).unwrap_or_default());
            self.held.drain(..ready);
        }
    }

    /// Hands on what has waited; nothing follows.
    pub(crate) fn finish(&mut self, mut sink: impl FnMut(&[u8])) {
        if !self.held.is_empty() {
            sink(&self.held);
            self.held = Vec::new();
        }
    }
}
