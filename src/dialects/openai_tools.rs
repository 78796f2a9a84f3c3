//! The tools of OpenAI's dialects that are not plain functions: custom tools with one text as input,
//! namespaces, and the client's tool search.
//!
//! In other dialects each is a function. A custom tool's text is its argument `input`, and its grammar
//! is part of the description. A function of a namespace has both names, as in `mcp__db__query`: at
//! most [`NAME_MAX`] characters that all vendors accept, and no duplicates.

mod input;
#[cfg(test)]
mod tests;

pub(super) use input::{CLOSED, InputReader, OPENED, arguments_of, escaped, input_of};

use std::collections::HashSet;

use super::digest::digest;
use crate::llm::{
    ChatRequest, Function, Grammar, Json, Namespace, OpenaiTool, OpenaiToolKind, Tool,
};

/// Maximum length of a function name that all vendors accept, in characters (OpenAI's API reference,
/// "tools"; read November 2026).
const NAME_MAX: usize = 64;

/// Hexadecimal digits that keep names distinct.
const DIGEST_DIGITS: usize = 8;

/// Parameters of a custom tool as a function.
const PARAMETERS: &str = "{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\",\
    \"description\":\"The whole input of the tool, as plain text\"}},\"required\":[\"input\"],\
    \"additionalProperties\":false}";

/// A custom tool as a function.
pub(super) fn custom(name: &str, description: Option<&str>, grammar: Option<Grammar>) -> Function {
    let mut text = description.unwrap_or_default().to_owned();
    if let Some(Grammar { syntax, definition }) = &grammar {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        let how = "Give the text as it is, as the string `input`. It must follow this";
        text.push_str(&format!("{how} {syntax} grammar:\n{definition}"));
    }
    let openai = OpenaiTool {
        name: name.to_owned(),
        description: description.map(str::to_owned),
        namespace: None,
        kind: OpenaiToolKind::Custom(grammar),
    };
    Function {
        name: flat_name(None, name),
        description: Some(text).filter(|it| !it.is_empty()),
        parameters: Some(Json::of_written(PARAMETERS.to_owned())),
        openai: Some(Box::new(openai)),
        ..Function::default()
    }
}

/// The client's tool search as a function.
pub(super) fn tool_search(description: Option<&str>, parameters: Option<Json>) -> Function {
    let openai = OpenaiTool {
        name: TOOL_SEARCH.to_owned(),
        description: description.map(str::to_owned),
        namespace: None,
        kind: OpenaiToolKind::ToolSearch,
    };
    Function {
        name: TOOL_SEARCH.to_owned(),
        description: description.map(str::to_owned),
        parameters,
        openai: Some(Box::new(openai)),
        ..Function::default()
    }
}

/// Type and name of the client's tool search.
pub(super) const TOOL_SEARCH: &str = "tool_search";

/// The function inside `namespace`.
pub(super) fn in_namespace(function: Function, namespace: &Namespace) -> Function {
    let mut openai = function.openai.unwrap_or_else(|| {
        Box::new(OpenaiTool {
            name: function.name.clone(),
            description: function.description.clone(),
            namespace: None,
            kind: OpenaiToolKind::Function,
        })
    });
    openai.namespace = Some(namespace.clone());
    let name = flat_name(Some(&namespace.name), &openai.name);
    Function { name, openai: Some(openai), ..function }
}

/// The name of a function without its namespace.
pub(super) fn flat_name(namespace: Option<&str>, name: &str) -> String {
    let joined = match namespace {
        None => name.to_owned(),
        Some(outer) if outer.ends_with("__") => format!("{outer}{name}"),
        Some(outer) => format!("{outer}__{name}"),
    };
    let is_taken = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    let safe = |character: char| if is_taken(character) { character } else { '_' };
    if joined.chars().count() <= NAME_MAX {
        return joined.chars().map(safe).collect();
    }
    disambiguated(&joined.chars().map(safe).collect::<String>(), &joined)
}

/// `name`, which is ASCII, followed by a digest of `whole`, within the maximum length.
fn disambiguated(name: &str, whole: &str) -> String {
    let kept = name.get(..NAME_MAX - DIGEST_DIGITS - 1).unwrap_or(name);
    format!("{kept}_{}", digest(whole, DIGEST_DIGITS))
}

/// Renames functions of namespaces whose names are taken.
pub(super) fn disambiguate_names(tools: &mut [Tool]) {
    let namespace_of = |function: &Function| {
        function.openai.as_ref().and_then(|it| Some((it.namespace.clone()?, it.name.clone())))
    };
    let mut taken: HashSet<String> = HashSet::new();
    for is_second in [false, true] {
        for tool in &mut *tools {
            let Tool::Function(function) = tool else { continue };
            match namespace_of(function) {
                None if !is_second => {
                    taken.insert(function.name.clone());
                }
                Some((namespace, inner)) if is_second => {
                    if taken.contains(&function.name) {
                        let whole = format!("{}\0{inner}", namespace.name);
                        function.name = disambiguated(&function.name, &whole);
                    }
                    taken.insert(function.name.clone());
                }
                _ => {}
            }
        }
    }
}

