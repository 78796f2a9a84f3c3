//! Rules of Gemini's requests: spellings of members, the subset of JSON Schema, and the order of contents.

use serde_json::{Value, json};

use super::chat_request::{ChatRequest, Part, Role};
use super::path::GeminiPlace;
use super::reading::{Flaw, Node, Refusal};
use super::script::{base64_of, is_base64, signature};

/// What a signature beside no call is made from.
pub const HIDDEN_THINKING: &str = "a thought of Gemini";
/// Signatures that the vendor documents for calls that another model made.
const FOREIGN_SIGNATURES: &[&str] =
    &["skip_thought_signature_validator", "context_engineering_is_the_way_to_go"];
const PART_MEMBERS: &[&str] = &[
    "codeExecutionResult",
    "executableCode",
    "fileData",
    "functionCall",
    "functionResponse",
    "inlineData",
    "mediaResolution",
    "partMetadata",
    "text",
    "thought",
    "thoughtSignature",
    "toolCall",
    "toolResponse",
    "videoMetadata",
];
/// Of these a part has exactly one.
const PART_DATA: &[&str] = &[
    "text",
    "inlineData",
    "functionCall",
    "functionResponse",
    "fileData",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
];
const SCHEMA_MEMBERS: &[&str] = &[
    "anyOf",
    "default",
    "description",
    "enum",
    "example",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "nullable",
    "pattern",
    "properties",
    "propertyOrdering",
    "required",
    "title",
    "type",
];
const TYPES: &[&str] = &["STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"];

fn snake(name: &str) -> String {
    let mut written = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            written.push('_');
        }
        written.push(character.to_ascii_lowercase());
    }
    written
}

/// A member by its name in camel case, in either spelling.
pub fn member<'a>(node: &Node<'a>, name: &str) -> Option<Node<'a>> {
    node.get(name).or_else(|| node.get(&snake(name)))
}

fn need<'a>(node: &Node<'a>, name: &str) -> Result<Node<'a>, Refusal> {
    member(node, name).ok_or_else(|| node.need(name).err().unwrap_or_else(|| node.wrong("a value")))
}

/// Refuses members beside these, in either spelling.
pub fn known(node: &Node, names: &[&str]) -> Result<(), Refusal> {
    let is_known = |own: &String| names.iter().any(|name| own == name || *own == snake(name));
    match node.object()?.keys().find(|own| !is_known(own)) {
        Some(own) => {
            let path =
                if node.path.is_empty() { own.clone() } else { format!("{}.{own}", node.path) };
            Err(Refusal { status: 400, path, flaw: Flaw::Unknown })
        }
        None => Ok(()),
    }
}

/// Holds a schema to the subset that `parameters` and `responseSchema` allow.
pub fn check_schema(schema: &Node) -> Result<(), Refusal> {
    known(schema, SCHEMA_MEMBERS)?;
    if let Some(kind) = schema.get("type")
        && !TYPES.contains(&kind.text()?.to_ascii_uppercase().as_str())
    {
        return Err(kind.broken(format!("Invalid value (Type), \"{}\"", kind.text()?)));
    }
    for value in schema.list("enum")? {
        value.text()?;
    }
    if let Some(properties) = schema.get("properties") {
        for name in properties.object()?.keys() {
            properties.get(name).map_or(Ok(()), |property| check_schema(&property))?;
        }
        for name in schema.list("required")? {
            if properties.get(name.text()?).is_none() {
                return Err(name.broken("property is not defined"));
            }
        }
    }
    if let Some(items) = schema.get("items") {
        check_schema(&items)?;
    }
    member(schema, "anyOf")
        .map_or(Ok(Vec::new()), |any| any.items())?
        .iter()
        .try_for_each(check_schema)
}

/// The texts of a system instruction.
pub fn system_texts(system: &Node) -> Result<Vec<String>, Refusal> {
    known(system, &["role", "parts"])?;
    let text = |part: Node| Ok(part.need("text")?.text()?.to_owned());
    // A single part need not stand in an array.
    match system.need("parts")? {
        parts if parts.value.is_object() => Ok(vec![text(parts)?]),
        parts => parts.items()?.into_iter().map(text).collect(),
    }
}

