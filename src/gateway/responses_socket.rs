//! `GET /v1/responses`: OpenAI's responses over a WebSocket, for every provider.
//!
//! Each `response.create` of the client is a request of its own in the pipeline, with its own admission,
//! route, metrics and event; the events of its answer go out as text frames, one a time. Within a
//! connection the client may go on from its last answer by `previous_response_id`, whatever the value of
//! `store`: that answer and all before it are kept here until the next takes their place. Requests that
//! name a lane by their `stream_id` have it in their events, and each lane its last answer, from which
//! other lanes may go on, too.
//!
//! Absent: several answers at once (lanes wait for each other), and so answers that are steered while
//! they come; binary messages; extensions.

use std::time::Duration;

use crate::base::Instant;
use crate::dialects::{RequestPath, client_codec, response_name};
use crate::gateway::context::{
    Client, Exchange, FrameHead, GatewayError, Lane, MessageFraming, Opcode, RequestContext,
    message_framing, write_frame,
};
use crate::gateway::downstream::head::begin_head;
use crate::gateway::upstream::handshake::Handshake;
use crate::gateway::upstream::response::EVENT_BYTES_MAX;
use crate::http::{HeadLimits, RequestHead, end_head, write_field};
use crate::llm::{ChatRequest, Chunk, Dialect, Edit, Outline, Start, StopReason, quote};
use crate::shard::within;

/// The longest connection, as at OpenAI (its guide on WebSocket mode).
const CONNECTION_MAX: Duration = Duration::from_mins(60);

/// How often a connection that waits looks whether the gateway stops.
const TICK: Duration = Duration::from_secs(1);

/// Close codes of RFC 6455 section 7.4.1.
const NORMAL: u16 = 1000;
const GOING_AWAY: u16 = 1001;
const PROTOCOL_ERROR: u16 = 1002;
const UNSUPPORTED_DATA: u16 = 1003;
const TOO_LARGE: u16 = 1009;

/// Fields of the handshake that do not apply to the requests on it.
const OF_HANDSHAKE: [&str; 8] = [
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-extensions",
    "content-length",
    "content-type",
    "transfer-encoding",
];

/// Lanes of a connection whose last answers are kept, at most; the oldest goes first.
const LANES_MAX: usize = 16;

/// The conversations of a connection, the latest answer last.
#[derive(Default)]
struct Conversations(Vec<SocketConversation>);

impl Conversations {
    /// The items up to the answer of that name.
    fn find(&self, name: &str) -> Option<&[u8]> {
        let known = self.0.iter().find(|it| !name.is_empty() && it.name == name)?;
        Some(&known.items)
    }

    /// Keeps the last answer of a lane. All together hold at most so many bytes, but for the latest.
    fn keep(&mut self, conversation: SocketConversation, bytes_max: usize) {
        self.0.retain(|it| it.lane != conversation.lane);
        self.0.push(conversation);
        let mut bytes: usize = self.0.iter().map(|it| it.items.len()).sum();
        while self.0.len() > 1 && (self.0.len() > LANES_MAX || bytes > bytes_max) {
            bytes -= self.0.remove(0).items.len();
        }
    }
}

/// The conversation up to the last answer of a lane.
struct SocketConversation {
    /// JSON of the lane's name; none for requests without one.
    lane: Option<Vec<u8>>,
    /// The name of that answer.
    name: String,
    /// JSON of its items, with commas between them.
    items: Vec<u8>,
}

/// A client's message that requests a response.
struct CreateMessage {
    /// The body of the request.
    body: Vec<u8>,
    /// JSON of its items, those of the conversation among them.
    items: Vec<u8>,
    /// False where only the conversation is to be kept.
    generates: bool,
}