/// The flat name of the function that OpenAI's dialects call `name`. Some clients omit the namespace in
/// calls: then it is the one that has such a function.
pub(super) fn name_of_call(tools: &[Tool], namespace: Option<&str>, name: &str) -> String {
    let functions = || {
        tools.iter().filter_map(|tool| match tool {
            Tool::Function(function) => Some(function),
            _ => None,
        })
    };
    let inner = |function: &Function| {
        let openai = function.openai.as_ref()?;
        (openai.name == name).then(|| openai.namespace.as_ref().map(|it| it.name.clone()))
    };
    if namespace.is_none() && functions().any(|it| it.openai.is_none() && it.name == name) {
        return name.to_owned();
    }
    let exact = functions().find(|it| inner(it).is_some_and(|it| it.as_deref() == namespace));
    let mut others = functions().filter(|it| namespace.is_none() && inner(it).is_some());
    let found = exact.or_else(|| others.next().filter(|_| others.next().is_none()));
    match (found, namespace) {
        (Some(function), _) => function.name.clone(),
        (None, Some(_)) => flat_name(namespace, name),
        (None, None) => name.to_owned(),
    }
}

/// The functions of a request whose calls have another form in OpenAI's dialects.
#[derive(Debug, Default)]
pub(super) struct CallForms(Vec<(String, CallForm)>);

/// The form of a function's calls in OpenAI's dialects.
#[derive(Debug)]
pub(super) struct CallForm {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) kind: CallKind,
}

/// The kind of a call in OpenAI's dialects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallKind {
    Function,
    Custom,
    ToolSearch,
}

impl CallForms {
    pub(super) fn of(request: &ChatRequest) -> Self {
        let forms = request.functions().filter_map(|function| {
            let openai = function.openai.as_ref()?;
            let kind = match openai.kind {
                OpenaiToolKind::Function => CallKind::Function,
                OpenaiToolKind::Custom(_) => CallKind::Custom,
                OpenaiToolKind::ToolSearch => CallKind::ToolSearch,
            };
            let namespace = openai.namespace.as_ref().map(|it| it.name.clone());
            let form = CallForm { name: openai.name.clone(), namespace, kind };
            Some((function.name.clone(), form))
        });
        Self(forms.collect())
    }

    /// The form of calls of that function; none for plain ones.
    pub(super) fn find(&self, name: &str) -> Option<&CallForm> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, form)| form)
    }

    /// The kind of calls of that function.
    pub(super) fn kind(&self, name: &str) -> CallKind {
        self.find(name).map_or(CallKind::Function, |form| form.kind)
    }
}

#[cfg(test)]
mod names {
    use super::*;

    fn inside(namespace: &str, name: &str) -> Tool {
        let function = Function { name: name.to_owned(), ..Function::default() };
        let namespace = Namespace { name: namespace.to_owned(), description: None };
        Tool::Function(in_namespace(function, &namespace))
    }

    fn plain(name: &str) -> Tool {
        Tool::Function(Function { name: name.to_owned(), ..Function::default() })
    }

    fn names(tools: &[Tool]) -> Vec<&str> {
        fn name(tool: &Tool) -> &str {
            match tool {
                Tool::Function(function) => &function.name,
                other => panic!("{other:?}"),
            }
        }
        tools.iter().map(name).collect()
    }

    #[test]
    fn flattened_names_are_bounded_and_valid() {
        let long = "x".repeat(80);
        for (namespace, name, expected) in [
            (Some("mcp__db"), "query", "mcp__db__query"),
            (Some("mcp__db__"), "query", "mcp__db__query"),
            (Some("a.b"), "c d", "a_b__c_d"),
            (None, "edit", "edit"),
        ] {
            assert_eq!(flat_name(namespace, name), expected);
        }
        let (first, second) = (flat_name(Some("n"), &long), flat_name(Some("m"), &long));
        assert_eq!((first.len(), second.len()), (NAME_MAX, NAME_MAX));
        assert_ne!(first, second);
        assert_eq!(first, flat_name(Some("n"), &long));
    }

    #[test]
    fn flattened_names_are_unique() {
        let mut tools =
            [inside("a", "b__c"), inside("a__b", "c"), plain("a__b__c"), inside("x", "y")];
        disambiguate_names(&mut tools);
        let found = names(&tools);
        assert_eq!((found[2], found[3]), ("a__b__c", "x__y"));
        let unique: HashSet<&&str> = found.iter().collect();
        assert_eq!(unique.len(), 4, "{found:?}");
        for (namespace, name, index) in
            [(Some("a"), "b__c", 0), (Some("a__b"), "c", 1), (None, "a__b__c", 2)]
        {
            assert_eq!(name_of_call(&tools, namespace, name), found[index]);
        }
    }

    #[test]
    fn call_without_namespace_matches_unique_name() {
        let mut tools = [inside("a", "f"), inside("b", "f"), inside("b", "g"), plain("h")];
        disambiguate_names(&mut tools);
        for (namespace, name, expected) in [
            (None, "g", "b__g"),
            (None, "f", "f"),
            (None, "h", "h"),
            (Some("b"), "f", "b__f"),
            (Some("gone"), "f", "gone__f"),
        ] {
            assert_eq!(name_of_call(&tools, namespace, name), expected);
        }
    }
}
