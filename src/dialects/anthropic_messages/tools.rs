//! Tools and the tool choice, as a provider accepts them.

use super::name;
use super::write_block::cache_control;
use crate::dialects::extra_fields;
use crate::dialects::json_schema::{CLAUDE, Parameters};
use crate::dialects::warnings::Warnings;
use crate::llm::{
    ArrayWriter, ChatRequest, Dialect, Function, ObjectWriter, Tool, ToolChoice, WebSearch,
};

/// The web search tool, in the version that all models support.
const WEB_SEARCH: &str = "web_search_20250305";

/// The sandbox, in the version that needs neither a beta header nor another tool.
const CODE_EXECUTION: &str = "code_execution_20250825";

/// Writes `tools` and `tool_choice`.
pub(super) fn write(root: &mut ObjectWriter<'_>, request: &ChatRequest, warnings: &mut Warnings) {
    let is_supported = |tool: &Tool| match tool {
        Tool::Raw(foreign) => foreign.dialect == Dialect::AnthropicMessages,
        Tool::Function(_) | Tool::WebSearch(_) | Tool::CodeExecution => true,
    };
    for tool in request.tools.iter().filter(|tool| !is_supported(tool)) {
        extra_fields::warn_of_tool(tool, warnings);
    }
    if !request.tools.iter().any(is_supported) {
        if matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Function(_))) {
            warnings.dropped("tool_choice", "there is no tool to choose");
        }
        return;
    }
    root.array("tools", |array| {
        for (index, tool) in request.tools.iter().enumerate() {
            match tool {
                Tool::Function(function) => {
                    write_function(array, request, index, function, warnings);
                }
                Tool::WebSearch(search) => write_search(array, search, warnings),
                Tool::CodeExecution => array.object(|tool| {
                    tool.text("type", CODE_EXECUTION);
                    tool.text("name", "code_execution");
                }),
                Tool::Raw(foreign) if foreign.dialect == Dialect::AnthropicMessages => {
                    array.raw(&foreign.json);
                }
                Tool::Raw(_) => {}
            }
        }
    });
    write_choice(root, request);
}

fn write_function(
    array: &mut ArrayWriter<'_>,
    request: &ChatRequest,
    index: usize,
    function: &Function,
    warnings: &mut Warnings,
) {
    let parameters = Parameters::of(function, &CLAUDE, warnings);
    array.object(|tool| {
        tool.text("name", &name::write(&function.name));
        tool.optional_text("description", function.description.as_deref());
        // The schema is required, with its type at least.
        let strict = parameters.strict;
        tool.raw("input_schema", &parameters.schema_or_empty());
        tool.optional_flag("strict", strict);
        cache_control(tool, function.cache);
        // Few requests have extra fields, and the path costs an allocation.
        if !request.extra_fields.is_empty() {
            for (key, value) in extra_fields::inside(
                request,
                Dialect::AnthropicMessages,
                &format!(".tools[{index}]."),
            ) {
                tool.raw(key, value);
            }
        }
    });
}

fn write_search(array: &mut ArrayWriter<'_>, search: &WebSearch, warnings: &mut Warnings) {
    array.object(|tool| {
        tool.text("type", WEB_SEARCH);
        tool.text("name", "web_search");
        tool.optional_number("max_uses", search.uses_max);
        if !search.allowed_domains.is_empty() {
            tool.texts("allowed_domains", search.allowed_domains.iter().map(String::as_str));
            if !search.blocked_domains.is_empty() {
                let why = "anthropic-messages takes them only without allowed ones";
                warnings.dropped("blocked domains of the search", why);
            }
        } else if !search.blocked_domains.is_empty() {
            tool.texts("blocked_domains", search.blocked_domains.iter().map(String::as_str));
        }
        tool.optional_raw("user_location", search.user_location.as_ref());
    });
}

fn write_choice(root: &mut ObjectWriter<'_>, request: &ChatRequest) {
    let choice = match &request.tool_choice {
        Some(choice) => choice,
        None if request.parallel_tool_calls.is_some() => &ToolChoice::Auto,
        None => return,
    };
    root.object("tool_choice", |object| {
        match choice {
            ToolChoice::Auto => object.text("type", "auto"),
            ToolChoice::None => object.text("type", "none"),
            ToolChoice::Required => object.text("type", "any"),
            ToolChoice::Function(function) => {
                object.text("type", "tool");
                object.text("name", &name::write(function));
            }
        }
        // The member is not allowed if no tool may be called.
        if *choice != ToolChoice::None {
            let disabled = request.parallel_tool_calls.map(|parallel| !parallel);
            object.optional_flag("disable_parallel_tool_use", disabled);
        }
    });
}
