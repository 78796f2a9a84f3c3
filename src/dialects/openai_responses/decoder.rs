//! A provider's stream.
//!
//! Events at the end of a part, an item or the response repeat its content, which fills what the deltas
//! left out: some providers send arguments, and others complete responses, only there. Of what was
//! emitted, only the length is kept. A part is closed when the next part of its item begins, or with
//! its item, since the signature of reasoning comes last.
//!
//! Long because one state machine reads all events of the dialect.

use std::collections::BTreeMap;

use super::answer::{created, stop_reason};
use super::{encrypted_content, identity, output};
use crate::dialects::codec::{StreamDecodeError, StreamDecoder};
use crate::dialects::embedded_error::error_status;
use crate::dialects::openai_chat::{arguments, read_error, tokens};
use crate::dialects::openai_tools::{CLOSED, OPENED, escaped};
use crate::llm::{ApiError, Chunk, Content, Delta, Node, Reasoning, Scanner, Start, Text, Usage};

/// Maximum number of items; others are dropped. Responses have a handful.
const ITEMS_MAX: u64 = 4096;

/// The choice, of which this dialect has one.
const CHOICE: u32 = 0;

/// The state of one stream.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    has_begun: bool,
    has_ended: bool,
    /// Number of parts opened so far.
    parts: u32,
    /// By `output_index`.
    items: BTreeMap<u64, Item>,
    /// Index of the item of the last event.
    latest: u64,
    /// Ids and parts of the calls, for signatures that follow them.
    calls: Vec<(String, u32)>,
}

/// State of one item.
#[derive(Debug, Default)]
struct Item {
    /// Its own id, if it is reasoning.
    id: Option<String>,
    /// The open text.
    text_part: Option<OpenText>,
    /// Number of parts of its content and its summary that were opened.
    contents: u64,
    summaries: u64,
    call: Option<Call>,
    is_done: bool,
}

/// State of one call.
#[derive(Clone, Copy, Debug)]
struct Call {
    part: u32,
    /// Bytes of its arguments, or of a custom tool's input, that were emitted.
    emitted: usize,
    is_custom: bool,
}

/// An open text, refusal or reasoning part.
#[derive(Clone, Copy, Debug)]
struct OpenText {
    place: TextLocation,
    part: u32,
    /// Number of bytes, citations and tokens emitted so far.
    emitted: usize,
    citations: usize,
    has_tokens: bool,
}

/// The location of a text in its item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextLocation {
    Content(u64),
    Summary(u64),
}

/// The kind of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Refusal,
    Thought,
}

impl StreamDecoder for Decoder {
    fn event(
        &mut self,
        name: Option<&str>,
        data: &[u8],
        scanner: &mut Scanner,
        out: &mut Vec<Chunk>,
    ) -> Result<(), StreamDecodeError> {
        // Some imitators end their streams as chat completions do.
        if self.has_ended || data.trim_ascii() == b"[DONE]" {
            return Ok(());
        }
        scanner.read(data, |root| self.take(name, root, out)).map_err(|_| StreamDecodeError)
    }

    fn finish(&mut self, _: &mut Vec<Chunk>) {
        // Only the event with the whole response completes it.
    }
}

impl Decoder {
    fn take(&mut self, name: Option<&str>, root: Node<'_>, out: &mut Vec<Chunk>) {
        let kind = match root.text_of("type") {
            "" => name.unwrap_or_default(),
            kind => kind,
        };
        match kind.strip_prefix("response.").unwrap_or(kind) {
            "created" | "in_progress" | "queued" => self.begin(root.get("response"), out),
            "completed" | "incomplete" => self.end(root, out),
            "failed" | "cancelled" => self.fail(root.get("response").unwrap_or(root), out),
            "error" => self.fail(root, out),
            "keepalive" => out.push(Chunk::Ping),
            "" if root.get("error").is_some() => self.fail(root, out),
            kind => self.take_item_event(kind, root, out),
        }
    }