/// True for models that sign their calls and want the signatures back.
pub fn thinks_in_calls(model: &str) -> bool {
    model.starts_with("gemini-3")
}

/// Reads the contents into the conversation.
pub fn read_contents(
    contents: &Node,
    place: &GeminiPlace,
    chat: &mut ChatRequest,
) -> Result<(), Refusal> {
    let items = contents.items()?;
    if items.is_empty() {
        return Err(Refusal::rule("* GenerateContentRequest.contents: contents is not specified"));
    }
    // Names and ids of the calls of the content before.
    let mut open: Vec<(String, Option<String>)> = Vec::new();
    for content in &items {
        known(content, &["role", "parts"])?;
        let role = match content.get("role") {
            Some(role) => role.text()?,
            None if place.vertex => "",
            None => "user",
        };
        if !["user", "model", "function"].contains(&role) {
            return Err(Refusal::rule("Please use a valid role: user, model."));
        }
        let parts = need(content, "parts")?.items()?;
        if parts.is_empty() {
            return Err(content.need("parts")?.broken("contents.parts must not be empty."));
        }
        let calls = calls_of(&parts, role)?;
        check_responses(&parts, &open, chat.turns.is_empty())?;
        let speaker = if role == "model" { Role::Assistant } else { Role::User };
        let read = parts.iter().map(|part| read_part(part, chat.turns.len()));
        let read = read.collect::<Result<Vec<_>, _>>()?;
        if !calls.is_empty() && chat.turns.is_empty() {
            return Err(Refusal::rule(
                "Please ensure that function call turn comes immediately after a user turn or after a function response turn.",
            ));
        }
        chat.push(speaker, read);
        open = calls;
    }
    if !open.is_empty() {
        return Err(count_mismatch());
    }
    if thinks_in_calls(&place.model) { check_signatures(&items) } else { Ok(()) }
}

fn calls_of(parts: &[Node], role: &str) -> Result<Vec<(String, Option<String>)>, Refusal> {
    let mut calls = Vec::new();
    for part in parts {
        let Some(call) = member(part, "functionCall") else { continue };
        if role != "model" {
            return Err(call.broken("a function call must be of the role model"));
        }
        let id = call.get("id").map(|id| id.text().map(str::to_owned)).transpose()?;
        calls.push((name_of(&call)?, id));
    }
    Ok(calls)
}

