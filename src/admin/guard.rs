//! Keeps web pages of other sites in a browser on this machine away from the admin API.
//!
//! A page may resolve its own name to the loopback address and read the API under that name (DNS
//! rebinding): the `host` field reveals it. A page may send a form or a simple request to another
//! site without reading the response: `origin` and `sec-fetch-site` reveal it.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::extract::{self, Request};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::refusal::refusal;
use super::state::AdminState;

/// Accepts a request if its host is one of this listener's names.
pub(super) async fn check_host(
    extract::State(state): extract::State<AdminState>,
    request: Request,
    next: Next,
) -> Response {
    let Some(authority) = authority(&request) else {
        let message = "expected one host field";
        return refusal(StatusCode::BAD_REQUEST, "invalid_request", message);
    };
    if is_own(&authority, &state.hosts) {
        return next.run(request).await;
    }
    let message = "expected an IP address, `localhost` or a name of admin.hosts in the host field";
    refusal(StatusCode::MISDIRECTED_REQUEST, "host_not_allowed", message)
}

/// Accepts a request if it only reads, or comes from no other site.
pub(super) async fn check_origin(request: Request, next: Next) -> Response {
    let only_reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let own = authority(&request);
    if only_reads || own.is_some_and(|own| is_same_site(&own, request.headers())) {
        return next.run(request).await;
    }
    let message = "the admin API takes no writes from pages of other sites";
    refusal(StatusCode::FORBIDDEN, "origin_not_allowed", message)
}

/// The host of the request: from its target if that is absolute, otherwise from its one `host`
/// field. `None` if the two differ.
fn authority(request: &Request) -> Option<Authority> {
    let mut fields = request.headers().get_all(header::HOST).iter();
    let host: Authority = match (fields.next(), fields.next()) {
        (Some(host), None) => host.to_str().ok()?.parse().ok()?,
        _ => return None,
    };
    match request.uri().authority() {
        Some(target) if *target != host => None,
        _ => Some(host),
    }
}

fn is_own(authority: &Authority, hosts: &[String]) -> bool {
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let is_address =
        bare.map_or(host.parse::<Ipv4Addr>().is_ok(), |it| it.parse::<Ipv6Addr>().is_ok());
    // A name may have the trailing dot of the DNS root, as in `localhost.`.
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let has_user = authority.as_str().contains('@');
    !has_user && (is_address || name == "localhost" || hosts.contains(&name))
}

fn is_same_site(own: &Authority, fields: &HeaderMap) -> bool {
    let is_own_origin = |origin: &str| {
        let origin = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        origin.is_some_and(|it| it.eq_ignore_ascii_case(own.as_str()))
    };
    let origins = fields.get_all(header::ORIGIN).iter();
    let sites = fields.get_all("sec-fetch-site").iter();
    // Non-browser clients send neither. `none` is an address typed by the user.
    origins.map(|it| it.to_str().unwrap_or_default()).all(is_own_origin)
        && sites
            .map(axum::http::HeaderValue::as_bytes)
            .all(|it| matches!(it, b"same-origin" | b"none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_host_names_are_accepted() {
        let hosts = ["gateway.internal".to_owned()];
        for (host, expected) in [
            ("127.0.0.1:8081", true),
            ("127.0.0.1", true),
            ("10.0.0.5:8081", true),
            ("[::1]:8081", true),
            ("localhost", true),
            ("LOCALHOST:8081", true),
            ("localhost.:8081", true),
            ("gateway.internal:8081", true),
            ("Gateway.Internal", true),
            ("evil.example", false),
            ("evil.example:8081", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("127.1", false),
            ("a.gateway.internal", false),
            ("localhost@evil.example", false),
            ("evil@localhost", false),
        ] {
            let authority: Authority = host.parse().expect("an authority");
            assert_eq!(is_own(&authority, &hosts), expected, "{host}");
        }
    }
}
