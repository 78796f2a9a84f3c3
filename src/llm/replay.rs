//! A stored answer and the streams it came from and goes out as, in OpenAI's chat and completions
//! shapes: [`StreamAccumulator`] makes one answer of a stream's events, [`replay`] makes events of an answer.
//!
//! Only what both forms can say is taken: text in named members of a message. An answer with tool
//! calls, log-probabilities, audio or anything else that is not text is refused, as is one that was
//! filtered, refused or cut off by a limit: better no stored answer than half of one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Choices in one answer, at most.
const CHOICES_MAX: usize = 16;

/// Events of one accumulator answer, at most, in bytes: a token takes about 200 of them on the wire, so
/// that this is some 20,000 tokens.
const ACCUMULATED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The finish reason of a complete answer.
const STOP: &str = "stop";

/// A whole answer, or one event of a stream: the two differ in `object` and in what a choice has.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Answer {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<Value>,
    #[serde(default)]
    object: String,
    #[serde(default)]
    created: Option<Value>,
    #[serde(default)]
    model: Option<Value>,
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    system_fingerprint: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service_tier: Option<Value>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct Choice {
    #[serde(default)]
    index: usize,
    /// Of a whole chat answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<Map<String, Value>>,
    /// Of a chat event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delta: Option<Map<String, Value>>,
    /// Of completions, whole or an event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default)]
    logprobs: Option<Value>,
    #[serde(default)]
    finish_reason: Option<String>,
}

/// True for an absent value, in one of the ways that providers write it.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// True if `members` say text and nothing else; a refusal is no answer.
fn is_text(members: &Map<String, Value>) -> bool {
    members.iter().all(|(name, value)| {
        let refusal = name == "refusal" && value.as_str().is_some_and(|text| !text.is_empty());
        !refusal && (value.is_string() || is_nothing(value))
    })
}

/// True if this is a whole, ordinary answer in text, which may be stored and replayed.
#[must_use]
pub fn is_replayable(answer: &[u8]) -> bool {
    serde_json::from_slice::<Answer>(answer).is_ok_and(|answer| {
        let whole = |choice: &Choice| {
            let has_text = match (&choice.message, &choice.text) {
                (Some(message), None) => {
                    is_text(message) && message.get("content").is_some_and(Value::is_string)
                }
                (None, Some(_)) => true,
                _ => false,
            };
            let no_extras = choice.logprobs.as_ref().is_none_or(is_nothing);
            has_text && no_extras && choice.finish_reason.as_deref() == Some(STOP)
        };
        !answer.choices.is_empty() && answer.choices.iter().all(whole)
    })
}

/// The text of an answer's first choice.
#[must_use]
pub fn answer_text(answer: &[u8]) -> Option<String> {
    let answer: Answer = serde_json::from_slice(answer).ok()?;
    let Choice { message, text, .. } = answer.choices.into_iter().next()?;
    let content = message.and_then(|mut message| message.remove("content"));
    content.and_then(|content| content.as_str().map(str::to_owned)).or(text)
}

/// Makes one answer of the events of a stream.
#[derive(Debug, Default)]
pub struct StreamAccumulator {
    first: Answer,
    choices: BTreeMap<usize, ChoiceAccumulator>,
    /// Of all events so far, about.
    bytes: usize,
    /// Something came that a stored answer cannot say.
    refused: bool,
}

#[derive(Debug, Default)]
struct ChoiceAccumulator {
    /// Text by member, in the order of their first piece.
    texts: Vec<(String, String)>,
    text: Option<String>,
    finish_reason: Option<String>,
}

impl StreamAccumulator {
    /// Takes in the data of one event; `[DONE]` is not for this.
    pub fn push(&mut self, data: &[u8]) {
        self.bytes = self.bytes.saturating_add(data.len());
        self.refused |= self.bytes > ACCUMULATED_BYTES_MAX;
        if self.refused {
            self.choices.clear();
            return;
        }
        match serde_json::from_slice::<Answer>(data) {
            Ok(event) if !event.object.is_empty() => self.take(event),
            _ => self.refused = true,
        }
    }

    fn take(&mut self, mut event: Answer) {
        for choice in std::mem::take(&mut event.choices) {
            self.refused |= !self.take_choice(choice);
        }
        // Some providers send a running total: the last one counts.
        let usage = event.usage.take().filter(|usage| !usage.is_null());
        let usage = usage.or_else(|| self.first.usage.take());
        if self.first.object.is_empty() {
            self.first = event;
        }
        self.first.usage = usage;
    }

