//! The tools of a request: those in `tools`, and those that the client's tool search returned.

use crate::dialects::openai_chat::{function, texts};
use crate::dialects::openai_tools::{
    TOOL_SEARCH, custom, disambiguate_names, in_namespace, tool_search,
};
use crate::llm::{
    Dialect, DialectJson, Function, Grammar, Malformed, Namespace, Node, Tool, WebSearch, Within,
};

/// Type of the items with the result of a search.
const FOUND: &str = "tool_search_output";

/// Reads `tools`, and the tools in search results among `input`.
pub(super) fn read(root: Node<'_>) -> Result<Vec<Tool>, Malformed> {
    let mut tools = match root.get("tools") {
        Some(value) => list(value).within("tools")?,
        None => Vec::new(),
    };
    for item in root.get("input").into_iter().flat_map(Node::items) {
        if let Some(found) = item.get("tools").filter(|_| item.text_of("type") == FOUND) {
            for tool in list(found).within("input")? {
                if is_new(&tools, &tool) {
                    tools.push(tool);
                }
            }
        }
    }
    disambiguate_names(&mut tools);
    Ok(tools)
}

fn list(value: Node<'_>) -> Result<Vec<Tool>, Malformed> {
    let groups = value.read_items(group)?;
    Ok(groups.into_iter().flatten().collect())
}

/// True for a function that is not among `known`.
fn is_new(known: &[Tool], tool: &Tool) -> bool {
    fn place(tool: &Tool) -> Option<(Option<&Namespace>, &str)> {
        match tool {
            Tool::Function(Function { openai: Some(openai), .. }) => {
                Some((openai.namespace.as_ref(), openai.name.as_str()))
            }
            Tool::Function(function) => Some((None, function.name.as_str())),
            _ => None,
        }
    }
    let wanted = place(tool);
    wanted.is_some() && !known.iter().any(|known| place(known) == wanted)
}

/// Reads one element: a tool, or the functions of a namespace.
fn group(value: Node<'_>) -> Result<Vec<Tool>, Malformed> {
    if value.expect_text_at("type")? != "namespace" {
        return Ok(vec![one(value)?]);
    }
    let namespace = Namespace {
        name: value.expect_text_at("name")?.to_owned(),
        description: value.text_at("description")?.map(str::to_owned),
    };
    let inner = value.expect("tools", "an array")?.read_items(one).within("tools")?;
    Ok(inner
        .into_iter()
        .map(|tool| match tool {
            Tool::Function(function) => Tool::Function(in_namespace(function, &namespace)),
            other => other,
        })
        .collect())
}

fn one(value: Node<'_>) -> Result<Tool, Malformed> {
    match value.expect_text_at("type")? {
        "custom" => {
            let grammar = value.get("format").map(grammar).transpose().within("format")?;
            let name = value.expect_text_at("name")?;
            let description = value.text_at("description")?;
            Ok(Tool::Function(custom(name, description, grammar.flatten())))
        }
        // Without `execution`, the vendor searches.
        TOOL_SEARCH if value.text_of("execution") == "client" => {
            let parameters = value.get("parameters").map(Node::json);
            Ok(Tool::Function(tool_search(value.text_at("description")?, parameters)))
        }
        _ => tool(value),
    }
}

/// The grammar of a custom tool's input; none if any text is valid.
fn grammar(value: Node<'_>) -> Result<Option<Grammar>, Malformed> {
    match value.expect_text_at("type")? {
        "text" => Ok(None),
        "grammar" => Ok(Some(Grammar {
            syntax: value.expect_text_at("syntax")?.to_owned(),
            definition: value.expect_text_at("definition")?.to_owned(),
        })),
        _ => Err(Malformed::new("one of text, grammar")).within("type"),
    }
}

/// Reads a tool that other dialects have too.
fn tool(value: Node<'_>) -> Result<Tool, Malformed> {
    let foreign =
        || Tool::Raw(DialectJson { dialect: Dialect::OpenaiResponses, json: value.json() });
    Ok(match value.expect_text_at("type")? {
        "function" => Tool::Function(function(value)?),
        // A tool with members that other dialects lack is kept as it is.
        "web_search"
        | "web_search_2025_08_26"
        | "web_search_preview"
        | "web_search_preview_2025_03_11" => web_search(value)?.unwrap_or_else(foreign),
        "code_interpreter" if is_plain_container(value) => Tool::CodeExecution,
        _ => foreign(),
    })
}

fn web_search(value: Node<'_>) -> Result<Option<Tool>, Malformed> {
    let filters = value.get("filters");
    let known = ["type", "filters", "search_context_size", "user_location"];
    let is_known = has_only(value, &known)
        && filters.is_none_or(|filters| has_only(filters, &["allowed_domains"]));
    if !is_known {
        return Ok(None);
    }
    let domains = filters.and_then(|filters| filters.get("allowed_domains"));
    Ok(Some(Tool::WebSearch(WebSearch {
        allowed_domains: domains.map(texts).transpose().within("filters")?.unwrap_or_default(),
        user_location: value.get("user_location").map(Node::json),
        context_size: value.text_at("search_context_size")?.map(str::to_owned),
        ..WebSearch::default()
    })))
}

/// True for a new container without files, which other vendors have.
fn is_plain_container(value: Node<'_>) -> bool {
    let container = value.get("container");
    has_only(value, &["type", "container"])
        && container.is_none_or(|container| {
            container.text_of("type") == "auto" && has_only(container, &["type"])
        })
}

/// True if all members that are not null are among `known`.
fn has_only(value: Node<'_>, known: &[&str]) -> bool {
    value.members().all(|(key, inner)| inner.is_null() || known.contains(&key))
}