    fn begin(&mut self, response: Option<Node<'_>>, out: &mut Vec<Chunk>) {
        if std::mem::replace(&mut self.has_begun, true) {
            return;
        }
        let text = |key: &str| response.map(|it| it.text_of(key)).unwrap_or_default();
        let tier = response.and_then(|it| it.get("service_tier")).and_then(Node::text);
        out.push(Chunk::Start(Start {
            id: identity::answer_id(text("id")).to_owned(),
            model: text("model").to_owned(),
            created: response.and_then(created),
            service_tier: tier.map(str::to_owned),
            system_fingerprint: None,
        }));
    }

    /// Reads an event about one item.
    fn take_item_event(&mut self, kind: &str, root: Node<'_>, out: &mut Vec<Chunk>) {
        let index = root.get("output_index").and_then(Node::u64).unwrap_or(self.latest);
        if index >= ITEMS_MAX {
            return;
        }
        let content =
            TextLocation::Content(root.get("content_index").and_then(Node::u64).unwrap_or(0));
        let summary =
            TextLocation::Summary(root.get("summary_index").and_then(Node::u64).unwrap_or(0));
        let text_part = match kind {
            "output_text.delta" => (content, Kind::Text, "delta"),
            "output_text.done" => (content, Kind::Text, "text"),
            "refusal.delta" => (content, Kind::Refusal, "delta"),
            "refusal.done" => (content, Kind::Refusal, "refusal"),
            "reasoning_text.delta" => (content, Kind::Thought, "delta"),
            "reasoning_text.done" => (content, Kind::Thought, "text"),
            "reasoning_summary_text.delta" => (summary, Kind::Thought, "delta"),
            "reasoning_summary_text.done" => (summary, Kind::Thought, "text"),
            _ => {
                self.take_border(kind, index, root, content, out);
                return;
            }
        };
        let (place, kind, key) = text_part;
        self.begin(None, out);
        self.latest = index;
        let text = root.text_of(key);
        if key == "delta" {
            if let Some(text_part) = self.text_part(index, place, kind, text.is_empty(), out) {
                text_part.grow(text, out);
                text_part.tokens(root, out);
            }
        } else if let Some(text_part) = self.text_part(index, place, kind, text.is_empty(), out) {
            text_part.fill_up(text, out);
            text_part.tokens(root, out);
        }
    }

    /// Reads an event that begins or ends something, or concerns a call.
    fn take_border(
        &mut self,
        kind: &str,
        index: u64,
        root: Node<'_>,
        place: TextLocation,
        out: &mut Vec<Chunk>,
    ) {
        match kind {
            "output_item.added" | "output_item.done" => {
                let Some(item) = root.get("item") else { return };
                self.begin(None, out);
                self.latest = index;
                if kind == "output_item.added" {
                    self.open_item(index, item, out);
                } else {
                    self.finish_item(index, item, out);
                }
            }
            "content_part.added" | "content_part.done" => {
                self.begin(None, out);
                self.latest = index;
                if let Some(part) = root.get("part") {
                    self.fill_up_content(index, place, part, out);
                }
            }
            "output_text.annotation.added" => {
                let text_part = self.text_part(index, place, Kind::Text, false, out);
                if let Some((text_part, annotation)) = text_part.zip(root.get("annotation")) {
                    text_part.cite(annotation, out);
                }
            }
            "function_call_arguments.delta" | "custom_tool_call_input.delta" => {
                self.grow_call(index, root.text_of("delta"), out);
            }
            "function_call_arguments.done" | "custom_tool_call_input.done" => {
                self.fill_up_call(index, root, out);
            }
            // Progress of the vendor's own tools, and unknown events.
            _ => {}
        }
    }

    fn open_item(&mut self, index: u64, item: Node<'_>, out: &mut Vec<Chunk>) {
        if self.items.contains_key(&index) {
            return;
        }
        let mut known = Item::default();
        match item.text_of("type") {
            kind @ ("function_call" | "custom_tool_call") => {
                let call = output::call(item);
                let part = self.parts;
                self.parts += 1;
                self.calls.push((call.id.clone(), part));
                let is_custom = kind == "custom_tool_call";
                known.call = Some(Call { part, emitted: 0, is_custom });
                out.push(Chunk::BlockStart {
                    choice: CHOICE,
                    part,
                    content: Content::ToolCall(call),
                });
                if is_custom {
                    out.push(grown(part, OPENED));
                }
            }
            "reasoning" => known.id = output::vendor_id(item).map(str::to_owned),
            _ => {}
        }
        self.items.insert(index, known);
    }

