//! An answer of the pipeline as messages of a WebSocket: each event of its stream is a text, and what is no
//! stream is one event of the type `error`, or the one that holds a whole answer.

use super::websocket_frame::{Opcode, write_frame};
use crate::http::{EventReader, HeadLimits, Method, ResponseHead};
use crate::llm::{ApiError, Edit, edit_members, write_object};

/// Events that hold the whole answer.
const LAST_EVENTS: [&str; 3] = ["response.completed", "response.incomplete", "response.failed"];

/// Takes the bytes of one answer.
pub(crate) struct MessageFraming {
    part: ResponsePart,
    reader: EventReader,
    /// The data of the event that holds the whole answer.
    last: Vec<u8>,
    lane: Lane,
}

/// Identifies the request that an event belongs to: JSON of their `stream_id`, where they
/// have one.
#[derive(Clone, Default)]
pub(crate) struct Lane(pub Option<Vec<u8>>);

impl Lane {
    /// Appends the frame of an event.
    fn write(&self, event: &[u8], out: &mut Vec<u8>) {
        match &self.0 {
            Some(json) => {
                let event = edit_members(event, &[Edit::Set { key: "stream_id", json }]);
                write_frame(out, Opcode::Text, &event);
            }
            None => write_frame(out, Opcode::Text, event),
        }
    }
}

enum ResponsePart {
    /// In the head, of which so much has come.
    Head(Vec<u8>),
    Events,
    /// In a body that is no stream, under that status.
    Body(u16, Vec<u8>),
}

impl MessageFraming {
    /// For an answer with its head.
    pub(crate) fn new(event_bytes_max: usize) -> Self {
        let reader = EventReader::new(event_bytes_max);
        Self {
            part: ResponsePart::Head(Vec::new()),
            reader,
            last: Vec::new(),
            lane: Lane::default(),
        }
    }

    /// For the requests of that lane.
    pub(crate) fn on(self, lane: Lane) -> Self {
        Self { lane, ..self }
    }

    /// For the events of a stream.
    pub(crate) fn of_events(event_bytes_max: usize) -> Self {
        Self { part: ResponsePart::Events, ..Self::new(event_bytes_max) }
    }

    /// The data of the event that holds the whole answer, if it has come.
    pub(crate) fn last(&self) -> &[u8] {
        &self.last
    }

    /// Takes in the next bytes, and appends the frames that they make.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        match &mut self.part {
            ResponsePart::Head(held) => {
                held.extend_from_slice(bytes);
                let mut head = ResponseHead::default();
                let Ok(Some(taken)) = head.parse(held, Method::Post, &HeadLimits::default()) else {
                    return;
                };
                let rest = held.split_off(taken);
                let is_events =
                    head.get("content-type").is_some_and(|it| it.starts_with(b"text/event-stream"));
                self.part = if head.is_informational() {
                    ResponsePart::Head(Vec::new())
                } else if is_events {
                    ResponsePart::Events
                } else {
                    ResponsePart::Body(head.status(), Vec::new())
                };
                if !rest.is_empty() {
                    self.push(&rest, out);
                }
            }
            ResponsePart::Body(_, body) => body.extend_from_slice(bytes),
            ResponsePart::Events => {
                self.reader.push(bytes);
                // One that is too large has no frame; nothing can follow it.
                while let Ok(Some(event)) = self.reader.next() {
                    if event.data.is_empty() {
                        continue;
                    }
                    if event.name.is_some_and(|name| LAST_EVENTS.contains(&name)) {
                        self.last = event.data.to_vec();
                    }
                    self.lane.write(event.data, out);
                }
            }
        }
    }

    /// Appends what is still missing when the answer has ended.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        let ResponsePart::Body(status, body) = &self.part else { return };
        let body = String::from_utf8_lossy(body);
        let mut event = Vec::new();
        if *status == 200 {
            event = format!("{{\"type\":\"response.completed\",\"response\":{body}}}").into_bytes();
            self.last.clone_from(&event);
        } else {
            let inner = body.trim().strip_prefix('{').unwrap_or("}");
            let comma = if inner.trim() == "}" { "" } else { "," };
            let head = format!("{{\"type\":\"error\",\"status\":{status}{comma}");
            event.extend_from_slice(head.as_bytes());
            event.extend_from_slice(inner.as_bytes());
        }
        self.lane.write(&event, out);
    }
}

/// Appends the event of an error.
pub(crate) fn write_error(error: &ApiError, lane: &Lane, out: &mut Vec<u8>) {
    let mut event = Vec::new();
    write_object(&mut event, |root| {
        root.text("type", "error");
        root.number("status", u64::from(error.status));
        root.object("error", |inner| {
            inner.text("type", &error.kind);
            inner.text("code", error.code.as_deref().unwrap_or("invalid_request"));
            inner.text("message", &error.message);
            match &error.param {
                Some(param) => inner.text("param", param),
                None => inner.null("param"),
            }
        });
    });
    lane.write(&event, out);
}

/// Appends the event that gives input back which was to steer an answer: JSON of it, and the id of that
/// answer.
pub(crate) fn write_steer_failed(previous: &str, input: &[u8], out: &mut Vec<u8>) {
    let mut event = Vec::new();
    write_object(&mut event, |root| {
        root.text("type", "response.steer.failed");
        root.number("sequence_number", 0);
        root.object("error", |error| {
            error.text("type", "invalid_request_error");
            error.text("code", "steering_not_supported");
            error.text(
                "message",
                "answers cannot be steered here; send the input when it is complete",
            );
        });
        root.object("steer", |steer| {
            steer.text("previous_response_id", previous);
            steer.key("input").extend_from_slice(input);
        });
    });
    write_frame(out, Opcode::Text, &event);
}