    /// False if it holds what cannot be stored.
    fn take_choice(&mut self, choice: Choice) -> bool {
        if self.choices.len() >= CHOICES_MAX && !self.choices.contains_key(&choice.index) {
            return false;
        }
        let accumulator = self.choices.entry(choice.index).or_default();
        if let Some(text) = &choice.text {
            accumulator.text.get_or_insert_default().push_str(text);
        }
        for (name, value) in choice.delta.unwrap_or_default() {
            match value {
                Value::String(piece) => accumulator.append(name, &piece),
                value if is_nothing(&value) => {}
                _ => return false,
            }
        }
        accumulator.finish_reason =
            choice.finish_reason.or_else(|| accumulator.finish_reason.take());
        choice.logprobs.is_none_or(|value| is_nothing(&value))
    }

    /// The answer as JSON; `None` if it must not be stored (see [`is_replayable`]).
    #[must_use]
    pub fn finish(self) -> Option<Vec<u8>> {
        if self.refused {
            return None;
        }
        let choices =
            self.choices.into_iter().map(|(index, accumulator)| accumulator.finish(index));
        let object = self.first.object.strip_suffix(".chunk").unwrap_or(&self.first.object);
        let answer = Answer { object: object.to_owned(), choices: choices.collect(), ..self.first };
        serde_json::to_vec(&answer).ok().filter(|json| is_replayable(json))
    }
}

impl ChoiceAccumulator {
    fn append(&mut self, name: String, piece: &str) {
        let held = self.texts.iter_mut().find(|(held, _)| *held == name);
        match held {
            // A role is sent once; some providers repeat it in every event.
            Some((name, _)) if name == "role" => {}
            Some((_, text)) => text.push_str(piece),
            None => self.texts.push((name, piece.to_owned())),
        }
    }

    fn finish(self, index: usize) -> Choice {
        let Self { texts, text, finish_reason } = self;
        let message = text.is_none().then(|| {
            let mut message = Map::from_iter([("role".to_owned(), json!("assistant"))]);
            message.insert("content".to_owned(), json!(""));
            message.extend(texts.into_iter().map(|(name, text)| (name, Value::String(text))));
            message
        });
        Choice { index, message, text, finish_reason, ..Choice::default() }
    }
}

/// Calls `event` with the data of each event of a stream that holds `answer`, under the id `id`,
/// without the terminator. False if it is no answer that can be replayed; then nothing is called.
pub fn replay(answer: &[u8], id: &str, include_usage: bool, mut event: impl FnMut(&[u8])) -> bool {
    let Ok(mut answer) = serde_json::from_slice::<Answer>(answer) else { return false };
    let is_chat = answer.object == "chat.completion";
    if is_chat {
        answer.object.push_str(".chunk");
    }
    let (choices, usage) = (std::mem::take(&mut answer.choices), answer.usage.take());
    answer.id = Some(Value::String(id.to_owned()));
    let mut send = |choices: Vec<Choice>, usage: Option<Value>| {
        answer.choices = choices;
        answer.usage = usage;
        // Strings and numbers that were read as JSON can be written as JSON.
        event(&serde_json::to_vec(&answer).unwrap_or_default());
    };
    // With usage wanted, OpenAI sends null in every event but the last.
    let no_usage = || include_usage.then_some(Value::Null);
    for choice in choices {
        let Choice { index, message, text, finish_reason, .. } = choice;
        for (name, value) in in_order(message.unwrap_or_default()) {
            let delta = Some(Map::from_iter([(name, value)]));
            send(vec![Choice { index, delta, ..Choice::default() }], no_usage());
        }
        let delta = is_chat.then(Map::new);
        let last = Choice { index, delta, text, finish_reason, ..Choice::default() };
        send(vec![last], no_usage());
    }
    if include_usage {
        send(Vec::new(), Some(usage.unwrap_or(Value::Null)));
    }
    true
}