    /// The text at `place`, opened if necessary. None if it has ended, or if it is empty and not open.
    fn text_part(
        &mut self,
        index: u64,
        place: TextLocation,
        kind: Kind,
        is_empty: bool,
        out: &mut Vec<Chunk>,
    ) -> Option<&mut OpenText> {
        let item = self.items.entry(index).or_default();
        let is_open = item.text_part.is_some_and(|text_part| text_part.place == place);
        if is_open {
            return item.text_part.as_mut();
        }
        let (next, reached) = match place {
            TextLocation::Content(at) => (at, &mut item.contents),
            TextLocation::Summary(at) => (at, &mut item.summaries),
        };
        let is_reasoning = kind == Kind::Thought;
        // Reasoning without text is emitted by its signature alone.
        if item.is_done || next < *reached || (is_reasoning && is_empty) {
            return None;
        }
        *reached = next.saturating_add(1);
        close(&mut item.text_part, out);
        let part = self.parts;
        self.parts += 1;
        let content = match kind {
            Kind::Text => Content::Text(Text::default()),
            Kind::Refusal => Content::Refusal(String::new()),
            Kind::Thought => {
                let id = item.id.clone();
                Content::Reasoning(Reasoning { id, ..Reasoning::default() })
            }
        };
        out.push(Chunk::BlockStart { choice: CHOICE, part, content });
        let text_part = OpenText { place, part, emitted: 0, citations: 0, has_tokens: false };
        Some(item.text_part.insert(text_part))
    }

    /// Reads a complete part of a message or text of reasoning, and emits the rest of it.
    fn fill_up_content(
        &mut self,
        index: u64,
        place: TextLocation,
        part: Node<'_>,
        out: &mut Vec<Chunk>,
    ) {
        let (kind, key) = match part.text_of("type") {
            "refusal" => (Kind::Refusal, "refusal"),
            "reasoning_text" | "summary_text" => (Kind::Thought, "text"),
            "output_text" | "text" => (Kind::Text, "text"),
            _ => return,
        };
        let text = part.text_of(key);
        if let Some(text_part) = self.text_part(index, place, kind, text.is_empty(), out) {
            text_part.fill_up(text, out);
            text_part.tokens(part, out);
            let annotations = part.get("annotations").into_iter().flat_map(Node::items);
            for annotation in annotations.skip(text_part.citations) {
                text_part.cite(annotation, out);
            }
        }
    }

    fn grow_call(&mut self, index: u64, piece: &str, out: &mut Vec<Chunk>) {
        self.latest = index;
        let call = self.items.get_mut(&index).and_then(|item| item.call.as_mut());
        if let Some(call) = call.filter(|_| !piece.is_empty()) {
            call.emitted += piece.len();
            if call.is_custom {
                out.push(grown(call.part, &escaped(piece)));
            } else {
                out.push(grown(call.part, piece));
            }
        }
    }

    /// Reads the complete arguments or input of a call, and emits the rest.
    fn fill_up_call(&mut self, index: u64, value: Node<'_>, out: &mut Vec<Chunk>) {
        let Some(call) = self.items.get(&index).and_then(|item| item.call) else { return };
        let whole =
            if call.is_custom { value.text_of("input").to_owned() } else { arguments(value) };
        self.grow_call(index, whole.get(call.emitted..).unwrap_or_default(), out);
    }

    /// Reads a complete item, emits the rest of it, and closes it.
    fn finish_item(&mut self, index: u64, item: Node<'_>, out: &mut Vec<Chunk>) {
        self.open_item(index, item, out);
        if self.items.get(&index).is_none_or(|item| item.is_done) {
            return;
        }
        match item.text_of("type") {
            "message" => self.fill_up_parts(index, item, "content", TextLocation::Content, out),
            "function_call" | "custom_tool_call" => self.fill_up_call(index, item, out),
            "reasoning" => {
                self.fill_up_parts(index, item, "summary", TextLocation::Summary, out);
                self.fill_up_parts(index, item, "content", TextLocation::Content, out);
                self.prove(index, item, out);
            }
            _ => {
                let content = output::image_part(item).unwrap_or_else(|| output::foreign(item));
                self.whole_part(content, out);
            }
        }
        self.close_item(index, out);
    }

