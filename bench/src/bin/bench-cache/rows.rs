//! Reads files of questions.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use flate2::read::MultiGzDecoder;
use serde_json::Value;

/// What a file holds.
pub(crate) enum Rows {
    Pairs(Vec<Pair>),
    Intents(Vec<Intent>),
}

/// Two questions.
pub(crate) struct Pair {
    pub a: String,
    pub b: String,
    /// False if they come after different messages: then nothing may be served.
    pub is_history_equal: bool,
    pub is_same: bool,
    /// The class, or nothing.
    pub category: String,
}

/// A question and what it is about.
pub(crate) struct Intent {
    pub text: String,
    pub label: String,
}

impl Rows {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("reading {}", path.display()))?;
        let bytes: Box<dyn Read> = match path.extension().and_then(|end| end.to_str()) {
            Some("gz") => Box::new(MultiGzDecoder::new(file)),
            _ => Box::new(file),
        };
        let (mut pairs, mut intents) = (Vec::new(), Vec::new());
        for (number, line) in (1..).zip(BufReader::new(bytes).lines()) {
            let place = || format!("line {number} of {}", path.display());
            let row = serde_json::from_str(&line.with_context(place)?).with_context(place)?;
            if let Some(text) = string(&row, &["text"]) {
                let label = string(&row, &["label"]).with_context(place)?;
                intents.push(Intent { text, label });
            } else {
                pairs.push(pair(&row).with_context(place)?);
            }
        }
        match (pairs.is_empty(), intents.is_empty()) {
            (false, true) => Ok(Self::Pairs(pairs)),
            (true, false) => Ok(Self::Intents(intents)),
            _ => bail!("expected pairs or intents in {}, and not both", path.display()),
        }
    }
}

/// What a file is called in a heading.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn string(row: &Value, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| row.get(name)?.as_str()).map(str::to_owned)
}

fn pair(row: &Value) -> Result<Pair> {
    let label = row.get("same_answer").or_else(|| row.get("label")).context("expected a label")?;
    let is_same = label.as_bool().unwrap_or(label.as_i64() == Some(1));
    let category = string(row, &["category", "subtype"]).unwrap_or_default();
    if let (Some(a), Some(b)) = (string(row, &["a", "text_a"]), string(row, &["b", "text_b"])) {
        return Ok(Pair { a, b, is_history_equal: true, is_same, category });
    }
    let messages = |name: &str| {
        row.get(name).and_then(Value::as_array).with_context(|| format!("expected a text {name}"))
    };
    let (a_before, a) = last_turn(messages("a")?)?;
    let (b_before, b) = last_turn(messages("b")?)?;
    Ok(Pair { a, b, is_history_equal: a_before == b_before, is_same, category })
}

/// What came before the last message of the user, and that message.
fn last_turn(messages: &[Value]) -> Result<(&[Value], String)> {
    let is_user = |message: &Value| message.get("role").and_then(Value::as_str) == Some("user");
    let last = messages.iter().rposition(is_user).context("expected a message of a user")?;
    let text = string(&messages[last], &["content"]).context("expected a text")?;
    Ok((&messages[..last], text))
}
