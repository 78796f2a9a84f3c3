//! Members that only one dialect has. They are sent to providers of that dialect, and to no others.
//!
//! A key is the member's name at the top level of the request. A key that begins with a dot is the path
//! of a nested member, such as `.tools[2].input_examples`, which its dialect writes in place.

use super::codec::{TargetModel, Unsupported};
use super::warnings::Warnings;
use crate::llm::{ChatRequest, Dialect, DialectJson, Json, Node, ObjectWriter, Tool};

/// Members that both of OpenAI's dialects have, with the same meaning (API reference, read November
/// 2026).
const OPENAI_SHARES: [&str; 6] = [
    "moderation",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "store",
];

/// The reason in warnings about dropped members.
const NO_SUCH: &str = "the provider's format has no such member";

/// Keeps a member that only `dialect` has. Null means nothing in any dialect and is skipped.
pub(super) fn keep(
    members: &mut Vec<(String, DialectJson)>,
    dialect: Dialect,
    key: &str,
    value: Node<'_>,
) {
    if !value.is_null() {
        members.push((key.to_owned(), DialectJson { dialect, json: value.json() }));
    }
}

/// Writes those of `members` that `dialect` has, and warns about the others. For requests without
/// nested members and state.
pub(super) fn write_flat(
    object: &mut ObjectWriter<'_>,
    members: &[(String, DialectJson)],
    dialect: Dialect,
    warnings: &mut Warnings,
) {
    for (key, foreign) in members {
        if foreign.dialect == dialect {
            object.raw(key, &foreign.json);
        } else {
            warnings.dropped(key, NO_SUCH);
        }
    }
}

/// Writes the extra fields that `dialect` has, and warns about the others.
///
/// # Errors
/// If the request refers to state at a provider of another dialect.
pub(super) fn write(
    object: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    dialect: Dialect,
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    write_among(object, request, dialect, None, warnings)
}

/// Like [`write()`], for OpenAI's dialects: shared members of the other one are written too, but not for
/// imitators, some of which reject unknown members.
///
/// # Errors
/// See [`write()`].
pub(super) fn write_of_openai(
    object: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    dialect: Dialect,
    target: &TargetModel<'_>,
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    let kin = match dialect {
        Dialect::OpenaiChat => Dialect::OpenaiResponses,
        _ => Dialect::OpenaiChat,
    };
    write_among(object, request, dialect, target.is_original.then_some(kin), warnings)
}

fn write_among(
    object: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    dialect: Dialect,
    kin: Option<Dialect>,
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    refuse_state(request, dialect)?;
    for (key, foreign) in &request.extra_fields {
        if foreign.dialect == dialect {
            // Nested members are written by their dialect.
            if !key.contains('.') {
                object.raw(key, &foreign.json);
            }
        } else if kin == Some(foreign.dialect) && OPENAI_SHARES.contains(&key.as_str()) {
            object.raw(key, &foreign.json);
        } else {
            warn_of_other(key, foreign, warnings);
        }
    }
    Ok(())
}

/// Rejects a request that refers to state at a provider of another dialect.
///
/// # Errors
/// If it does.
pub(super) fn refuse_state(request: &ChatRequest, dialect: Dialect) -> Result<(), Unsupported> {
    match &request.needs_state {
        Some(member) if request.origin != Some(dialect) => {
            Err(Unsupported::new(member, "this provider keeps no state of earlier answers"))
        }
        _ => Ok(()),
    }
}

/// Warns about the members that `dialect` does not have.
pub(super) fn warn_of_others(request: &ChatRequest, dialect: Dialect, warnings: &mut Warnings) {
    for (key, foreign) in &request.extra_fields {
        if foreign.dialect != dialect {
            warn_of_other(key, foreign, warnings);
        }
    }
}

/// Warns about one member that the provider's dialect does not have.
pub(super) fn warn_of_other(key: &str, foreign: &DialectJson, warnings: &mut Warnings) {
    if !is_kept_anyway(key, foreign) {
        warnings.dropped(&name(key), NO_SUCH);
    }
}

/// Warns about a tool that the provider's dialect does not have, by its type.
pub(super) fn warn_of_tool(tool: &Tool, warnings: &mut Warnings) {
    let Tool::Raw(foreign) = tool else { return };
    match kind_of_tool(&foreign.json) {
        Some(kind) => warnings.dropped(&format!("the tool {kind}"), "another vendor's"),
        None => warnings.dropped("a tool of the vendor", "another dialect's"),
    }
}

/// The vendor's name of a tool: its type, or its only member in Google's dialect.
fn kind_of_tool(json: &Json) -> Option<String> {
    let members: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(json.text()).ok()?;
    let kind = match members.get("type") {
        Some(kind) => kind.as_str(),
        None => members.keys().next().map(String::as_str),
    };
    let is_plain = |it: &&str| it.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    kind.filter(is_plain).map(str::to_owned)
}

/// True for `"store": false` at a provider that stores nothing.
fn is_kept_anyway(key: &str, foreign: &DialectJson) -> bool {
    // It was replaced by its content, or the request is rejected.
    key == "previous_response_id" || (key == "store" && foreign.json.text() == "false")
}

