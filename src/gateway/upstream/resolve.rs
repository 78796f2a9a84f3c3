//! Which provider serves a request: the one that the route or a header names, else the one that the name of the
//! model picks.
//!
//! `NAME/MODEL` and `@NAME/MODEL` pick the provider of that name. A bare model picks the first
//! provider whose settings list it, then the only one whose preset knows it in the catalogue, then
//! the only one there is.

use std::rc::Rc;

use crate::base::Secret;
use crate::gateway::context::{GatewayError, RequestContext, bounded, vendor_keys, without_scheme};
use crate::gateway::worker::{Snapshot, Upstream};
use crate::providers::{
    Auth, BaseUrl, ModelResolution, ProviderField, only_provider, preset, resolve_model, sole,
};
use crate::routing::Target;

/// How many provider names a hint lists.
const HINT_NAMES_MAX: usize = 12;

/// The provider that serves a request.
pub(crate) struct ResolvedProvider {
    pub upstream: Rc<Upstream>,
    /// The model without the provider's name.
    pub model: Option<String>,
    /// Instead of the provider's own fields, where the client or the config brings the credential.
    pub credential: Option<Vec<ProviderField>>,
    /// No credential of the operator travels.
    pub is_clients_account: bool,
}

impl ResolvedProvider {
    /// A provider as the settings have it.
    fn configured(upstream: &Rc<Upstream>, model: Option<String>) -> Self {
        let upstream = Rc::clone(upstream);
        Self { upstream, model, credential: None, is_clients_account: false }
    }
}

/// The provider that the target or a header names, without `@` and what follows a slash.
pub(crate) fn named_provider(
    context: &RequestContext<'_>,
    target: Option<&Target>,
) -> Option<String> {
    let named = target
        .and_then(|target| target.provider.as_deref())
        .or_else(|| context.gateway_header("provider"))
        .or_else(|| context.gateway_header("virtual-key"))?;
    let named = named.trim().trim_start_matches('@');
    let named = named.split('/').next().unwrap_or(named);
    (!named.is_empty()).then(|| named.to_owned())
}

/// Resolves the provider for `model`.
pub(crate) fn resolve(
    context: &RequestContext<'_>,
    target: Option<&Target>,
    model: Option<&str>,
) -> Result<ResolvedProvider, GatewayError> {
    let snapshot = &context.snapshot;
    if let Some(name) = named_provider(context, target) {
        let mut resolved = named_resolved(context, target, &name)?;
        resolved.model = model.map(|model| without_prefix(model, &name).to_owned());
        return Ok(resolved);
    }
    let providers = &snapshot.settings.providers;
    let chosen = |place: usize, model: Option<&str>| {
        let upstream = snapshot.upstreams.get(place)?;
        Some(ResolvedProvider::configured(upstream, model.map(str::to_owned)))
    };
    let Some(model) = model else {
        return only_provider(providers).and_then(|place| chosen(place, None)).ok_or_else(|| {
            let names = provider_names(snapshot);
            let text = format!(
                "this request names no model: say who answers with the header \
                 x-ringgate-provider, one of {names}"
            );
            GatewayError::Invalid(text.into())
        });
    };
    let providers_with_model = || snapshot.model_info.providers_with_model(providers, model);
    let found = match resolve_model(providers, model, || sole(&providers_with_model())) {
        ModelResolution::Provider(place, model) => chosen(place, Some(model)),
        ModelResolution::UnknownProvider(name) => {
            return Err(GatewayError::UnknownProvider(bounded(name)));
        }
        ModelResolution::None => None,
    };
    found.ok_or_else(|| unknown_model(snapshot, model, &providers_with_model()))
}

/// The error that lists what could have been written instead; with the names of those that know the
/// model, if there are such.
fn unknown_model(snapshot: &Snapshot, model: &str, providers_with_model: &[usize]) -> GatewayError {
    let model = bounded(model);
    let names = providers_with_model.iter().filter_map(|place| snapshot.upstreams.get(*place));
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
    GatewayError::UnknownModel { model, hint }
}

fn without_prefix<'m>(model: &'m str, provider: &str) -> &'m str {
    let bare = model.strip_prefix('@').unwrap_or(model);
    bare.strip_prefix(provider).and_then(|rest| rest.strip_prefix('/')).unwrap_or(model)
}