/// Serves a connection from its handshake to its end.
///
/// `run_message` serves a request whose body came as a message; it gives false if the client is gone.
pub(crate) async fn serve(
    exchange: &mut Exchange<'_>,
    run_message: impl AsyncFn(Exchange<'_>, Vec<u8>) -> bool,
) -> Result<(), GatewayError> {
    // What follows on it are no requests of HTTP.
    exchange.record.client.close = true;
    let handshake = Handshake::read(exchange.head)?;
    let mut out = begin_head(exchange, 101);
    write_field(&mut out, "upgrade", b"websocket");
    write_field(&mut out, "connection", b"upgrade");
    write_field(&mut out, "sec-websocket-accept", handshake.accept().as_bytes());
    end_head(&mut out);
    exchange.client.out = exchange.send(out).await?;
    let deadline = Instant::now().after(CONNECTION_MAX);
    let mut conversations = Conversations::default();
    let code = loop {
        match next_message(exchange, deadline).await? {
            Ok(message) => {
                if !answer(exchange, &mut conversations, message, &run_message).await? {
                    return Ok(());
                }
            }
            Err(code) => break code,
        }
    };
    let mut out = Vec::new();
    write_frame(&mut out, Opcode::Close, &code.to_be_bytes());
    // A client that is gone has no use for it.
    let _ = exchange.send(out).await;
    Ok(())
}

/// The next text; the code to close with where none comes.
async fn next_message(
    exchange: &mut Exchange<'_>,
    deadline: Instant,
) -> Result<Result<Vec<u8>, u16>, GatewayError> {
    let limit = exchange.snapshot.settings.server.body_bytes_max;
    let mut message = Vec::new();
    let mut has_begun = false;
    loop {
        let head = match next_head(exchange, deadline).await {
            Ok(head) => head,
            Err(code) => return Ok(Err(code)),
        };
        if !head.is_masked {
            return Ok(Err(PROTOCOL_ERROR));
        }
        if head.length > limit.saturating_sub(message.len()) as u64 {
            return Ok(Err(TOO_LARGE));
        }
        let payload = match payload(exchange, &head, deadline).await {
            Ok(payload) => payload,
            Err(code) => return Ok(Err(code)),
        };
        match head.opcode {
            Opcode::Text | Opcode::Continuation => {
                if (head.opcode == Opcode::Continuation) != has_begun {
                    return Ok(Err(PROTOCOL_ERROR));
                }
                has_begun = true;
                message.extend_from_slice(&payload);
                if head.is_final {
                    return Ok(Ok(message));
                }
            }
            Opcode::Ping => {
                let mut out = Vec::new();
                write_frame(&mut out, Opcode::Pong, &payload);
                exchange.send(out).await?;
            }
            Opcode::Pong => {}
            Opcode::Close => return Ok(Err(NORMAL)),
            Opcode::Binary | Opcode::Other => return Ok(Err(UNSUPPORTED_DATA)),
        }
    }
}

async fn next_head(exchange: &mut Exchange<'_>, deadline: Instant) -> Result<FrameHead, u16> {
    loop {
        let reader = &mut exchange.client.connection.reader;
        if let Some(head) = FrameHead::read(reader.bytes()) {
            reader.consume(head.bytes);
            return Ok(head);
        }
        fill(exchange, deadline).await?;
    }
}

async fn payload(
    exchange: &mut Exchange<'_>,
    head: &FrameHead,
    deadline: Instant,
) -> Result<Vec<u8>, u16> {
    let length = usize::try_from(head.length).map_err(|_| TOO_LARGE)?;
    let mut payload = Vec::new();
    loop {
        let reader = &mut exchange.client.connection.reader;
        let count = (length - payload.len()).min(reader.bytes().len());
        payload.extend_from_slice(reader.bytes().get(..count).unwrap_or_default());
        reader.consume(count);
        if payload.len() == length {
            head.unmask(&mut payload);
            return Ok(payload);
        }
        fill(exchange, deadline).await?;
    }
}

/// Waits for more of the client; the code to close with where nothing comes.
async fn fill(exchange: &mut Exchange<'_>, deadline: Instant) -> Result<(), u16> {
    loop {
        let tick = Instant::now().after(TICK);
        match within(tick, exchange.client.connection.reader.fill()).await {
            Ok(Ok(count)) if count > 0 => return Ok(()),
            Ok(_) => return Err(NORMAL),
            Err(_) if exchange.worker.is_draining() || Instant::now() >= deadline => {
                return Err(GOING_AWAY);
            }
            Err(_) => {}
        }
    }
}

/// Answers one message; false if the client is gone.
async fn answer(
    exchange: &mut Exchange<'_>,
    conversations: &mut Conversations,
    message: Vec<u8>,
    run_message: &impl AsyncFn(Exchange<'_>, Vec<u8>) -> bool,
) -> Result<bool, GatewayError> {
    let lane = lane_of(&message);
    let create = match read(exchange, conversations, &message) {
        Ok(ClientMessage::Create(create)) => create,
        Ok(ClientMessage::Steer { previous, input }) => {
            let mut out = Vec::new();
            message_framing::write_steer_failed(&previous, &input, &mut out);
            exchange.send(out).await?;
            return Ok(true);
        }
        Err(failure) => {
            let mut out = Vec::new();
            message_framing::write_error(&failure.to_api_error(), &lane, &mut out);
            exchange.send(out).await?;
            return Ok(true);
        }
    };
    if !create.generates {
        return keep_only(exchange, conversations, (create, lane)).await.map(|()| true);
    }
    let head = head_of(exchange, create.body.len())?;
    exchange.client.framing = Some(Box::new(MessageFraming::new(EVENT_BYTES_MAX).on(lane.clone())));
    let context = RequestContext::new(exchange.worker, &head);
    let inner = Exchange::new(&context, &mut *exchange.client, Instant::now());
    let is_there = Box::pin(run_message(inner, create.body)).await;
    let framing = exchange.client.framing.take();
    let Some(mut framing) = framing.filter(|_| is_there) else { return Ok(false) };
    let mut out = Vec::new();
    framing.finish(&mut out);
    if !out.is_empty() {
        exchange.send(out).await?;
    }
    if let Some((id, output)) = last_answer(exchange, &framing) {
        let mut items = create.items;
        add_items(&mut items, output.as_bytes());
        let name = response_name(&id).to_owned();
        let limit = exchange.snapshot.settings.server.body_bytes_max;
        conversations.keep(SocketConversation { lane: lane.0, name, items }, limit);
    }
    Ok(true)
}

/// The id of the answer that was sent, and JSON of the array of its items.
fn last_answer(exchange: &Exchange<'_>, framing: &MessageFraming) -> Option<(String, String)> {
    let read = exchange.worker.scanner().read(framing.last(), |root| {
        let response = root.get("response")?;
        let output = response.get("output")?.json();
        Some((response.text_of("id").to_owned(), output.text().to_owned()))
    });
    read.ok().flatten()
}

/// The lane of a message.
fn lane_of(message: &[u8]) -> Lane {
    let outline = Outline::read(message);
    let named = outline.ok().and_then(|it| it.value(message, "stream_id").map(<[u8]>::to_vec));
    Lane(named.filter(|json| json.starts_with(b"\"")))
}

/// A message of the client.
enum ClientMessage {
    Create(CreateMessage),
    /// Input for the answer that is being made: its JSON, and the answer's id.
    Steer {
        previous: String,
        input: Vec<u8>,
    },
}

/// Takes a message apart.
fn read(
    exchange: &Exchange<'_>,
    conversations: &Conversations,
    message: &[u8],
) -> Result<ClientMessage, GatewayError> {
    let outline = Outline::read(message).map_err(GatewayError::Json)?;
    let text = |key: &str| {
        let json = outline.value(message, key)?;
        serde_json::from_slice::<String>(json).ok()
    };
    let previous = text("previous_response_id").unwrap_or_default();
    match text("type").as_deref() {
        Some("response.create") => {}
        Some("response.steer") => {
            let input = outline.value(message, "input").unwrap_or(b"[]").to_vec();
            return Ok(ClientMessage::Steer { previous, input });
        }
        _ => {
            let expected = "expected a message of the type `response.create`";
            return Err(GatewayError::Invalid(expected.into()));
        }
    }
    let known = conversations.find(response_name(&previous));
    let is_known = known.is_some();
    let mut items = known.unwrap_or_default().to_vec();
    match text("input") {
        Some(text) => {
            let message = [b"[{\"role\":\"user\",\"content\":", &*quote(&text), b"}]"].concat();
            add_items(&mut items, &message);
        }
        None => add_items(&mut items, outline.value(message, "input").unwrap_or(b"[]")),
    }
    let input = [b"[", &*items, b"]"].concat();
    let mut edits = vec![
        Edit::Remove { key: "type" },
        Edit::Remove { key: "generate" },
        Edit::Remove { key: "stream_id" },
        Edit::Set { key: "stream", json: b"true" },
    ];
    if is_known {
        edits.push(Edit::Remove { key: "previous_response_id" });
        edits.push(Edit::Set { key: "input", json: &input });
    }
    let mut body = Vec::with_capacity(message.len() + items.len());
    outline.splice(message, &edits, &mut body);
    let limit = exchange.snapshot.settings.server.body_bytes_max;
    if body.len() > limit {
        return Err(GatewayError::BodyTooLarge { limit: limit as u64 });
    }
    let generates = outline.value(message, "generate") != Some(b"false");
    Ok(ClientMessage::Create(CreateMessage { body, items, generates }))
}

/// Appends the elements of a JSON array.
fn add_items(items: &mut Vec<u8>, array: &[u8]) {
    let inner = array.trim_ascii().strip_prefix(b"[").and_then(|it| it.strip_suffix(b"]"));
    let inner = inner.unwrap_or_default().trim_ascii();
    if !items.is_empty() && !inner.is_empty() {
        items.push(b',');
    }
    items.extend_from_slice(inner);
}

/// Answers a request that only prepares the next: with an empty answer.
async fn keep_only(
    exchange: &mut Exchange<'_>,
    conversations: &mut Conversations,
    (create, lane): (CreateMessage, Lane),
) -> Result<(), GatewayError> {
    let codec = client_codec(Dialect::OpenaiResponses);
    let read = translate_body(exchange, &create.body)?;
    let id = format!("resp_{}", exchange.worker.next_id());
    let mut encoder = codec.stream_encoder(&read, crate::base::unix_now().as_secs());
    let start = Start { id: id.clone(), model: read.model.clone(), ..Start::default() };
    let stop = Chunk::Finish { choice: 0, reason: StopReason::Stop };
    let mut events = Vec::new();
    for chunk in [Chunk::Start(start), stop, Chunk::Done] {
        encoder.push(&chunk, &mut events);
    }
    let mut framing = MessageFraming::of_events(EVENT_BYTES_MAX).on(lane.clone());
    let mut out = Vec::new();
    framing.push(&events, &mut out);
    exchange.send(out).await?;
    let name = response_name(&id).to_owned();
    let limit = exchange.snapshot.settings.server.body_bytes_max;
    conversations.keep(SocketConversation { lane: lane.0, name, items: create.items }, limit);
    Ok(())
}

fn translate_body(exchange: &Exchange<'_>, body: &[u8]) -> Result<ChatRequest, GatewayError> {
    let codec = client_codec(Dialect::OpenaiResponses);
    let mut scanner = exchange.worker.scanner();
    let read = scanner.read(body, |root| codec.read_request(root, &RequestPath::default()));
    read.map_err(GatewayError::Json)?.map_err(GatewayError::Malformed)
}

/// The head of a request on this connection, with the fields of the handshake that describe its client.
fn head_of(exchange: &Exchange<'_>, length: usize) -> Result<RequestHead, GatewayError> {
    let mut bytes = b"POST /v1/responses".to_vec();
    if let Some(query) = exchange.head.query() {
        bytes.push(b'?');
        bytes.extend_from_slice(query.as_bytes());
    }
    bytes.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in exchange.head.fields() {
        if !OF_HANDSHAKE.contains(&name) {
            write_field(&mut bytes, name, value);
        }
    }
    write_field(&mut bytes, "content-type", b"application/json");
    write_field(&mut bytes, "content-length", length.to_string().as_bytes());
    end_head(&mut bytes);
    let mut head = RequestHead::default();
    head.parse(&bytes, &HeadLimits::default()).map_err(GatewayError::Head)?;
    Ok(head)
}

impl Client {
    /// Appends answers to the pings at hand: a client that waits for one gives up on a long answer.
    pub(crate) fn answer_pings(&mut self, out: &mut Vec<u8>) {
        loop {
            let reader = &mut self.connection.reader;
            let Some(head) = FrameHead::read(reader.bytes()) else { return };
            let length = usize::try_from(head.length).unwrap_or(usize::MAX);
            let end = head.bytes.saturating_add(length);
            let Some(payload) = reader.bytes().get(head.bytes..end) else { return };
            if head.opcode != Opcode::Ping {
                return;
            }
            let mut payload = payload.to_vec();
            head.unmask(&mut payload);
            write_frame(out, Opcode::Pong, &payload);
            reader.consume(end);
        }
    }
}