    fn fill_up_parts(
        &mut self,
        index: u64,
        item: Node<'_>,
        key: &str,
        place: fn(u64) -> TextLocation,
        out: &mut Vec<Chunk>,
    ) {
        let parts = item.get(key).into_iter().flat_map(Node::items);
        for (at, part) in (0..ITEMS_MAX).zip(parts) {
            self.fill_up_content(index, place(at), part, out);
        }
    }

    /// Reads the signature of reasoning, with the rest of its text.
    fn prove(&mut self, index: u64, item: Node<'_>, out: &mut Vec<Chunk>) {
        let Some(sealed) = item.get("encrypted_content").and_then(Node::text) else { return };
        let text_part = self.items.get(&index).and_then(|item| item.text_part);
        let id = output::vendor_id(item);
        let grow = |part, signature| {
            let delta = Delta::Signature(signature);
            Chunk::BlockDelta { choice: CHOICE, part, delta }
        };
        let reasoning = Reasoning { id: id.map(str::to_owned), ..Reasoning::default() };
        match (encrypted_content::read(sealed, text_part.is_some(), id), text_part) {
            (encrypted_content::EncryptedContent::Signature(signature), Some(text_part)) => {
                out.push(grow(text_part.part, signature));
            }
            (encrypted_content::EncryptedContent::Signature(signature), None) => {
                let reasoning = Reasoning { signature: Some(signature), ..reasoning };
                self.whole_part(Content::Reasoning(reasoning), out);
            }
            (encrypted_content::EncryptedContent::Sealed(sealed), _) => {
                let reasoning = Reasoning { sealed: Some(sealed), ..reasoning };
                self.whole_part(Content::Reasoning(reasoning), out);
            }
            (encrypted_content::EncryptedContent::OfCall(id, signature), _) => {
                let call = self.calls.iter().find(|(known, _)| *known == id);
                out.extend(call.map(|(_, part)| grow(*part, signature)));
            }
        }
    }

    fn whole_part(&mut self, content: Content, out: &mut Vec<Chunk>) {
        let part = self.parts;
        self.parts += 1;
        out.push(Chunk::BlockStart { choice: CHOICE, part, content });
        out.push(Chunk::BlockStop { choice: CHOICE, part });
    }

    fn close_item(&mut self, index: u64, out: &mut Vec<Chunk>) {
        let Some(item) = self.items.get_mut(&index) else { return };
        if std::mem::replace(&mut item.is_done, true) {
            return;
        }
        close(&mut item.text_part, out);
        if let Some(Call { part, is_custom, .. }) = item.call {
            if is_custom {
                out.push(grown(part, CLOSED));
            }
            out.push(Chunk::BlockStop { choice: CHOICE, part });
        }
    }

    fn end(&mut self, root: Node<'_>, out: &mut Vec<Chunk>) {
        let response = root.get("response").unwrap_or(root);
        self.begin(Some(response), out);
        let is_unknown = self.items.is_empty();
        let items = response.get("output").into_iter().flat_map(Node::items);
        for (index, item) in (0..ITEMS_MAX).zip(items) {
            // The indexes of the stream and of the whole response differ at some providers.
            let is_same = |known: &Item| known.call.is_some() == is_call(item);
            if is_unknown || self.items.get(&index).is_some_and(is_same) {
                self.finish_item(index, item, out);
            }
        }
        let open: Vec<u64> = self.items.keys().copied().collect();
        open.into_iter().for_each(|index| self.close_item(index, out));
        let reason = stop_reason(response, !self.calls.is_empty());
        out.push(Chunk::Finish { choice: CHOICE, reason });
        let usage = response.get("usage").and_then(Usage::read);
        out.extend(usage.map(Chunk::Usage));
        out.push(Chunk::Done);
        self.has_ended = true;
    }