fn named_resolved(
    context: &RequestContext<'_>,
    target: Option<&Target>,
    name: &str,
) -> Result<ResolvedProvider, GatewayError> {
    let snapshot = &context.snapshot;
    let unknown = || GatewayError::UnknownProvider(bounded(name));
    let custom_host = custom_host(context, target)?;
    let key_of_config = target.and_then(|target| target.api_key.as_ref());
    let is_as_configured = custom_host.is_none() && key_of_config.is_none();
    if let Some(upstream) = snapshot.upstream(name).filter(|_| is_as_configured) {
        return Ok(ResolvedProvider::configured(upstream, None));
    }
    // A key that stands in a route of the settings is the operator's.
    let is_operators = key_of_config.is_some() && target.is_some_and(|target| !target.is_inline);
    if let (Some(upstream), Some(secret), None) =
        (snapshot.upstream(name), key_of_config, &custom_host)
    {
        let credential = Some(fields_with(upstream, secret)?);
        let configured = ResolvedProvider::configured(upstream, None);
        return Ok(ResolvedProvider {
            credential,
            is_clients_account: !is_operators,
            ..configured
        });
    }
    if preset(name).is_none() {
        return Err(unknown());
    }
    let (upstream, auth) =
        snapshot.ad_hoc_upstream(name, custom_host.as_ref()).ok_or_else(unknown)?;
    // The client's own credential: that of the config, or `Authorization` where it is not the virtual
    // key.
    let ring = &snapshot.settings.keys;
    let own = || {
        let secret = vendor_keys(context.head).find(|secret| ring.find(secret).is_none())?;
        Some(String::from_utf8_lossy(without_scheme(secret)).into_owned())
    };
    let secret = key_of_config.map(|secret| secret.reveal().to_owned()).or_else(own);
    let mut fields = upstream.provider.fields.clone();
    match secret {
        Some(secret) => fields.extend(auth.field(&secret)),
        None if auth == Auth::None => {}
        None => {
            let text = format!(
                "provider `{}` is not configured here, so its key is needed in `Authorization`",
                bounded(name)
            );
            return Err(GatewayError::Invalid(text.into()));
        }
    }
    let credential = Some(fields);
    Ok(ResolvedProvider { upstream, model: None, credential, is_clients_account: !is_operators })
}

/// The fields of a configured provider with another key than its own.
fn fields_with(upstream: &Upstream, secret: &Secret) -> Result<Vec<ProviderField>, GatewayError> {
    let Some(preset) = upstream.provider.preset.and_then(preset) else {
        let text = format!(
            "provider `{}` has no preset that says how a key is sent: leave `api_key` out",
            upstream.name
        );
        return Err(GatewayError::Invalid(text.into()));
    };
    let own = preset.auth.field(secret.reveal());
    let is_own = |field: &&ProviderField| own.as_ref().is_none_or(|own| own.name != field.name);
    let mut fields: Vec<_> = upstream.provider.fields.iter().filter(is_own).cloned().collect();
    fields.extend(own);
    Ok(fields)
}

/// The host that a config or a header names. What a client names has to be allowed by the operator.
fn custom_host(
    context: &RequestContext<'_>,
    target: Option<&Target>,
) -> Result<Option<BaseUrl>, GatewayError> {
    let of_config = target.and_then(|target| target.custom_host.as_deref());
    let of_header = || context.gateway_header("custom-host").filter(|text| !text.trim().is_empty());
    let Some(text) = of_config.or_else(of_header) else { return Ok(None) };
    let refused = || {
        GatewayError::Invalid(
            "this custom host is not allowed here (server.custom_hosts lists those that are)"
                .into(),
        )
    };
    let base = BaseUrl::parse(text).map_err(|_| refused())?;
    let is_operators = target.is_some_and(|it| it.custom_host.is_some() && !it.is_inline);
    let hosts = &context.snapshot.settings.server.custom_hosts;
    if is_operators || hosts.iter().any(|host| host.eq_ignore_ascii_case(&base.authority)) {
        Ok(Some(base))
    } else {
        Err(refused())
    }
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
    fn provider_prefix_is_stripped_from_model() {
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
