//! The vendors' dialects beside the fast OpenAI answers: checked as the vendor checks, answered by the user's words.
//!
//! Each file is written from the vendor's published reference and SDK types alone (2026-11) and shares nothing with
//! the gateway, so that two readings of one text meet over a socket. A request is parsed whole, refused in the
//! vendor's own shape where the vendor would refuse it, and answered by its [`Script`], whole or as a stream. There
//! is no state: what an earlier answer held (ids of calls, signatures of thoughts) can be checked by itself.

mod anthropic;
mod anthropic_messages;
mod bedrock;
mod bedrock_embeddings;
mod bedrock_messages;
mod chat_request;
mod cohere;
mod cohere_vectors;
mod dialect;
mod embeddings;
mod frames;
mod gemini;
mod gemini_embeddings;
mod gemini_rules;
mod message;
mod openai_chat;
mod openai_embeddings;
mod openai_errors;
mod openai_messages;
mod path;
mod reading;
mod responses;
mod responses_items;
mod script;
mod voyage;

use serde_json::Value;

use dialect::Dialect;
use reading::{Flaw, Refusal};
use script::{Ending, Script};

pub use message::{Body, Headers, Reply, Request};
pub use path::Endpoint;

/// Answers a request as its vendor would.
pub fn answer(request: &Request) -> Reply {
    let dialect = dialect_of(request.endpoint);
    respond(&*dialect, request).unwrap_or_else(|refusal| dialect.refuse(&refusal))
}

/// The vendor's answer to a request that fails with this status whatever it says.
pub fn failure(endpoint: &Endpoint, status: u16) -> Reply {
    dialect_of(endpoint).refuse(&Refusal::scripted(status))
}

fn dialect_of(endpoint: &Endpoint) -> Box<dyn Dialect + '_> {
    match endpoint {
        Endpoint::Chat(place) | Endpoint::Embeddings(place) => Box::new(openai_chat::Chat(place)),
        Endpoint::Responses => Box::new(responses::Responses),
        Endpoint::Messages(place) => Box::new(anthropic::Messages(place)),
        Endpoint::Gemini(place) => Box::new(gemini::Gemini(place)),
        Endpoint::Converse { model, stream } => {
            Box::new(bedrock::Converse { model, stream: *stream })
        }
        Endpoint::Invoke { model } => Box::new(bedrock::Converse { model, stream: false }),
        Endpoint::Cohere(call) => Box::new(cohere::Cohere(*call)),
    }
}

fn respond(dialect: &dyn Dialect, request: &Request) -> Result<Reply, Refusal> {
    if request.require_auth {
        dialect.authenticate(request.headers)?;
    }
    let body: Value = serde_json::from_slice(request.body).map_err(|error| Refusal {
        status: 400,
        path: String::new(),
        flaw: Flaw::InvalidJson(error.to_string()),
    })?;
    if let Some(value) = dialect.aside(request, &body) {
        return Ok(good(dialect, &value?));
    }
    let chat = dialect.read(request, &body)?;
    let script = Script::of(&chat);
    if let Some(status) = script.status {
        return Err(Refusal::scripted(status));
    }
    if !chat.stream {
        let mut reply = good(dialect, &dialect.whole(&chat, &script));
        reply.cut = script.ending == Ending::Cut;
        return Ok(reply);
    }
    let mut events = dialect.events(&chat, &script);
    if script.ending == Ending::Error {
        events.keep_two_deltas();
        let sent = events.frames.len();
        events.push(dialect.error_event(&chat, sent));
    }
    Ok(Reply {
        status: 200,
        content_type: dialect.stream_type(),
        fields: dialect.fields(),
        body: Body::Events(events.frames),
        cut: script.ending == Ending::Cut,
    })
}

fn good(dialect: &dyn Dialect, value: &Value) -> Reply {
    let mut reply = Reply::json(200, value);
    reply.fields = dialect.fields();
    reply
}
