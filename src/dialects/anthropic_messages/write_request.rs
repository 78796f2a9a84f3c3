//! A request as a provider takes it.

use super::model::Model;
use super::thinking::Plan;
use super::{DIALECT, tools, turns};
use crate::dialects::codec::{Target, Unsayable};
use crate::dialects::foreign;
use crate::dialects::warnings::Warnings;
use crate::llm::{ChatRequest, Format, ObjectWriter, write_object};

/// What this dialect has no word for.
const NO_SUCH: &str = "anthropic-messages has no such setting";

/// Appends the whole body.
pub(super) fn write(
    request: &ChatRequest,
    target: &Target<'_>,
    warnings: &mut Warnings,
    out: &mut Vec<u8>,
) -> Result<(), Unsayable> {
    let wants_text = |kind: &String| kind.eq_ignore_ascii_case("text");
    if !request.modalities.is_empty() && !request.modalities.iter().any(wants_text) {
        return Err(Unsayable::new("a wish for no text", "anthropic-messages answers in text"));
    }
    let model = Model::of(target.model);
    let plan = Plan::of(request, &model, warnings);
    let instruction = instruction(request.format.as_ref(), &model, warnings);
    write_object(out, |root| {
        root.text("model", target.model);
        root.number("max_tokens", plan.max_tokens);
        turns::write(root, request, target, instruction.as_deref(), warnings)?;
        plan.write(root, request);
        output_config(root, request, &plan, &model, warnings);
        sampling(root, request, &plan, &model, warnings);
        stop(root, request, warnings);
        tools::write(root, request, &model, warnings);
        rest(root, request, warnings);
        if request.stream {
            root.flag("stream", true);
        }
        foreign::write(root, request, DIALECT, warnings)?;
        for (path, _) in foreign::inside(request, DIALECT, ".messages.") {
            warnings.dropped(path, "not kept where messages are written anew");
        }
        Ok(())
    })
}

/// What the model is told of the form of its answer where it cannot be held to it.
fn instruction(format: Option<&Format>, model: &Model, warnings: &mut Warnings) -> Option<String> {
    match format {
        None | Some(Format::Text) => None,
        Some(Format::JsonObject) => {
            let how = "asked for in the system prompt, since anthropic-messages has no json_object";
            warnings.changed("response_format", how);
            Some("Answer with one JSON object and nothing else.".to_owned())
        }
        Some(Format::JsonSchema { .. }) if model.has_schemas => None,
        Some(Format::JsonSchema { schema, .. }) => {
            let how = "asked for in the system prompt, since this model has no json_schema";
            warnings.changed("response_format", how);
            let schema = schema.text();
            Some(format!(
                "Answer with one JSON value that follows this JSON schema, and nothing else:\n{schema}"
            ))
        }
    }
}

fn output_config(
    root: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    plan: &Plan,
    model: &Model,
    warnings: &mut Warnings,
) {
    let schema = match &request.format {
        Some(Format::JsonSchema { schema, description, .. }) => {
            if description.is_some() {
                warnings.dropped("the description of response_format", NO_SUCH);
            }
            Some(schema).filter(|_| model.has_schemas)
        }
        _ => None,
    };
    let others = || foreign::inside(request, DIALECT, ".output_config.");
    if plan.effort.is_none() && schema.is_none() && others().next().is_none() {
        return;
    }
    root.object("output_config", |config| {
        config.optional_text("effort", plan.effort);
        if let Some(schema) = schema {
            config.object("format", |format| {
                format.text("type", "json_schema");
                format.raw("schema", schema);
            });
        }
        others().for_each(|(key, value)| config.raw(key, value));
    });
}

fn sampling(
    root: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    plan: &Plan,
    model: &Model,
    warnings: &mut Warnings,
) {
    let sampling = &request.sampling;
    // Why each may not be set (the vendor's pages "Thinking" and its migration guides).
    let refused = if !model.samples {
        Some("this model refuses it")
    } else if plan.thinks() {
        Some("refused by anthropic-messages where the model thinks")
    } else {
        None
    };
    let mut allow = |name: &str, is_usual: bool| match refused {
        Some(_) if is_usual => false,
        Some(why) => {
            warnings.dropped(name, why);
            false
        }
        None => true,
    };
    let temperature = sampling.temperature.filter(|it| allow("temperature", *it == 1.0));
    let top_k = sampling.top_k.filter(|_| allow("top_k", false));
    // Thoughts leave a little room for this one.
    let has_room = model.samples && sampling.top_p.is_some_and(|it| (0.95..=1.0).contains(&it));
    let top_p = sampling.top_p.filter(|it| has_room || allow("top_p", *it == 1.0));
    if let Some(told) = temperature {
        if told > 1.0 {
            warnings.changed("temperature", "1, the most of anthropic-messages");
        }
        root.float("temperature", told.min(1.0));
    }
    match top_p {
        Some(_) if temperature.is_some() && !model.samples_twice => {
            warnings.dropped("top_p", "this model refuses it beside temperature");
        }
        top_p => root.optional_float("top_p", top_p),
    }
    root.optional_number("top_k", top_k);
    for (name, is_set) in [
        ("min_p", sampling.min_p.is_some()),
        ("frequency_penalty", sampling.frequency_penalty.is_some_and(|it| it != 0.0)),
        ("presence_penalty", sampling.presence_penalty.is_some_and(|it| it != 0.0)),
        ("seed", sampling.seed.is_some()),
        ("logit_bias", sampling.logit_bias.is_some()),
    ] {
        if is_set {
            warnings.dropped(name, NO_SUCH);
        }
    }
}

fn stop(root: &mut ObjectWriter<'_>, request: &ChatRequest, warnings: &mut Warnings) {
    let is_said = |text: &&String| !text.trim().is_empty();
    let kept = || request.stop.iter().filter(is_said);
    if kept().count() < request.stop.len() {
        warnings.dropped("stop", "anthropic-messages refuses white space as one");
    }
    if kept().next().is_some() {
        root.texts("stop_sequences", kept().map(String::as_str));
    }
}

fn rest(root: &mut ObjectWriter<'_>, request: &ChatRequest, warnings: &mut Warnings) {
    if let Some(user) = &request.user {
        root.object("metadata", |metadata| metadata.text("user_id", user));
    }
    match request.service_tier.as_deref() {
        None => {}
        Some("auto") => root.text("service_tier", "auto"),
        Some("default") => root.text("service_tier", "standard_only"),
        Some(_) => warnings.dropped("service_tier", "anthropic-messages has auto and default"),
    }
    for (name, is_set) in [
        ("metadata", !request.metadata.is_empty()),
        ("n", request.n.is_some_and(|n| n > 1)),
        ("verbosity", request.verbosity.is_some()),
        ("logprobs", request.top_logprobs.is_some()),
        ("prediction", request.prediction.is_some()),
        ("modalities", request.modalities.iter().any(|kind| !kind.eq_ignore_ascii_case("text"))),
        ("audio", request.audio_output.is_some()),
    ] {
        if is_set {
            warnings.dropped(name, NO_SUCH);
        }
    }
}
