//! Stage `admit`: who calls, and what this call may use.
//!
//! It runs before the body is read. Limits and budgets will be reserved here by later work.

use std::sync::Arc;

use super::access::{check_endpoint, check_inline_route, check_no_route};
use super::endpoint::Endpoint;
use super::error::GatewayError;
use super::fields::presented_keys;
use super::record::Exchange;
use crate::keys::VirtualKey;
use crate::routing::{ActiveRoute, Route};

/// What the request may do.
#[derive(Clone)]
pub(super) struct Grant {
    /// The key that was presented; none where no key is configured.
    pub key: Option<Arc<VirtualKey>>,
    /// The route that selects the provider.
    pub route: Option<Arc<ActiveRoute>>,
}

impl Grant {
    /// The route without what is known of its targets.
    pub(super) fn route(&self) -> Option<&Route> {
        self.route.as_deref().map(ActiveRoute::route)
    }
}

/// Finds the key and the route.
pub(super) fn admit(
    exchange: &mut Exchange<'_>,
    endpoint: Endpoint,
) -> Result<Grant, GatewayError> {
    let snapshot = &exchange.snapshot;
    let mut key = None;
    if !snapshot.settings.keys.is_open() {
        let ring = &snapshot.settings.keys;
        let found = presented_keys(exchange.head).find_map(|secret| ring.find(secret));
        let found = Arc::clone(found.ok_or(GatewayError::ApiKey)?);
        exchange.record.metadata.clone_from(&found.metadata);
        exchange.record.key = Some(Arc::clone(&found.name));
        check_endpoint(&found, endpoint, exchange.head)?;
        key = Some(found);
    }
    let route = find_route(exchange, key.as_deref(), endpoint)?;
    exchange.record.route = route.as_ref().map(|active| Arc::from(active.route().name.as_str()));
    exchange.record.trace_id = exchange.gateway_header("trace-id").map(bounded);
    Ok(Grant { key, route })
}

fn find_route(
    exchange: &Exchange<'_>,
    key: Option<&VirtualKey>,
    endpoint: Endpoint,
) -> Result<Option<Arc<ActiveRoute>>, GatewayError> {
    let named = exchange.gateway_header("config").map(str::trim).filter(|text| !text.is_empty());
    if let Some(json) = named.filter(|text| text.starts_with('{')) {
        let sender = key.map_or("", |key| &*key.name);
        let targets = exchange.worker.targets();
        let active = targets.inline(json, sender).map_err(GatewayError::Config)?;
        key.map_or(Ok(()), |key| check_inline_route(key, active.route()))?;
        return Ok(Some(active));
    }
    let Some(name) = named.or_else(|| key.and_then(|key| key.route.as_deref())) else {
        return key.map_or(Ok(()), |key| check_no_route(key, endpoint)).map(|()| None);
    };
    // The default route of a key is its operator's choice and needs no further leave.
    if named.is_some() && key.is_some_and(|key| !key.routes.allow(name)) {
        return Err(GatewayError::RouteDenied(bounded(name)));
    }
    let found = exchange.snapshot.route(name).map(Arc::clone);
    found.map(Some).ok_or_else(|| GatewayError::UnknownRoute(bounded(name)))
}

/// Client text as it may stand in a message or an event: at most 128 characters.
pub(super) fn bounded(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(128).collect()
}