fn name_of(node: &Node) -> Result<String, Refusal> {
    match node.get("name").map(|name| name.text()).transpose()? {
        Some(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err(node.broken("name: Name cannot be empty.")),
    }
}

fn count_mismatch() -> Refusal {
    Refusal::rule(
        "Please ensure that the number of function response parts is equal to the number of function call \
         parts of the function call turn.",
    )
}

/// The responses of a content answer the calls of the content before, each once.
fn check_responses(
    parts: &[Node],
    open: &[(String, Option<String>)],
    is_first: bool,
) -> Result<(), Refusal> {
    let responses: Vec<_> =
        parts.iter().filter_map(|part| member(part, "functionResponse")).collect();
    if responses.len() != open.len() {
        if open.is_empty() || is_first {
            return Err(Refusal::rule(
                "Please ensure that function response turn comes immediately after a function call turn.",
            ));
        }
        return Err(count_mismatch());
    }
    let mut left = open.to_vec();
    for response in responses {
        let name = name_of(&response)?;
        let id = response.get("id").map(|id| id.text()).transpose()?;
        let answers = |(own, own_id): &(String, Option<String>)| {
            *own == name && (id.is_none() || own_id.is_none() || own_id.as_deref() == id)
        };
        match left.iter().position(answers) {
            Some(at) => left.remove(at),
            None => {
                return Err(response.broken(format!(
                    "no function call of the turn before has the name {name} and this id"
                )));
            }
        };
    }
    Ok(())
}

fn read_part(part: &Node, turn: usize) -> Result<Part, Refusal> {
    known(part, PART_MEMBERS)?;
    let set: Vec<_> = PART_DATA.iter().filter(|name| member(part, name).is_some()).collect();
    match set.as_slice() {
        [] => {
            return Err(part.broken("required oneof field 'data' must have one initialized field"));
        }
        [_] => {}
        [first, second, ..] => {
            return Err(part.broken(format!(
                "oneof field 'data' is already set to '{first}'. Cannot set '{second}'"
            )));
        }
    }
    check_signature(part)?;
    if let Some(text) = part.get("text") {
        let text = text.text()?.to_owned();
        let is_thought = part.get("thought").map_or(Ok(false), |thought| thought.flag())?;
        return Ok(if is_thought { Part::Thought(text) } else { Part::Text(text) });
    }
    if let Some(call) = member(part, "functionCall") {
        known(&call, &["id", "name", "args", "partialArgs", "willContinue"])?;
        let arguments = call
            .get("args")
            .map_or(Ok(json!({})), |args| args.object().map(|_| args.value.clone()))?;
        let name = name_of(&call)?;
        let id = call.get("id").map_or(Ok(""), |id| id.text())?.to_owned();
        return Ok(Part::Call { id, name, arguments });
    }
    if let Some(response) = member(part, "functionResponse") {
        known(&response, &["id", "name", "response", "parts", "willContinue", "scheduling"])?;
        return response_part(&response);
    }
    let (data, kind) = match (member(part, "inlineData"), member(part, "fileData")) {
        (Some(blob), _) => (need(&blob, "data")?, need(&blob, "mimeType")?),
        (_, Some(file)) => {
            (need(&file, "fileUri")?, need(&file, "mimeType").unwrap_or(file.clone()))
        }
        _ => return Ok(Part::Media { media_type: "code".to_owned(), data: turn.to_string() }),
    };
    if member(part, "inlineData").is_some() && !is_base64(data.text()?) {
        return Err(data.broken("Base64 decoding failed"));
    }
    let media_type = kind.value.as_str().unwrap_or("*/*").to_owned();
    Ok(Part::Media { media_type, data: data.text()?.to_owned() })
}

fn response_part(response: &Node) -> Result<Part, Refusal> {
    let value = response.need("response")?;
    let members = value.object()?;
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let (output_text, is_error) =
        match (members.get("error"), members.get("output").or(members.get("result"))) {
            (Some(error), _) => (text(error), true),
            (None, Some(output)) => (text(output), false),
            (None, None) => (value.value.to_string(), false),
        };
    let id = response.get("id").map_or(Ok(""), |id| id.text())?.to_owned();
    Ok(Part::Result { id, text: output_text, is_error })
}

/// A signature, where there is one, is one of the mock's or one that the vendor lets pass.
fn check_signature(part: &Node) -> Result<(), Refusal> {
    let Some(sealed) = member(part, "thoughtSignature") else { return Ok(()) };
    let name = match member(part, "functionCall") {
        Some(call) => name_of(&call)?,
        None => HIDDEN_THINKING.to_owned(),
    };
    let text = sealed.text()?;
    let foreign =
        FOREIGN_SIGNATURES.iter().any(|foreign| text == *foreign || text == base64_of(foreign));
    if text == signature(&name) || foreign {
        return Ok(());
    }
    Err(Refusal::rule("Thought signature is not valid."))
}

/// In the current turn each step's first call carries its signature.
fn check_signatures(items: &[Node]) -> Result<(), Refusal> {
    let parts = |content: &Node| content.value["parts"].as_array().cloned().unwrap_or_default();
    let is_user_text = |content: &Node| {
        let is_user = content.value["role"] != json!("model");
        is_user && parts(content).iter().any(|part| part.get("text").is_some())
    };
    let start = items.iter().rposition(is_user_text).map_or(0, |at| at + 1);
    for content in items.iter().skip(start) {
        let values = parts(content);
        let holds_call =
            |part: &&Value| part.get("functionCall").or(part.get("function_call")).is_some();
        let Some(first) = values.iter().find(holds_call) else { continue };
        if first.get("thoughtSignature").or(first.get("thought_signature")).is_none() {
            return Err(Refusal::rule(
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly.",
            ));
        }
    }
    Ok(())
}
