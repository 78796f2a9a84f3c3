//! Stage `route`: which provider answers, and the edits that make the request its own.
//!
//! The order is the documented one: the route, then the provider header, then the model.

use std::rc::Rc;
use std::time::Duration;

use super::admit::{Grant, bounded};
use super::choose::{Pick, only, only_one, pick};
use super::count_tokens;
use super::deliver::Whole;
use super::endpoint::{Endpoint, gemini_aside};
use super::failure::Failure;
use super::fields::{vendor_keys, without_scheme};
use super::models;
use super::receive::{Body, Request};
use super::record::Exchange;
use super::shapes::has_own_embeddings;
use super::translate::{Translation, translate, untranslatable};
use super::upstream::{Snapshot, Upstream};
use crate::dialects::{Target as DialectTarget, codec, gemini_method_path};
use crate::llm::{Dialect, quote, with_include_usage};
use crate::providers::{Auth, BaseUrl, Gap, ProviderField, Timeouts, preset};
use crate::routing::Target;

/// Paths whose bodies name no model, so that a key with a model allow-list may stream to them.
const PATHS_WITHOUT_MODEL: [&str; 4] =
    ["/v1/files", "/v1/uploads", "/v1/vector_stores", "/v1/containers"];

/// How many provider names a hint lists.
const HINT_NAMES_MAX: usize = 12;

/// Where the answer comes from.
pub(super) enum Decision {
    /// The gateway knows it itself.
    Answer(Whole),
    /// A provider is asked.
    Try(Plan),
}

/// An edit of one top-level member of the body.
pub(super) enum Change {
    Set { key: String, json: Vec<u8> },
    Default { key: String, json: Vec<u8> },
    Remove { key: String },
}

/// One call to one target.
pub(super) struct Plan {
    pub upstream: Rc<Upstream>,
    pub changes: Vec<Change>,
    /// Usage was asked for by us and not by the client.
    pub hide_usage: bool,
    /// What the provider speaks.
    pub dialect: Dialect,
    /// Where the provider speaks another dialect than the client.
    pub translation: Option<Box<Translation>>,
    /// Behind the provider's base URL, where it is not the client's own path.
    pub path: Option<String>,
    /// Instead of the provider's own fields, where the client brings the credential.
    pub credential: Option<Vec<ProviderField>>,
    pub timeouts: Timeouts,
    pub forward_headers: Vec<String>,
}

impl Plan {
    /// True if other calls follow the one at hand.
    pub(super) fn has_further_calls(&self) -> bool {
        self.translation.as_ref().is_some_and(|translation| translation.has_further_calls())
    }
}

/// Who answers.
pub(super) struct Choice {
    pub upstream: Rc<Upstream>,
    /// The model without the provider's name.
    pub model: Option<String>,
    credential: Option<Vec<ProviderField>>,
}

/// Decides.
pub(super) fn route(
    exchange: &mut Exchange<'_>,
    grant: &Grant,
    request: &mut Request,
) -> Result<Decision, Failure> {
    let target = grant.route.as_ref().map(|route| &route.target);
    let asked = target.and_then(Target::override_model);
    let asked = asked.or_else(|| request.model().map(str::to_owned));
    let asked = asked.or_else(|| target.and_then(Target::default_model));
    exchange.record.model.clone_from(&asked);
    let named = named_provider(exchange, target);
    if request.endpoint == Endpoint::Models
        && !models::is_asked_of_provider(exchange, grant, named.as_deref())
    {
        return models::answer(exchange, grant, named.as_deref()).map(Decision::Answer);
    }
    let choice = choose(exchange, named.as_deref(), asked.as_deref())?;
    check(exchange, grant, request, &choice)?;
    exchange.record.provider = Some(choice.upstream.name.clone());
    if choice.model.is_some() {
        exchange.record.model.clone_from(&choice.model);
    }
    let dialect = spoken(request, &choice);
    if request.endpoint == Endpoint::CountTokens && dialect.provider != Dialect::AnthropicMessages {
        return count_tokens::estimate(exchange, request).map(Decision::Answer);
    }
    let mut changes = changes(request, target, &choice);
    let (mut translation, mut hide_usage) = (None, false);
    match dialect.client {
        Some(client) if dialect.is_translated => {
            let dialects = (client, dialect.provider);
            let made = translate(exchange, request, &changes, dialects, &choice)?;
            translation = Some(Box::new(made));
        }
        _ => {
            changes.extend(vendor_changes(request, &choice));
            hide_usage = ask_for_usage(request, &mut changes);
        }
    }
    let timeouts = timeouts(exchange, grant, &choice)?;
    Ok(Decision::Try(Plan {
        forward_headers: forward_headers(exchange, target),
        path: own_path(exchange, request, translation.as_deref(), &choice),
        dialect: dialect.provider,
        credential: choice.credential,
        upstream: choice.upstream,
        changes,
        hide_usage,
        translation,
        timeouts,
    }))
}

