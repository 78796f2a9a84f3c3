//! Stage `admit`: who calls, and what this call may use.
//!
//! It runs before the body is read. Limits and budgets will be reserved here by later work.

use std::sync::Arc;

use crate::gateway::context::{
    Endpoint, Exchange, GatewayError, Grant, bounded, check_endpoint, check_inline_route,
    check_no_route, presented_keys,
};
use crate::keys::VirtualKey;
use crate::routing::ActiveRoute;

/// Finds the key and the route.
pub(crate) fn admit(
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