/// The members of a message that say something, the role first, as a stream has it.
fn in_order(message: Map<String, Value>) -> impl Iterator<Item = (String, Value)> {
    let content = message.into_iter().filter(|(_, value)| value.is_string());
    let (role, other): (Vec<_>, Vec<_>) = content.partition(|(name, _)| name == "role");
    role.into_iter().chain(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(events: &[Value]) -> Option<Value> {
        let mut fold = StreamAccumulator::default();
        events.iter().for_each(|event| fold.push(event.to_string().as_bytes()));
        fold.finish().map(|json| serde_json::from_slice(&json).expect("JSON"))
    }

    fn chunk(choices: Value) -> Value {
        json!({"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m",
               "system_fingerprint": "f", "choices": choices})
    }

    fn answer(message: Value, finish_reason: &str) -> Value {
        json!({"id": "c1", "object": "chat.completion", "created": 7, "model": "m",
               "system_fingerprint": "f",
               "choices": [{"index": 0, "message": message, "logprobs": null,
                            "finish_reason": finish_reason}],
               "usage": {"total_tokens": 5}})
    }

    #[test]
    fn stream_and_response_round_trip() {
        let events = [
            chunk(
                json!([{"index": 0, "delta": {"role": "assistant", "content": "", "refusal": null}}]),
            ),
            chunk(json!([{"index": 0, "delta": {"reasoning": "hm"}}])),
            chunk(json!([{"index": 0, "delta": {"content": "Hé"}, "logprobs": null}])),
            chunk(json!([{"index": 0, "delta": {"content": "llo", "tool_calls": []}}])),
            chunk(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}])),
            {
                let mut last = chunk(json!([]));
                last["usage"] = json!({"total_tokens": 5});
                last
            },
        ];
        let message = json!({"role": "assistant", "content": "Héllo", "reasoning": "hm"});
        let whole = fold(&events).expect("a whole answer");
        assert_eq!(whole, answer(message, "stop"));

        let mut again = Vec::new();
        let json = whole.to_string();
        assert!(replay(json.as_bytes(), "new", true, |data| {
            again.push(serde_json::from_slice::<Value>(data).expect("JSON"));
        }));
        assert!(again.iter().all(|event| event["id"] == "new"));
        assert_eq!(again[0]["choices"][0]["delta"], json!({"role": "assistant"}));
        assert_eq!(again.last().expect("events")["usage"], json!({"total_tokens": 5}));
        let mut accumulator = fold(&again).expect("a whole answer");
        accumulator["id"] = json!("c1");
        assert_eq!(accumulator, whole);
    }

    #[test]
    fn completions_round_trip() {
        let event = |text: &str, finish: Value| {
            json!({"id": "x", "object": "text_completion", "created": 1, "model": "m",
                   "choices": [{"index": 0, "text": text, "finish_reason": finish}]})
        };
        let whole = fold(&[event("a", Value::Null), event("b", json!("stop"))]).expect("whole");
        assert_eq!(whole["choices"][0]["text"], "ab");
        assert_eq!(whole["object"], "text_completion");
        let mut texts = String::new();
        assert!(replay(whole.to_string().as_bytes(), "y", false, |data| {
            let event: Value = serde_json::from_slice(data).expect("JSON");
            assert!(event.get("usage").is_none());
            texts += event["choices"][0]["text"].as_str().expect("text");
        }));
        assert_eq!(texts, "ab");
    }

    #[test]
    fn only_complete_text_is_replayable() {
        let text = json!({"role": "assistant", "content": "x"});
        assert!(is_replayable(answer(text.clone(), "stop").to_string().as_bytes()));
        for (message, finish) in [
            (text.clone(), "length"),
            (text, "content_filter"),
            (json!({"role": "assistant", "content": null, "refusal": "no"}), "stop"),
            (json!({"role": "assistant", "content": "x", "refusal": "no"}), "stop"),
            (json!({"role": "assistant", "content": null, "tool_calls": [{}]}), "tool_calls"),
            (json!({"role": "assistant", "content": "x", "tool_calls": [{}]}), "stop"),
            (json!({"role": "assistant", "content": "x", "annotations": [{}]}), "stop"),
            (json!({"role": "assistant", "content": "x", "audio": {"id": "a"}}), "stop"),
        ] {
            let json = answer(message, finish);
            assert!(!is_replayable(json.to_string().as_bytes()), "{json}");
        }
        for json in ["", "{}", "[]", r#"{"choices":[]}"#, r#"{"error":{"message":"x"}}"#] {
            assert!(!is_replayable(json.as_bytes()), "{json}");
        }
    }

    #[test]
    fn unstorable_streams_are_rejected() {
        let text = chunk(json!([{"index": 0, "delta": {"content": "x"}}]));
        let stop = chunk(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]));
        assert!(fold(&[text.clone(), stop.clone()]).is_some());
        for events in [
            vec![],
            vec![text.clone()],
            vec![text.clone(), json!({"error": {"message": "overloaded"}}), stop.clone()],
            vec![
                chunk(json!([{"index": 0, "delta": {"tool_calls": [{"index": 0}]}}])),
                stop.clone(),
            ],
            vec![chunk(json!([{"index": 0, "delta": {"refusal": "no"}}])), stop.clone()],
            vec![
                chunk(
                    json!([{"index": 0, "delta": {"content": "x"}, "logprobs": {"content": [1]}}]),
                ),
                stop,
            ],
            vec![text, chunk(json!([{"index": 0, "delta": {}, "finish_reason": "length"}]))],
        ] {
            assert!(fold(&events).is_none(), "{events:?}");
        }
    }
}