/// What is spoken on the two sides of one exchange.
struct Spoken {
    /// None where bytes only pass.
    client: Option<Dialect>,
    provider: Dialect,
    is_translated: bool,
}

fn spoken(request: &Request, choice: &Choice) -> Spoken {
    let model = choice.model.as_deref();
    let provider = &choice.upstream.provider;
    let own = provider.dialect_for(model);
    // Counting is asked of those who offer it, and is no conversation.
    let of_chat = request.endpoint.chat_dialect().filter(|_| request.endpoint.is_metered());
    let (client, provider, is_translated) = match (request.endpoint, of_chat) {
        (Endpoint::Completions, _) => {
            let is_chat_only = own != Dialect::OpenaiChat || provider.has_gap(Gap::Completions);
            (Some(Dialect::OpenaiChat), own, is_chat_only)
        }
        (Endpoint::Embeddings, _) => {
            let is_other = own != Dialect::OpenaiChat || has_own_embeddings(provider);
            (Some(Dialect::OpenaiChat), own, is_other)
        }
        (Endpoint::Rerank, _) => {
            let is_other = !matches!(own, Dialect::CohereChat | Dialect::Passthrough);
            (Some(Dialect::CohereChat), own, is_other)
        }
        (_, Some(client)) => {
            let spoken = provider.dialect_toward(client, model);
            // Google's other form of a stream, one array, is written by us only.
            (Some(client), spoken, spoken != client || request.as_array)
        }
        (_, None) => (None, own, false),
    };
    Spoken { client, provider, is_translated }
}

/// The path of a request whose model stands in it, or whose dialect has another.
fn own_path(
    exchange: &Exchange<'_>,
    request: &Request,
    translation: Option<&Translation>,
    choice: &Choice,
) -> Option<String> {
    if let Some(translation) = translation {
        return Some(translation.path.clone());
    }
    let path = exchange.head.path();
    let model = choice.model.as_deref().unwrap_or_default();
    match request.endpoint {
        Endpoint::GenerateContent => {}
        // The version is no part of Cohere's base.
        Endpoint::Rerank if choice.upstream.provider.dialect == Dialect::CohereChat => {
            return Some(path.to_owned());
        }
        _ => {
            let (_, method) = request.path_model.as_ref().and_then(|_| gemini_aside(path))?;
            return Some(gemini_method_path(model, method));
        }
    }
    let target = DialectTarget { model, is_original: true };
    codec(Dialect::Gemini).map(|codec| codec.path(&target, request.is_stream()))
}

/// The provider that the route or a header names, without `@` and what follows a slash.
fn named_provider(exchange: &Exchange<'_>, target: Option<&Target>) -> Option<String> {
    let named = target
        .and_then(|target| target.provider.as_deref())
        .or_else(|| exchange.ours("provider"))
        .or_else(|| exchange.ours("virtual-key"))?;
    let named = named.trim().trim_start_matches('@');
    let named = named.split('/').next().unwrap_or(named);
    (!named.is_empty()).then(|| named.to_owned())
}

fn choose(
    exchange: &Exchange<'_>,
    named: Option<&str>,
    model: Option<&str>,
) -> Result<Choice, Failure> {
    let snapshot = &exchange.snapshot;
    if let Some(name) = named {
        let mut choice = named_choice(exchange, name)?;
        choice.model = model.map(|model| without_prefix(model, name).to_owned());
        return Ok(choice);
    }
    let settings = &snapshot.settings;
    let chosen = |place: usize, model: Option<&str>| {
        let upstream = Rc::clone(snapshot.upstreams.get(place)?);
        Some(Choice { upstream, model: model.map(str::to_owned), credential: None })
    };
    let Some(model) = model else {
        return only_one(settings).and_then(|place| chosen(place, None)).ok_or_else(|| {
            let names = provider_names(snapshot);
            let text = format!(
                "this request names no model: say who answers with the header \
                 x-ringgate-provider, one of {names}"
            );
            Failure::Invalid(text.into())
        });
    };
    let knowers = || snapshot.cards.knowers(settings, model);
    let found = match pick(settings, model, || only(&knowers())) {
        Pick::Provider(place, model) => chosen(place, Some(model)),
        Pick::UnknownProvider(name) => return Err(Failure::UnknownProvider(bounded(name))),
        Pick::None => None,
    };
    found.ok_or_else(|| unknown_model(snapshot, model, &knowers()))
}