    fn fail(&mut self, value: Node<'_>, out: &mut Vec<Chunk>) {
        out.push(Chunk::Error(error(value)));
        self.has_ended = true;
    }
}

fn is_call(item: Node<'_>) -> bool {
    matches!(item.text_of("type"), "function_call" | "custom_tool_call")
}

fn grown(part: u32, piece: &str) -> Chunk {
    Chunk::BlockDelta { choice: CHOICE, part, delta: Delta::Arguments(piece.to_owned()) }
}

/// The error of an event: in an object, or flat as in the reference, where the type is that of the
/// event.
fn error(value: Node<'_>) -> ApiError {
    let mut error = read_error(error_status(value), Some(value));
    let is_flat = value.get("error").is_none();
    if is_flat {
        error.kind.clear();
    }
    error
}

fn close(text_part: &mut Option<OpenText>, out: &mut Vec<Chunk>) {
    if let Some(text_part) = text_part.take() {
        out.push(Chunk::BlockStop { choice: CHOICE, part: text_part.part });
    }
}

impl OpenText {
    fn push(&self, delta: Delta, out: &mut Vec<Chunk>) {
        out.push(Chunk::BlockDelta { choice: CHOICE, part: self.part, delta });
    }

    fn grow(&mut self, text: &str, out: &mut Vec<Chunk>) {
        if !text.is_empty() {
            self.emitted += text.len();
            self.push(Delta::Text(text.to_owned()), out);
        }
    }

    /// Emits the rest of `whole`.
    fn fill_up(&mut self, whole: &str, out: &mut Vec<Chunk>) {
        self.grow(whole.get(self.emitted..).unwrap_or_default(), out);
    }

    fn cite(&mut self, annotation: Node<'_>, out: &mut Vec<Chunk>) {
        self.citations += 1;
        self.push(Delta::Citation(output::citation(annotation)), out);
    }

    /// The log probabilities of an event. Those sent with deltas are repeated at the end.
    fn tokens(&mut self, event: Node<'_>, out: &mut Vec<Chunk>) {
        let is_delta = event.get("delta").is_some();
        let tokens = event.get("logprobs").map(tokens).unwrap_or_default();
        if !tokens.is_empty() && (is_delta || !self.has_tokens) {
            self.has_tokens = true;
            out.push(Chunk::Logprobs { choice: CHOICE, tokens });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{Answer, ChunkAssembler, StopReason};

    fn decode(events: &[&str]) -> Vec<Chunk> {
        let mut decoder = Decoder::default();
        let (mut scanner, mut out) = (Scanner::default(), Vec::new());
        for event in events {
            decoder.event(None, event.as_bytes(), &mut scanner, &mut out).expect("JSON");
        }
        decoder.finish(&mut out);
        out
    }

    fn answer(events: &[&str]) -> Answer {
        let mut assembler = ChunkAssembler::default();
        decode(events).into_iter().for_each(|chunk| assembler.push(chunk));
        assembler.finish().expect("no error").expect("a complete stream")
    }

    fn contents(events: &[&str]) -> Vec<Content> {
        let [choice] = answer(events).choices.try_into().expect("one choice");
        choice.parts.into_iter().map(|part| part.content).collect()
    }

    fn error_of(events: &[&str]) -> ApiError {
        let chunks = decode(events);
        match chunks.last() {
            Some(Chunk::Error(error)) => error.clone(),
            other => panic!("{other:?}"),
        }
    }

    const COMPLETED: &str =
        r#"{"type":"response.completed","response":{"status":"completed","output":[]}}"#;
    const CALL_ADDED: &str = r#"{"type":"response.output_item.added","output_index":0,"item":{
        "type":"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":""}}"#;