/// Writes the members that `dialect` has inside `outer`.
pub(super) fn write_inner(
    object: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    dialect: Dialect,
    outer: &str,
) {
    for (key, foreign) in &request.extra_fields {
        let inner = key.strip_prefix(outer).and_then(|rest| rest.strip_prefix('.'));
        if let Some(inner) = inner.filter(|_| foreign.dialect == dialect) {
            object.raw(inner, &foreign.json);
        }
    }
}

/// The member `key` of `dialect`.
pub(super) fn find<'r>(
    request: &'r ChatRequest,
    dialect: Dialect,
    key: &str,
) -> Option<&'r DialectJson> {
    let found = request.extra_fields.iter().find(|(name, it)| name == key && it.dialect == dialect);
    found.map(|(_, foreign)| foreign)
}

/// The members that `dialect` has inside the value at `path`, by the rest of their keys.
pub(super) fn inside<'r>(
    request: &'r ChatRequest,
    dialect: Dialect,
    path: &'r str,
) -> impl Iterator<Item = (&'r str, &'r Json)> {
    request.extra_fields.iter().filter_map(move |(key, foreign)| {
        let rest = key.strip_prefix(path).filter(|_| foreign.dialect == dialect)?;
        Some((rest, &foreign.json))
    })
}

/// The name in a warning: without indexes, so that the same member of many tools is reported once.
fn name(key: &str) -> String {
    let Some(path) = key.strip_prefix('.') else { return key.to_owned() };
    path.chars().filter(|character| !character.is_ascii_digit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::write_object;

    fn request(members: &[(&str, &str)]) -> ChatRequest {
        let foreign = |(key, json): &(&str, &str)| {
            let json = Json::parse(json).expect("JSON");
            (key.to_string(), DialectJson { dialect: Dialect::OpenaiResponses, json })
        };
        ChatRequest {
            extra_fields: members.iter().map(foreign).collect(),
            ..ChatRequest::default()
        }
    }

    #[test]
    fn shared_openai_members_reach_openai_only() {
        let request = request(&[("store", "true"), ("truncation", "\"auto\""), ("text.x", "1")]);
        let write = |dialect, is_original| {
            let (mut out, mut warnings) = (Vec::new(), Warnings::default());
            let target = TargetModel::new("m", is_original);
            write_object(&mut out, |object| {
                write_of_openai(object, &request, dialect, &target, &mut warnings)
            })
            .expect("nothing is kept");
            (String::from_utf8(out).expect("UTF-8"), warnings.iter().count())
        };
        let own = "{\"store\":true,\"truncation\":\"auto\"}";
        assert_eq!(write(Dialect::OpenaiResponses, false), (own.to_owned(), 0));
        assert_eq!(write(Dialect::OpenaiChat, true), ("{\"store\":true}".to_owned(), 2));
        assert_eq!(write(Dialect::OpenaiChat, false), ("{}".to_owned(), 3));
    }

    #[test]
    fn store_false_needs_no_warning() {
        let (mut out, mut warnings) = (Vec::new(), Warnings::default());
        let request = request(&[("store", "false")]);
        write_object(&mut out, |object| write(object, &request, Dialect::Gemini, &mut warnings))
            .expect("nothing is kept");
        assert!(warnings.is_empty());
    }

    #[test]
    fn stateful_members_stay_in_their_dialect() {
        let request = ChatRequest {
            needs_state: Some("previous_response_id".to_owned()),
            origin: Some(Dialect::OpenaiResponses),
            ..ChatRequest::default()
        };
        let write = |dialect| {
            let mut warnings = Warnings::default();
            write_object(&mut Vec::new(), |object| write(object, &request, dialect, &mut warnings))
        };
        assert_eq!(write(Dialect::OpenaiResponses), Ok(()));
        let refused = write(Dialect::Gemini).expect_err("no such state").to_string();
        assert_eq!(
            refused,
            "previous_response_id cannot be sent to this model: this provider keeps no state of \
            earlier answers"
        );
    }

    #[test]
    fn nested_members_are_written_or_warned_once() {
        let dialect = Dialect::AnthropicMessages;
        let mut request = ChatRequest::default();
        for key in ["top", ".tools[0].hint", ".tools[12].hint"] {
            let json = Json::of_written("1".to_owned());
            request.extra_fields.push((key.to_owned(), DialectJson { dialect, json }));
        }
        let written = |dialect| {
            let (mut out, mut warnings) = (Vec::new(), Warnings::default());
            write_object(&mut out, |object| write(object, &request, dialect, &mut warnings))
                .expect("nothing is kept");
            (String::from_utf8(out).expect("UTF-8"), warnings.iter().count())
        };
        assert_eq!(written(dialect), (r#"{"top":1}"#.to_owned(), 0));
        assert_eq!(written(Dialect::Gemini), ("{}".to_owned(), 2));
        let hints: Vec<_> = inside(&request, dialect, ".tools[12].").map(|(key, _)| key).collect();
        assert_eq!(hints, ["hint"]);
    }
}
