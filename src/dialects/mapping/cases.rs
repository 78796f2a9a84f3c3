//! The matrix of dialects, and the outcome of each golden request.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::super::Codec;
use super::super::codec::TargetModel;
use super::super::grid::{cases, read_request};
use super::super::warnings::Warnings;
use super::{CLIENTS, clients, dialect_name, table, vendors};
use crate::llm::{ChatRequest, Dialect, find_rules};

/// The cases that clients have in common, with a description.
const CASES: [(&str, &str); 11] = [
    ("text", "A question, with an output token limit."),
    ("turns", "Instructions and a conversation; temperature, top_p and a stop sequence."),
    ("image", "An image in base64."),
    ("image-url", "An image by URL."),
    ("file", "A PDF in base64."),
    ("tools", "A function, two calls of it in one turn, and their results."),
    ("tool-forced", "Two functions, a forced call of one of them, and no parallel calls."),
    ("thinking", "Thinking with a budget; earlier signed reasoning is sent back."),
    ("structured", "A response that follows a JSON Schema."),
    ("cached", "Cache points after the instructions and the question."),
    (
        "settings",
        "Seed, top_k, penalties and the end user, if the client's dialect has them; a limit of 10 tokens.",
    ),
];

/// The outcome of a translation.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Support {
    Full,
    Warned(Vec<String>),
    Refused(String),
}

/// Writes `request` for `model`; returns the body and the warnings, or the error.
pub(super) fn attempt(
    (dialect, codec): (Dialect, &dyn Codec),
    request: &ChatRequest,
    model: &str,
) -> Result<(serde_json::Value, Vec<String>), String> {
    let rules = find_rules(None, dialect, model, &[]);
    let target = TargetModel::new(model, true).with_rules(&rules);
    let (mut warnings, mut out) = (Warnings::default(), Vec::new());
    codec
        .write_request(request, &target, &mut warnings, &mut out)
        .map_err(|unsupported| unsupported.to_string())?;
    let body = serde_json::from_slice(&out).expect("JSON is written");
    Ok((body, warnings.iter().map(str::to_owned).collect()))
}

fn outcome(codec: (Dialect, &dyn Codec), request: &ChatRequest, model: &str) -> Support {
    match attempt(codec, request, model) {
        Err(refusal) => Support::Refused(refusal),
        Ok((_, warnings)) if warnings.is_empty() => Support::Full,
        Ok((_, warnings)) => Support::Warned(warnings),
    }
}

/// Appends the matrix and the cases.
pub(super) fn write(out: &mut String) {
    // By case and provider: the outcome for each client.
    let mut found: BTreeMap<(String, &str), Vec<(Dialect, Support)>> = BTreeMap::new();
    for (from, reader) in clients() {
        for (case, body) in cases(from, ".request.json") {
            let request = read_request(reader, &body);
            for (to, codec, model) in vendors().filter(|(to, ..)| *to != from) {
                let outcome = outcome((to, codec), &request, model);
                found.entry((case.clone(), to.name())).or_default().push((from, outcome));
            }
        }
    }
    matrix(out, &found);
    out.push_str(
        "\n## Case by case\n\nThe golden requests, from every client to every provider of another \
         dialect.\n",
    );
    for (case, text) in CASES {
        let _ = write!(out, "\n### {case}\n\n{text}\n\n");
        one_case(out, case, &found);
    }
}

/// The number of cases that each provider supports completely.
fn matrix(out: &mut String, found: &BTreeMap<(String, &str), Vec<(Dialect, Support)>>) {
    out.push_str(
        "\n## Client by provider\n\nHow many of the golden requests (below) are translated \
         completely (whole), with a warning (warned), or not (refused).\nRows are clients, \
         columns are providers.\n\n",
    );
    let names: Vec<String> = vendors().map(|(dialect, ..)| dialect_name(dialect)).collect();
    let mut header = vec![""];
    header.extend(names.iter().map(String::as_str));
    let rows = CLIENTS.iter().map(|(from, _)| {
        let cells = vendors().map(|(to, ..)| {
            if to == *from {
                return "the same bytes".to_owned();
            }
            let of_client = |case: &str| {
                let outcomes = found.get(&(case.to_owned(), to.name()))?;
                outcomes.iter().find(|(client, _)| client == from).map(|(_, outcome)| outcome)
            };
            let all: Vec<&Support> = CASES.iter().filter_map(|(case, _)| of_client(case)).collect();
            let count = |wanted: fn(&Support) -> bool| all.iter().filter(|it| wanted(it)).count();
            let whole_count = count(|it| *it == Support::Full);
            let warned = count(|it| matches!(it, Support::Warned(_)));
            let refused = count(|it| matches!(it, Support::Refused(_)));
            let parts = [(whole_count, "whole"), (warned, "warned"), (refused, "refused")];
            let parts = parts.iter().filter(|(number, _)| *number > 0);
            let parts: Vec<String> =
                parts.map(|(number, note)| format!("{number} {note}")).collect();
            parts.join(", ")
        });
        [dialect_name(*from)].into_iter().chain(cells).collect()
    });
    table::write(out, &header, rows);
}

/// Warnings as one text; those that differ only in what was dropped are combined.
fn joined(warnings: &[String]) -> String {
    let mut by_reason: Vec<(&str, Vec<&str>)> = Vec::new();
    for warning in warnings {
        let (what, reason) = warning.split_once(": ").unwrap_or((warning, ""));
        match by_reason.iter_mut().find(|(known, whats)| {
            *known == reason && whats[0].split(' ').next() == what.split(' ').next()
        }) {
            Some((_, whats)) => whats.extend(what.split_once(' ').map(|(_, rest)| rest)),
            None => by_reason.push((reason, vec![what])),
        }
    }
    let lines = by_reason.iter().map(|(reason, whats)| format!("{}: {reason}", whats.join(", ")));
    lines.collect::<Vec<_>>().join("; ")
}

/// Providers with the same result for the same clients share a row.
fn one_case(
    out: &mut String,
    case: &str,
    found: &BTreeMap<(String, &str), Vec<(Dialect, Support)>>,
) {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut whole: Vec<String> = Vec::new();
    for (to, ..) in vendors() {
        let Some(outcomes) = found.get(&(case.to_owned(), to.name())) else { continue };
        let mut groups: BTreeMap<&Support, Vec<String>> = BTreeMap::new();
        for (from, outcome) in outcomes {
            groups.entry(outcome).or_default().push(dialect_name(*from));
        }
        let is_one = groups.len() == 1;
        for (outcome, clients) in groups {
            let clients = if is_one { "every client".to_owned() } else { clients.join(", ") };
            match outcome {
                Support::Full if is_one => whole.push(dialect_name(to)),
                Support::Full => rows.push(vec![dialect_name(to), clients, "all of it".to_owned()]),
                Support::Warned(warnings) => {
                    rows.push(vec![dialect_name(to), clients, joined(warnings)]);
                }
                Support::Refused(refusal) => {
                    rows.push(vec![dialect_name(to), clients, format!("**refused**: {refusal}")]);
                }
            }
        }
    }
    if rows.is_empty() {
        out.push_str("Every provider gets all of it from every client.\n");
        return;
    }
    if !whole.is_empty() {
        let _ = write!(out, "All of it, from every client: {}.\n\n", whole.join(", "));
    }
    table::write(out, &["provider", "from", "gets"], rows);
}
