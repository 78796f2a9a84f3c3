//! What the rules of a model change where the client's bytes are forwarded: which API is called, and the
//! names of single members. Requests that are translated are made fit in `dialects`.

use std::sync::Arc;

use super::client_request::warnings_header;
use super::edits::BodyEdit;
use super::params::value_after;
use super::resolve::ResolvedProvider;
use crate::dialects::{
    ReasoningRules, Warnings, conversation_member, may_have_foreign_reasoning,
    without_billing_header, without_foreign_reasoning,
};
use crate::gateway::context::{Body, Endpoint, Request, RequestContext};
use crate::llm::{Dialect, EarlierReasoning, RefusedSetting, ResponsesForTools, ResponsesUse};

/// True if the model has to be called by OpenAI's responses API, at a provider that has them and chat
/// completions. `edits` are made to the body.
pub(crate) fn needs_responses(
    context: &RequestContext<'_>,
    request: &Request,
    resolved: &ResolvedProvider,
    (client, edits): (Dialect, &[BodyEdit]),
) -> bool {
    let model = resolved.model.as_deref().unwrap_or_default();
    let rules = context.rules(&resolved.upstream.provider, Dialect::OpenaiChat, model);
    let by_model = match rules.responses {
        Some(ResponsesUse::Always) => true,
        Some(ResponsesUse::Translated) => client != Dialect::OpenaiChat,
        None => false,
    };
    let Body::Json { bytes, outline } = &request.body else { return by_model };
    if by_model || client != Dialect::OpenaiChat {
        return by_model;
    }
    let value = |key| value_after(edits, key, (outline, bytes)).filter(|json| *json != b"null");
    let is_off = || value("reasoning_effort").is_some_and(|effort| effort == b"\"none\"");
    let has_tools = || value("tools").is_some_and(|tools| tools != b"[]");
    match rules.responses_for_tools {
        Some(ResponsesForTools::WithEffort) => {
            value("reasoning_effort").is_some() && !is_off() && has_tools()
        }
        Some(ResponsesForTools::UnlessOff) => !is_off() && has_tools(),
        None => false,
    }
}

/// Gives members of a chat that is forwarded as it is the names that its vendor knows.
pub(crate) fn fit_members(
    context: &RequestContext<'_>,
    request: &Request,
    resolved: &ResolvedProvider,
    edits: &mut Vec<BodyEdit>,
) {
    let provider = &resolved.upstream.provider;
    let has_rules = provider.preset.is_some() || !provider.model_rules.is_empty();
    let Body::Json { bytes, outline } = &request.body else { return };
    if request.endpoint != Endpoint::ChatCompletions || !has_rules {
        return;
    }
    let model = resolved.model.as_deref().unwrap_or_default();
    let rules = context.rules(provider, Dialect::OpenaiChat, model);
    let bound = rules.max_tokens_name.map(|name| (name.other().name(), name.name()));
    let seed = rules.seed_name.as_deref().map(|name| ("seed", name));
    for (from, to) in bound.into_iter().chain(seed) {
        let Some(json) = value_after(edits, from, (outline, bytes)) else { continue };
        let is_free = value_after(edits, to, (outline, bytes)).is_none();
        let renamed = is_free.then(|| BodyEdit::Set { key: to.to_owned(), json: json.to_vec() });
        edits.push(BodyEdit::Remove { key: from.to_owned() });
        edits.extend(renamed);
    }
    if rules.always_refuses(RefusedSetting::StreamOptions)
        && value_after(edits, "stream_options", (outline, bytes)).is_some()
    {
        edits.push(BodyEdit::Remove { key: "stream_options".to_owned() });
    }
}

/// Takes the thoughts of other vendors out of a conversation that is forwarded as it is, and reports it.
pub(crate) fn fit_reasoning(
    context: &RequestContext<'_>,
    request: &Request,
    (resolved, dialect): (&ResolvedProvider, Dialect),
    edits: &mut Vec<BodyEdit>,
) -> Option<Arc<str>> {
    let Body::Json { bytes, outline } = &request.body else { return None };
    let member = request.endpoint.chat_dialect().and(conversation_member(dialect))?;
    let provider = &resolved.upstream.provider;
    let model = resolved.model.as_deref().unwrap_or_default();
    let is_original = provider.is_original();
    let refuses_all = dialect == Dialect::OpenaiChat
        && (is_original
            || provider.preset.is_some()
                && context.rules(provider, dialect, model).thoughts
                    == Some(EarlierReasoning::Refused));
    let is_of_anthropic = dialect == Dialect::AnthropicMessages;
    let signs = is_of_anthropic && (is_original || model.contains("claude"));
    let rules = ReasoningRules { refuses_all, signs };
    let is_imitator = is_of_anthropic && !is_original;
    if !is_imitator && !may_have_foreign_reasoning(dialect, rules, bytes) {
        return None;
    }
    let mut warnings = Warnings::default();
    let mut edit = |key: &str, what: &str, edit: &dyn Fn(&[u8]) -> Option<Vec<u8>>| {
        let edited = value_after(edits, key, (outline, bytes)).and_then(edit);
        if let Some(json) = edited {
            warnings.dropped(what, "another vendor's");
            edits.push(BodyEdit::Set { key: key.to_owned(), json });
        }
    };
    edit(member, "a thought", &|json| without_foreign_reasoning(dialect, rules, json));
    if is_imitator {
        edit("system", "the billing header", &without_billing_header);
    }
    warnings_header(&warnings)
}