/// Tells what could have been written instead; with the names of those that know the model, if there
/// are such.
fn unknown_model(snapshot: &Snapshot, model: &str, knowers: &[usize]) -> Failure {
    let model = bounded(model);
    let names = knowers.iter().filter_map(|place| snapshot.upstreams.get(*place));
    let names: Vec<&str> = names.map(|it| &*it.name).take(HINT_NAMES_MAX).collect();
    let hint = if names.is_empty() {
        format!(
            "write `PROVIDER/{model}` with one of {}, or list the model under that provider's \
             `models`",
            provider_names(snapshot)
        )
    } else {
        format!(
            "more than one would know it: write `PROVIDER/{model}` with one of {}, or list the model \
             under that provider's `models`",
            names.join(", ")
        )
    };
    Failure::UnknownModel { model, hint }
}

fn without_prefix<'m>(model: &'m str, provider: &str) -> &'m str {
    let bare = model.strip_prefix('@').unwrap_or(model);
    bare.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/')).unwrap_or(model)
}

fn named_choice(exchange: &Exchange<'_>, name: &str) -> Result<Choice, Failure> {
    let snapshot = &exchange.snapshot;
    let unknown = || Failure::UnknownProvider(bounded(name));
    let custom_host = custom_host(exchange)?;
    if let Some(upstream) = snapshot.upstream(name).filter(|_| custom_host.is_none()) {
        return Ok(Choice { upstream: Rc::clone(upstream), model: None, credential: None });
    }
    if preset(name).is_none() {
        return Err(unknown());
    }
    // The client's own credential: `Authorization` where it is not the virtual key.
    let ring = &snapshot.settings.keys;
    let own = vendor_keys(exchange.head).find(|secret| ring.find(secret).is_none());
    let (upstream, auth) = snapshot.unlisted(name, custom_host.as_ref()).ok_or_else(unknown)?;
    let mut fields = upstream.provider.fields.clone();
    match own.map(|secret| String::from_utf8_lossy(without_scheme(secret)).into_owned()) {
        Some(secret) => fields.extend(auth.field(&secret)),
        None if auth == Auth::None => {}
        None => {
            let text = format!(
                "provider `{}` is not configured here, so its key is needed in `Authorization`",
                bounded(name)
            );
            return Err(Failure::Invalid(text.into()));
        }
    }
    Ok(Choice { upstream, model: None, credential: Some(fields) })
}

/// The host a client names, if the operator lets clients name it.
fn custom_host(exchange: &Exchange<'_>) -> Result<Option<BaseUrl>, Failure> {
    let Some(text) = exchange.ours("custom-host") else { return Ok(None) };
    let refused = || {
        Failure::Invalid(
            "this custom host is not allowed here (server.custom_hosts lists those that are)"
                .into(),
        )
    };
    let base = BaseUrl::parse(text).map_err(|_| refused())?;
    let hosts = &exchange.snapshot.settings.server.custom_hosts;
    if hosts.iter().any(|host| host.eq_ignore_ascii_case(&base.authority)) {
        Ok(Some(base))
    } else {
        Err(refused())
    }
}

