//! `additionalModelRequestFields`: what only the model's family supports, under the family's names
//! (Amazon Bedrock user guide, "Inference request parameters"; Nova user guide, "Using the Converse
//! API"). The client's own values take precedence.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::thinking::{SamplingParameters, Thinking};
use crate::dialects::warnings::Warnings;
use crate::llm::{
    ChatRequest, Dialect, DialectJson, Json, ModelFields, ObjectWriter, ToolChoice, write_object,
};

/// Name of the member.
pub(super) const KEY: &str = "additionalModelRequestFields";

/// Writes the member, if it has content. `has_tools`: whether tools are sent.
pub(super) fn write(
    root: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    family: Option<ModelFields>,
    thinking: Thinking<'_>,
    drawing: &SamplingParameters,
    has_tools: bool,
    warnings: &mut Warnings,
) {
    let mut fields = Fields::of_client(request, warnings);
    fields.think(family, thinking);
    if let Some(top_k) = drawing.top_k {
        fields.top_k(family, top_k, warnings);
    }
    fields.sample(request, family, warnings);
    if request.parallel_tool_calls == Some(false) && has_tools {
        fields.call_singly(request, family, warnings);
    }
    let betas = request.extra_fields.iter().find(|(key, _)| is_beta(key, family));
    if let Some((key, DialectJson { json, .. })) = betas {
        fields.add(key, |out| out.extend_from_slice(json.text().as_bytes()));
    }
    if !fields.0.is_empty() {
        root.object(KEY, |object| {
            for (key, value) in &fields.0 {
                object.raw(key, value);
            }
        });
    }
}

/// True for a member that only Claude has, and that clients of every dialect may send.
pub(super) fn is_beta(key: &str, family: Option<ModelFields>) -> bool {
    key == "anthropic_beta" && family == Some(ModelFields::Anthropic)
}

/// Members in the order they were added, each once.
struct Fields(Vec<(String, Json)>);

impl Fields {
    /// The client's own members, sorted by name.
    fn of_client(request: &ChatRequest, warnings: &mut Warnings) -> Self {
        let Some((_, given)) = request.extra_fields.iter().find(|(key, _)| key == KEY) else {
            return Self(Vec::new());
        };
        let members = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(given.json.text());
        if members.is_err() {
            warnings.dropped(KEY, "it is no object");
        }
        let own = |value: Box<RawValue>| Json::of_written(value.get().to_owned());
        Self(
            members.unwrap_or_default().into_iter().map(|(key, value)| (key, own(value))).collect(),
        )
    }

    fn add(&mut self, key: &str, write: impl FnOnce(&mut Vec<u8>)) {
        if self.0.iter().any(|(known, _)| known == key) {
            return;
        }
        let mut out = Vec::new();
        write(&mut out);
        self.0.push((key.to_owned(), Json::of_written(String::from_utf8(out).unwrap_or_default())));
    }

    fn object(&mut self, key: &str, fill: impl FnOnce(&mut ObjectWriter<'_>)) {
        self.add(key, |out| write_object(out, fill));
    }

    /// Any value that writes itself as JSON does.
    fn value(&mut self, key: &str, value: impl std::fmt::Display) {
        self.add(key, |out| out.extend_from_slice(value.to_string().as_bytes()));
    }

    fn think(&mut self, family: Option<ModelFields>, thinking: Thinking<'_>) {
        match (family, thinking) {
            (Some(ModelFields::Anthropic), Thinking::Off) => {
                self.object("thinking", |object| object.text("type", "disabled"));
            }
            (Some(ModelFields::Anthropic), Thinking::Budget(tokens)) => {
                self.object("thinking", |object| {
                    object.text("type", "enabled");
                    object.number("budget_tokens", tokens);
                });
            }
            (Some(ModelFields::Anthropic), Thinking::Adaptive { display, .. }) => {
                self.object("thinking", |object| {
                    object.text("type", "adaptive");
                    object.optional_text("display", display);
                });
            }
            (Some(ModelFields::Nova2), Thinking::Off) => {
                self.object("reasoningConfig", |object| object.text("type", "disabled"));
            }
            (Some(ModelFields::Nova2), Thinking::Effort(effort)) => {
                self.object("reasoningConfig", |object| {
                    object.text("type", "enabled");
                    object.text("maxReasoningEffort", effort);
                });
            }
            (Some(ModelFields::GptOss), Thinking::Effort(effort)) => {
                self.value("reasoning_effort", Json::of_text(effort).text());
            }
            (Some(ModelFields::Openai), Thinking::Effort(effort)) => {
                self.object("reasoning", |object| object.text("effort", effort));
            }
            _ => {}
        }
    }

    fn top_k(&mut self, family: Option<ModelFields>, top_k: u64, warnings: &mut Warnings) {
        match family {
            Some(ModelFields::Anthropic) => self.value("top_k", top_k),
            Some(ModelFields::Cohere) => self.value("k", top_k),
            Some(ModelFields::Nova | ModelFields::Nova2) => {
                self.object("inferenceConfig", |object| object.number("topK", top_k));
            }
            None => {
                warnings.dropped("top_k", "the id of the model does not tell how it is said");
            }
            _ => warnings.dropped("top_k", "this model has no such setting"),
        }
    }

    fn sample(
        &mut self,
        request: &ChatRequest,
        family: Option<ModelFields>,
        warnings: &mut Warnings,
    ) {
        let sampling = &request.sampling;
        let is_open = family == Some(ModelFields::GptOss);
        let draws = is_open || family == Some(ModelFields::Cohere);
        let number = |value: Option<f64>| value.map(|value| value.to_string());
        let user = request.user.as_deref().map(Json::of_text);
        for (key, value, is_known) in [
            ("seed", sampling.seed.map(|seed| seed.to_string()), draws),
            ("frequency_penalty", number(sampling.frequency_penalty), draws),
            ("presence_penalty", number(sampling.presence_penalty), draws),
            ("logit_bias", sampling.logit_bias.as_ref().map(|it| it.text().to_owned()), is_open),
            ("user", user.map(|it| it.text().to_owned()), is_open),
            ("min_p", number(sampling.min_p), false),
        ] {
            match value {
                Some(value) if is_known => self.value(key, value),
                Some(_) => warnings.dropped(key, "this model has no such setting"),
                None => {}
            }
        }
    }

    /// Sets Claude's own `tool_choice`, which the service merges with its own. The type is omitted if
    /// the service sets one, since it rejects two.
    fn call_singly(
        &mut self,
        request: &ChatRequest,
        family: Option<ModelFields>,
        warnings: &mut Warnings,
    ) {
        let is_forced =
            matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Function(_)));
        match family {
            Some(ModelFields::Anthropic) => {
                self.object("tool_choice", |object| {
                    if !is_forced {
                        object.text("type", "auto");
                    }
                    object.flag("disable_parallel_tool_use", true);
                });
            }
            Some(ModelFields::GptOss) => self.value("parallel_tool_calls", false),
            _ => warnings.dropped("parallel_tool_calls", "this model has no such setting"),
        }
    }
}

/// True for a request member that only this dialect has, whichever client sent it.
pub(super) fn is_own_member(key: &str, foreign: &DialectJson) -> bool {
    const MEMBERS: [&str; 5] = [
        KEY,
        "additionalModelResponseFieldPaths",
        "guardrailConfig",
        "performanceConfig",
        "promptVariables",
    ];
    foreign.dialect == Dialect::BedrockConverse || MEMBERS.contains(&key)
}
