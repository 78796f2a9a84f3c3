//! `toolConfig`: the tools, and the tool choice.

use super::write_content::write_cache_point;
use super::write_messages::Conversation;
use crate::dialects::extra_fields;
use crate::dialects::json_schema::{BEDROCK, Parameters};
use crate::dialects::warnings::Warnings;
use crate::llm::{
    ArrayWriter, CachePointUse, ChatRequest, Dialect, Function, ModelFields, ModelRules,
    ObjectWriter, Tool, ToolChoice, WebSearch,
};

/// Nova's web search.
pub(super) const GROUNDING: &str = "nova_grounding";

/// Nova's code sandbox.
pub(super) const INTERPRETER: &str = "nova_code_interpreter";

/// Writes the member; returns whether there is one. The service requires it if the conversation has
/// calls or results.
pub(super) fn write(
    root: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    rules: &ModelRules,
    conversation: &Conversation<'_>,
    warnings: &mut Warnings,
) -> bool {
    let has_history = conversation.has_tool_blocks();
    let is_forbidden = request.tool_choice == Some(ToolChoice::None);
    // Without tools no call is possible.
    if is_forbidden && !has_history {
        return false;
    }
    let tools: Vec<&Tool> =
        request.tools.iter().filter(|tool| is_supported(tool, rules, warnings)).collect();
    if tools.is_empty() {
        if has_history {
            root.object("toolConfig", |config| write_remembered(config, conversation, warnings));
        }
        return has_history;
    }
    root.object("toolConfig", |config| {
        config.array("tools", |array| {
            tools.iter().for_each(|tool| write_tool(array, tool, rules, warnings));
        });
        write_choice(config, request.tool_choice.as_ref(), warnings);
    });
    true
}

/// Declares the tools that occur in the conversation, as far as it describes them.
fn write_remembered(
    config: &mut ObjectWriter<'_>,
    conversation: &Conversation<'_>,
    warnings: &mut Warnings,
) {
    let how = "those of earlier calls were named, since bedrock-converse wants them";
    warnings.changed("tools", how);
    let mut names = conversation.tool_names();
    if names.is_empty() {
        names.push("tool");
    }
    config.array("tools", |array| {
        for name in names {
            let function = Function { name: name.to_owned(), ..Function::default() };
            write_function(array, &function, warnings);
        }
    });
}

fn is_supported(tool: &Tool, rules: &ModelRules, warnings: &mut Warnings) -> bool {
    let has_system_tools = rules.model_fields == Some(ModelFields::Nova2);
    let (is_supported, what, why) = match tool {
        Tool::Function(_) => return true,
        Tool::WebSearch(_) => {
            (has_system_tools, "the web search tool", "this model has none on bedrock-converse")
        }
        Tool::CodeExecution => {
            (has_system_tools, "the code execution tool", "this model has none on bedrock-converse")
        }
        Tool::Raw(foreign) => {
            let is_own = foreign.dialect == Dialect::BedrockConverse;
            if !is_own {
                extra_fields::warn_of_tool(tool, warnings);
            }
            return is_own;
        }
    };
    if !is_supported {
        warnings.dropped(what, why);
    }
    is_supported
}

fn write_tool(
    array: &mut ArrayWriter<'_>,
    tool: &Tool,
    rules: &ModelRules,
    warnings: &mut Warnings,
) {
    let system_tool = |array: &mut ArrayWriter<'_>, name: &str| {
        array.object(|tool| tool.object("systemTool", |inner| inner.text("name", name)));
    };
    match tool {
        Tool::Function(function) => {
            write_function(array, function, warnings);
            let Some(cache) = function.cache else { return };
            if rules.cache_points == Some(CachePointUse::Turns) {
                warnings.dropped("a cache point of a tool", "this model has none there");
            } else {
                write_cache_point(array, cache);
            }
        }
        Tool::WebSearch(search) => {
            if *search != WebSearch::default() {
                warnings.dropped("settings of the web search tool", "this model has none");
            }
            system_tool(array, GROUNDING);
        }
        Tool::CodeExecution => system_tool(array, INTERPRETER),
        Tool::Raw(foreign) => array.raw(&foreign.json),
    }
}

fn write_function(array: &mut ArrayWriter<'_>, function: &Function, warnings: &mut Warnings) {
    let parameters = Parameters::of(function, &BEDROCK, warnings);
    let is_strict = parameters.strict == Some(true);
    array.object(|tool| {
        tool.object("toolSpec", |spec| {
            spec.text("name", &function.name);
            let description = function.description.as_deref();
            spec.optional_text("description", description.filter(|text| !text.trim().is_empty()));
            spec.object("inputSchema", |schema| {
                schema.raw("json", &parameters.schema_or_empty());
            });
            if is_strict {
                spec.flag("strict", true);
            }
        });
    });
}

/// Writes `toolChoice`. The model's default is omitted, since some models reject the member.
fn write_choice(
    config: &mut ObjectWriter<'_>,
    choice: Option<&ToolChoice>,
    warnings: &mut Warnings,
) {
    match choice {
        None | Some(ToolChoice::Auto) => {}
        Some(ToolChoice::Required) => {
            config.object("toolChoice", |choice| choice.object("any", |_| {}));
        }
        Some(ToolChoice::Function(name)) => config.object("toolChoice", |choice| {
            choice.object("tool", |tool| tool.text("name", name));
        }),
        Some(ToolChoice::None) => {
            let how = "the model may call tools, since earlier calls keep them in the request";
            warnings.changed("tool_choice", how);
        }
    }
}