fn check(
    exchange: &Exchange<'_>,
    grant: &Grant,
    request: &Request,
    choice: &Choice,
) -> Result<(), Failure> {
    if let Some(model) = &choice.model {
        grant.check_model(model)?;
    }
    // A body that is not looked at could name any model, whatever the route says: it is not edited
    // either. One that names none may mean a stored one. But for the paths that take none.
    let path = exchange.head.path();
    // Nor does a body say much where the path may name another model.
    let provider = &choice.upstream.provider;
    let says_nothing = choice.model.is_none() || provider.has_models_in_paths();
    let is_unseen = match request.body {
        Body::Empty => false,
        Body::Json { .. } => says_nothing && request.endpoint == Endpoint::PassThrough,
        Body::Streamed { .. } => true,
    };
    let is_under = |folder: &str| {
        path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if is_unseen && !PATHS_WITHOUT_MODEL.iter().any(|folder| is_under(folder)) {
        grant.check_model("(not visible in this request)")?;
    }
    check_abilities(request, choice)?;
    if request.endpoint.is_metered() && choice.model.is_none() {
        return Err(Failure::Invalid("`model` is required".into()));
    }
    Ok(())
}

/// Refuses what the vendor is known not to have.
fn check_abilities(request: &Request, choice: &Choice) -> Result<(), Failure> {
    let provider = &choice.upstream.provider;
    let missing = match request.endpoint {
        Endpoint::Embeddings => provider.has_gap(Gap::Embeddings).then_some("embeddings"),
        // Completions are asked for as chats where there are none.
        Endpoint::Completions if !provider.has_gap(Gap::Completions) => None,
        Endpoint::CountTokens | Endpoint::Rerank => None,
        endpoint if endpoint.is_metered() => provider.has_gap(Gap::Chat).then_some("chats"),
        _ => None,
    };
    if let Some(missing) = missing {
        let text = format!("the vendor of provider `{}` has no {missing}", provider.name);
        return Err(Failure::Invalid(text.into()));
    }
    let dialect = provider.dialect_for(choice.model.as_deref());
    if request.path_model.is_some() && dialect != Dialect::Gemini {
        return Err(untranslatable(choice, dialect));
    }
    Ok(())
}

/// The edits of the route, and the model that was chosen.
fn changes(request: &Request, target: Option<&Target>, choice: &Choice) -> Vec<Change> {
    let mut changes = Vec::new();
    let Body::Json { outline, .. } = &request.body else { return changes };
    if let Some(target) = target {
        let defaults = target.default_params.iter();
        changes.extend(
            defaults.map(|(key, json)| Change::Default { key: key.clone(), json: json.clone() }),
        );
        let overrides = target.override_params.iter();
        changes.extend(
            overrides.map(|(key, json)| Change::Set { key: key.clone(), json: json.clone() }),
        );
    }
    let is_in_path = request.endpoint == Endpoint::GenerateContent || request.path_model.is_some();
    if let Some(model) = choice.model.as_deref().filter(|it| outline.model.as_deref() != Some(it))
        && !is_in_path
    {
        changes.push(Change::Set { key: "model".to_owned(), json: quote(model) });
    }
    changes
}

/// What the vendor wants to be said elsewhere than its dialect says it.
pub(super) fn vendor_changes(request: &Request, choice: &Choice) -> Vec<Change> {
    if !request.endpoint.is_metered() {
        return Vec::new();
    }
    let model = choice.model.as_deref();
    let members = choice.upstream.provider.members(model).into_iter();
    let change = |(key, text): (&str, Option<&str>)| match text {
        Some(text) => Change::Set { key: key.to_owned(), json: quote(text) },
        None => Change::Remove { key: key.to_owned() },
    };
    members.map(change).collect()
}

/// Asks an OpenAI stream for its usage; true if the client did not, and is not to see it.
fn ask_for_usage(request: &Request, changes: &mut Vec<Change>) -> bool {
    let Body::Json { bytes, outline } = &request.body else { return false };
    let has_option = matches!(request.endpoint, Endpoint::ChatCompletions | Endpoint::Completions);
    let hide_usage = has_option && outline.stream && !outline.include_usage;
    if hide_usage {
        let json = with_include_usage(outline.value(bytes, "stream_options"));
        changes.push(Change::Set { key: "stream_options".to_owned(), json });
    }
    hide_usage
}

fn timeouts(exchange: &Exchange<'_>, grant: &Grant, choice: &Choice) -> Result<Timeouts, Failure> {
    let mut timeouts = choice.upstream.provider.timeouts;
    let header = match exchange.ours("request-timeout") {
        None => None,
        Some(text) => {
            let number = text.trim().parse::<u64>().ok().filter(|number| *number > 0);
            let refused = "expected a whole number of milliseconds above 0 in request-timeout";
            Some(Duration::from_millis(number.ok_or(Failure::Invalid(refused.into()))?))
        }
    };
    let route = grant.route.as_ref().and_then(|route| route.request_timeout);
    if let Some(total) = header.or(route) {
        timeouts.total = total;
    }
    Ok(timeouts)
}

fn forward_headers(exchange: &Exchange<'_>, target: Option<&Target>) -> Vec<String> {
    let asked = exchange.ours("forward-headers").unwrap_or_default();
    let asked = asked.split(',').map(|name| name.trim().to_ascii_lowercase());
    let configured = target.map(|target| target.forward_headers.clone()).unwrap_or_default();
    configured.into_iter().chain(asked).filter(|name| !name.is_empty()).take(64).collect()
}

fn provider_names(snapshot: &Snapshot) -> String {
    let names: Vec<&str> =
        snapshot.upstreams.iter().map(|it| &*it.name).take(HINT_NAMES_MAX).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provider_prefixes_come_off() {
        for (model, provider, expected) in [
            ("openai/gpt-4o", "openai", "gpt-4o"),
            ("@openai/gpt-4o", "openai", "gpt-4o"),
            ("gpt-4o", "openai", "gpt-4o"),
            ("openai-x/gpt-4o", "openai", "openai-x/gpt-4o"),
            ("meta/llama/3", "meta", "llama/3"),
        ] {
            assert_eq!(without_prefix(model, provider), expected, "{model}");
        }
    }
}