    #[test]
    fn arguments_may_arrive_at_any_event() {
        let delta = |piece: &str| {
            format!(
                r#"{{"type":"response.function_call_arguments.delta","output_index":0,"delta":"{piece}"}}"#
            )
        };
        let (open, close) = (delta("{\\\"x\\\":"), delta("1}"));
        let done = r#"{"type":"response.function_call_arguments.done","output_index":0,
            "arguments":"{\"x\":1}"}"#;
        let item_done = r#"{"type":"response.output_item.done","output_index":0,"item":{
            "type":"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":"{\"x\":1}"}}"#;
        let end = r#"{"type":"response.completed","response":{"status":"completed","output":[{
            "type":"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":"{\"x\":1}"}]}}"#;
        for events in [
            vec![CALL_ADDED, &open, &close, done, item_done, end],
            vec![CALL_ADDED, &open, &close, COMPLETED],
            vec![CALL_ADDED, &open, done, COMPLETED],
            vec![CALL_ADDED, done, item_done, COMPLETED],
            vec![CALL_ADDED, &open, item_done, end],
            vec![CALL_ADDED, item_done, COMPLETED],
            vec![item_done, COMPLETED],
            vec![CALL_ADDED, end],
            vec![end],
        ] {
            let answer = answer(&events);
            assert_eq!(answer.choices[0].stop, StopReason::ToolCalls, "{events:?}");
            let [part] = answer.choices[0].parts.as_slice() else { panic!("{events:?}") };
            let Content::ToolCall(call) = &part.content else { panic!("{events:?}") };
            let found = (call.id.as_str(), call.name.as_str(), call.arguments.as_str());
            assert_eq!(found, ("c1", "f", r#"{"x":1}"#), "{events:?}");
        }
    }

    #[test]
    fn text_may_arrive_at_any_event() {
        let delta = r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"Hé"}"#;
        let done = r#"{"type":"response.output_text.done","output_index":0,"content_index":0,"text":"Héllo"}"#;
        let part_done = r#"{"type":"response.content_part.done","output_index":0,"content_index":0,
            "part":{"type":"output_text","text":"Héllo","annotations":[]}}"#;
        let item_done = r#"{"type":"response.output_item.done","output_index":0,"item":{
            "type":"message","content":[{"type":"output_text","text":"Héllo"}]}}"#;
        let end = r#"{"type":"response.completed","response":{"output":[{
            "type":"message","content":[{"type":"output_text","text":"Héllo"}]}]}}"#;
        for events in [
            vec![delta, done, part_done, item_done, end],
            vec![delta, done, COMPLETED],
            vec![delta, part_done, COMPLETED],
            vec![delta, item_done, COMPLETED],
            vec![item_done, item_done, end],
            vec![delta, end],
            vec![end],
        ] {
            let text = Text { text: "Héllo".to_owned(), citations: Vec::new() };
            assert_eq!(contents(&events), [Content::Text(text)], "{events:?}");
        }
    }

    #[test]
    fn reasoning_content_and_summary_are_decoded() {
        let plain = |text: &str| {
            Content::Reasoning(Reasoning { text: text.to_owned(), ..Reasoning::default() })
        };
        let found = contents(&[
            r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning"}}"#,
            r#"{"type":"response.reasoning_text.delta","output_index":0,"content_index":0,"delta":"a"}"#,
            r#"{"type":"response.reasoning_text.done","output_index":0,"content_index":0,"text":"ab"}"#,
            r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning",
            "summary":[],"content":[{"type":"reasoning_text","text":"ab"}]}}"#,
            r#"{"type":"response.reasoning_summary_text.delta","output_index":1,"summary_index":0,"delta":"c"}"#,
            r#"{"type":"response.reasoning_summary_text.delta","output_index":1,"summary_index":1,"delta":"d"}"#,
            COMPLETED,
        ]);
        assert_eq!(found, [plain("ab"), plain("c"), plain("d")]);
    }

    #[test]
    fn citations_and_logprobs_are_emitted_once() {
        let annotation = r#"{"type":"url_citation","url":"https://a.example","title":"A","start_index":0,"end_index":2}"#;
        let added = format!(
            r#"{{"type":"response.output_text.annotation.added","output_index":0,"content_index":0,"annotation":{annotation}}}"#
        );
        let part_done = format!(
            r#"{{"type":"response.content_part.done","output_index":0,"content_index":0,"part":{{
            "type":"output_text","text":"Hi","annotations":[{annotation}],
            "logprobs":[{{"token":"Hi","logprob":-0.5}}]}}}}"#
        );
        let delta = r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,
            "delta":"Hi","logprobs":[{"token":"Hi","logprob":-0.5}]}"#;
        for events in [vec![delta, &added, &part_done, COMPLETED], vec![&part_done, COMPLETED]] {
            let answer = answer(&events);
            let Content::Text(text) = &answer.choices[0].parts[0].content else { panic!("text") };
            assert_eq!((text.text.as_str(), text.citations.len()), ("Hi", 1));
            assert_eq!(text.citations[0].url.as_deref(), Some("https://a.example"));
            assert_eq!(answer.choices[0].logprobs.len(), 1);
        }
    }

    #[test]
    fn unknown_events_are_ignored() {
        let chunks = decode(&[
            r#"{"type":"response.web_search_call.searching","output_index":0}"#,
            r#"{"type":"response.novelty","output_index":0,"delta":"x"}"#,
            r#"{"type":"response.function_call_arguments.delta","output_index":3,"delta":"{}"}"#,
            r#"{"type":"response.output_text.delta","output_index":4096,"delta":"x"}"#,
            r#"{"type":"response.output_item.added","output_index":0,"item":null}"#,
            r#"{"type":"response.content_part.added","output_index":0,"part":{"type":"output_hologram"}}"#,
            r#"{"sequence_number":7}"#,
            "[DONE]",
        ]);
        let is_content = |chunk: &Chunk| !matches!(chunk, Chunk::Start(_));
        assert!(!chunks.iter().any(is_content), "{chunks:?}");
        assert_eq!(decode(&[r#"{"type":"keepalive","sequence_number":3}"#]), [Chunk::Ping]);
    }

    #[test]
    fn vendor_items_are_emitted_complete() {
        let found = contents(&[
            r#"{"type":"response.output_item.added","output_index":0,"item":{"type":"web_search_call","id":"ws_1","status":"in_progress"}}"#,
            r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"web_search_call","id":"ws_1","status":"completed"}}"#,
            r#"{"type":"response.output_item.done","output_index":1,"item":{"type":"image_generation_call","id":"ig_1","result":"AAAA"}}"#,
            COMPLETED,
        ]);
        let [Content::Raw(search), Content::Image(_)] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert!(search.json.text().contains("completed"));
    }

    #[test]
    fn errors_inside_streams_are_decoded() {
        for (event, status, code, message) in [
            (
                r#"{"type":"error","sequence_number":2,"code":"rate_limit_exceeded","message":"m","param":null}"#,
                429,
                Some("rate_limit_exceeded"),
                "m",
            ),
            (
                r#"{"type":"error","error":{"type":"server_error","code":null,"message":"m"}}"#,
                500,
                None,
                "m",
            ),
            (
                r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"invalid_prompt","message":"m"}}}"#,
                400,
                Some("invalid_prompt"),
                "m",
            ),
            (r#"{"error":{"message":"m","code":503}}"#, 503, Some("503"), "m"),
            (
                r#"{"type":"response.failed","response":{"error":null}}"#,
                502,
                None,
                "the provider answered with status 502",
            ),
        ] {
            let error = error_of(&[CALL_ADDED, event, COMPLETED]);
            let found = (error.status, error.code.as_deref(), error.message.as_str());
            assert_eq!(found, (status, code, message), "{event}");
            assert_ne!(error.kind, "error", "{event}");
        }
    }

    #[test]
    fn invalid_json_is_rejected() {
        let mut out = Vec::new();
        let result = Decoder::default().event(None, b"{", &mut Scanner::default(), &mut out);
        assert_eq!(result, Err(StreamDecodeError));
    }

    #[test]
    fn event_name_replaces_missing_type() {
        let mut out = Vec::new();
        let data = br#"{"output_index":0,"delta":"x"}"#;
        let name = Some("response.output_text.delta");
        let result = Decoder::default().event(name, data, &mut Scanner::default(), &mut out);
        assert_eq!((result, out.len()), (Ok(()), 3));
    }
}
