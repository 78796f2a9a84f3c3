//! The vendors' dialects beside the fast OpenAI answers: checked as the vendor checks, answered by the user's words.
//!
//! Each file is written from the vendor's published reference and SDK types alone (2026-11) and shares nothing with
//! the gateway, so that two readings of one text meet over a socket. A request is parsed whole, refused in the
//! vendor's own shape where the vendor would refuse it, and answered by its [`Script`], whole or as a stream. There
//! is no state: what an earlier answer must have said (ids of calls, signatures of thoughts) can be told from itself.

mod anthropic;
mod anthropic_messages;
mod asked;
mod bedrock;
mod bedrock_embeddings;
mod bedrock_messages;
mod cohere;
mod cohere_vectors;
mod embeddings;
mod frames;
mod gemini;
mod gemini_embeddings;
mod gemini_rules;
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

use asked::Asked;
use frames::Events;
use reading::{Flaw, Refusal};
use script::{Ending, Script};

pub use path::Endpoint;

/// What of a request an answer depends on.
pub struct Request<'a> {
    pub endpoint: &'a Endpoint,
    pub headers: &'a Headers,
    pub body: &'a [u8],
    /// Refuse a request without a credential.
    pub require_auth: bool,
}

/// Header lines, names in lower case.
#[derive(Debug, Default)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// Reads the lines of a head that has been parsed before.
    pub fn read(head: &[u8]) -> Self {
        let text = String::from_utf8_lossy(head);
        let lines = text.lines().skip(1).filter_map(|line| line.split_once(':'));
        let row =
            |(name, value): (&str, &str)| (name.to_ascii_lowercase(), value.trim().to_owned());
        Self(lines.map(row).collect())
    }

    /// The value of a header that is there and not empty.
    fn get(&self, name: &str) -> Option<&str> {
        let row = self.0.iter().find(|(own, value)| own == name && !value.is_empty());
        row.map(|(_, value)| value.as_str())
    }

    /// True if a bearer token is there.
    fn has_bearer(&self) -> bool {
        let token = self.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
        token.is_some_and(|token| !token.trim().is_empty())
    }
}

/// An answer before it is framed.
pub struct Reply {
    pub status: u16,
    pub content_type: &'static str,
    /// Further header lines, each with its line end.
    pub fields: String,
    pub body: Body,
    /// The connection breaks in the middle of the body.
    pub cut: bool,
}

/// The payload of a reply.
pub enum Body {
    Whole(Vec<u8>),
    Events(Vec<Vec<u8>>),
}

impl Reply {
    fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            content_type: "application/json",
            fields: String::new(),
            body: Body::Whole(body.to_string().into_bytes()),
            cut: false,
        }
    }

    fn with_field(mut self, name: &str, value: &str) -> Self {
        self.fields.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// Says when to come back, for the statuses that pass.
    fn with_retry_after(self) -> Self {
        let passes = matches!(self.status, 408 | 409 | 429 | 498 | 500..);
        if passes { self.with_field("retry-after", "1") } else { self }
    }
}

/// One vendor's way to ask and to answer. Implementors hold what the path said.
trait Dialect {
    /// Reads and checks a request.
    fn read(&self, request: &Request, body: &Value) -> Result<Asked, Refusal>;
    /// Puts a refusal into the vendor's words, shape and status.
    fn refuse(&self, refusal: &Refusal) -> Reply;
    /// The answer as one JSON value.
    fn whole(&self, asked: &Asked, script: &Script) -> Value;
    /// The answer as a stream.
    fn events(&self, asked: &Asked, script: &Script) -> Events;
    /// What tells an error in a stream that has had `sent` events.
    fn error_event(&self, asked: &Asked, sent: usize) -> Vec<u8>;
    fn stream_type(&self) -> &'static str {
        "text/event-stream"
    }
    /// Lines that every good answer carries.
    fn fields(&self) -> String {
        String::new()
    }
    /// Refuses a request without the vendor's credential.
    fn authenticate(&self, headers: &Headers) -> Result<(), Refusal>;
    /// Calls that are no conversation: embeddings, counts.
    fn aside(&self, _request: &Request, _body: &Value) -> Option<Result<Value, Refusal>> {
        None
    }
}

/// Answers a request as its vendor would.
pub fn answer(request: &Request) -> Reply {
    let dialect = dialect_of(request.endpoint);
    respond(&*dialect, request).unwrap_or_else(|refusal| dialect.refuse(&refusal))
}

/// The vendor's answer to a request that fails with this status whatever it says.
pub fn failure(endpoint: &Endpoint, status: u16) -> Reply {
    dialect_of(endpoint).refuse(&Refusal::told(status))
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
        flaw: Flaw::Garbled(error.to_string()),
    })?;
    if let Some(value) = dialect.aside(request, &body) {
        return Ok(good(dialect, &value?));
    }
    let asked = dialect.read(request, &body)?;
    let script = Script::of(&asked);
    if let Some(status) = script.status {
        return Err(Refusal::told(status));
    }
    if !asked.stream {
        let mut reply = good(dialect, &dialect.whole(&asked, &script));
        reply.cut = script.ending == Ending::Cut;
        return Ok(reply);
    }
    let mut events = dialect.events(&asked, &script);
    if script.ending == Ending::Error {
        events.keep_two_deltas();
        let sent = events.frames.len();
        events.push(dialect.error_event(&asked, sent));
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
