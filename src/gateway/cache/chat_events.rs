//! A stream in the form in which answers are stored and shared: the events of OpenAI's chat, or of its older
//! completions.

use super::format::{STORED, foreign_dialect};
use crate::dialects::{
    StreamDecoder, StreamEncoder, client_codec, completions_encoder, provider_codec,
};
use crate::gateway::context::{Endpoint, Exchange};
use crate::llm::{ChatRequest, Chunk, Scanner};

/// Writes events or chunks of any dialect in the stored form.
pub(crate) struct ChatEvents {
    encoder: Box<dyn StreamEncoder>,
    /// Of a provider whose dialect is the client's.
    decoder: Option<Box<dyn StreamDecoder>>,
    chunks: Vec<Chunk>,
    events: Vec<u8>,
}

impl ChatEvents {
    /// For a stream that comes as events in the client's dialect. None where that is the stored form.
    pub(crate) fn of_events(exchange: &Exchange<'_>) -> Option<Self> {
        let dialect = exchange.record.endpoint.and_then(foreign_dialect)?;
        Some(Self::new(exchange, Some(provider_codec(dialect)?.stream_decoder())))
    }

    /// For a stream that comes as chunks.
    pub(crate) fn of_chunks(exchange: &Exchange<'_>) -> Self {
        Self::new(exchange, None)
    }

    fn new(exchange: &Exchange<'_>, decoder: Option<Box<dyn StreamDecoder>>) -> Self {
        let chat_request = ChatRequest { include_usage: true, ..ChatRequest::default() };
        let now = exchange.record.at_unix.as_secs();
        let is_completion = exchange.record.endpoint == Some(Endpoint::Completions);
        let encoder = if is_completion {
            completions_encoder(&chat_request, now)
        } else {
            client_codec(STORED).stream_encoder(&chat_request, now)
        };
        Self { encoder, decoder, chunks: Vec::new(), events: Vec::new() }
    }

    /// Takes an event of the provider; `sink` gets the data of each event in the stored form.
    pub(crate) fn push_event(
        &mut self,
        name: Option<&str>,
        data: &[u8],
        scanner: &mut Scanner,
        mut sink: impl FnMut(&[u8]),
    ) {
        let mut chunks = std::mem::take(&mut self.chunks);
        if let Some(decoder) = &mut self.decoder {
            // An event that cannot be decoded leaves the stored answer incomplete, which is not stored.
            let _ = decoder.event(name, data, scanner, &mut chunks);
        }
        chunks.drain(..).for_each(|chunk| self.push_chunk(&chunk, &mut sink));
        self.chunks = chunks;
    }

    /// Takes a piece of the stream; `sink` gets the data of each event in the stored form.
    pub(crate) fn push_chunk(&mut self, chunk: &Chunk, mut sink: impl FnMut(&[u8])) {
        self.events.clear();
        self.encoder.push(chunk, &mut self.events);
        for line in self.events.split(|byte| *byte == b'\n') {
            if let Some(data) = line.strip_prefix(b"data: ").filter(|data| *data != b"[DONE]") {
                sink(data);
            }
        }
    }
}
