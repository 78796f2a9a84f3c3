//! Base URLs of providers: a small strict parser for URLs that operators and clients write.
//!
//! It accepts `http` and `https`, a host, a port and a plain path only. Parsers disagree about user
//! info, queries, escapes, dot segments and unusual spellings of addresses, so all of these are
//! rejected: a gateway must not send a credential to a host that a check took for another. Errors
//! never repeat the URL, since it may contain a secret.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest URL, in bytes; the limit of common servers for a whole request target is 8 KiB.
const URL_BYTES_MAX: usize = 2048;

/// The host of a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name to look up, in lower case, without a dot at the end.
    Dns(String),
    /// An IPv4 address.
    Ipv4(Ipv4Addr),
    /// An IPv6 address, without a zone.
    Ipv6(Ipv6Addr),
}

impl Host {
    /// The address, if no lookup is needed.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Dns(_) => None,
            Self::Ipv4(address) => Some(IpAddr::V4(*address)),
            Self::Ipv6(address) => Some(IpAddr::V6(*address)),
        }
    }

    /// True for a loopback address or the name `localhost`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Dns(name) => name == "localhost",
            Self::Ipv4(address) => address.is_loopback(),
            Self::Ipv6(address) => address.is_loopback(),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Dns(name) => name.clone(),
            Self::Ipv4(address) => address.to_string(),
            Self::Ipv6(address) => format!("[{address}]"),
        }
    }
}

/// An HTTP origin and a path prefix.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BaseUrl {
    /// True for `https`.
    pub tls: bool,
    /// Host to connect to.
    pub host: Host,
    /// The port, explicit or from the scheme; never 0.
    pub port: u16,
    /// Empty, or begins with a slash and does not end with one.
    pub path: String,
    /// Value of the `Host` field: host and port, without the default port of the scheme.
    pub authority: String,
}

/// Why a URL is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    /// Empty, or longer than `URL_BYTES_MAX` bytes.
    #[error("expected a URL of 1 to 2048 characters")]
    Length,
    /// Neither `http://` nor `https://`.
    #[error("expected a URL that begins with `https://` or `http://`")]
    Scheme,
    /// `user:password@`.
    #[error("expected a URL without user info")]
    UserInfo,
    /// `?…` or `#…`.
    #[error("expected a URL without query and fragment")]
    QueryOrFragment,
    /// `%…`.
    #[error("expected a URL without `%` escapes")]
    Escape,
    /// A byte that is not allowed at its place.
    #[error("expected a URL of letters, digits and `-._~:+,=/`")]
    Character,
    /// No host, or one that is neither a DNS name nor a plain address.
    #[error("expected a host name or an IP address after `://`")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("expected a port from 1 to 65535")]
    Port,
    /// An empty, `.` or `..` segment.
    #[error("expected a path without `//`, `.` and `..` segments")]
    Path,
}

impl BaseUrlError {
    /// What to write instead.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::Scheme | Self::Length => "as in `https://api.openai.com/v1`",
            Self::UserInfo => "put the credential into `api_key` or `headers`",
            Self::QueryOrFragment => "give the base only, as in `https://api.openai.com/v1`",
            Self::Escape | Self::Character => "write the base plainly, without escapes",
            Self::Host => "IPv6 goes into brackets, as in `http://[::1]:8080/v1`",
            Self::Port => "leave the port out for 443 (https) or 80 (http)",
            Self::Path => "write each segment once, as in `/openai/v1`",
        }
    }
}

impl BaseUrl {
    /// Parses a URL that an operator or client wrote.
    ///
    /// # Errors
    /// If the text is not a plain `http` or `https` URL.
    pub fn parse(text: &str) -> Result<Self, BaseUrlError> {
        if text.is_empty() || text.len() > URL_BYTES_MAX {
            return Err(BaseUrlError::Length);
        }
        let (scheme, rest) = text.split_once("://").ok_or(BaseUrlError::Scheme)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(BaseUrlError::Scheme),
        };
        check_characters(rest)?;
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let (host, port) = split_port(authority)?;
        let host = parse_host(host)?;
        let default_port = if tls { 443 } else { 80 };
        let port = port.map_or(Ok(default_port), parse_port)?;
        let authority =
            if port == default_port { host.text() } else { format!("{}:{port}", host.text()) };
        Ok(Self { tls, host, port, path: parse_path(path)?, authority })
    }
}

fn check_characters(rest: &str) -> Result<(), BaseUrlError> {
    for byte in rest.bytes() {
        match byte {
            _ if byte.is_ascii_alphanumeric() || b"-._~:+,=/[]".contains(&byte) => {}
            b'@' => return Err(BaseUrlError::UserInfo),
            b'?' | b'#' => return Err(BaseUrlError::QueryOrFragment),
            b'%' => return Err(BaseUrlError::Escape),
            _ => return Err(BaseUrlError::Character),
        }
    }
    Ok(())
}

/// Host and port as written; brackets of an IPv6 address are kept.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), BaseUrlError> {
    if authority.starts_with('[') {
        let (inner, after) = authority.split_once(']').ok_or(BaseUrlError::Host)?;
        let host = authority.get(..=inner.len()).ok_or(BaseUrlError::Host)?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(BaseUrlError::Host),
        };
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => Err(BaseUrlError::Host),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

fn parse_port(text: &str) -> Result<u16, BaseUrlError> {
    let digits = !text.is_empty() && text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit());
    let port = if digits { text.parse().ok() } else { None };
    port.filter(|port| *port != 0).ok_or(BaseUrlError::Port)
}

fn parse_host(text: &str) -> Result<Host, BaseUrlError> {
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse().map(Host::Ipv6).map_err(|_| BaseUrlError::Host);
    }
    let name = text.to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    // Some resolvers take `2130706433`, `0x7f.1` and `127.1` for addresses; only the plain form is
    // accepted.
    let numeric = last.bytes().all(|byte| byte.is_ascii_digit());
    let hexadecimal = last
        .strip_prefix("0x")
        .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if !last.is_empty() && (numeric || hexadecimal) {
        return name.parse().map(Host::Ipv4).map_err(|_| BaseUrlError::Host);
    }
    let legal = name.len() <= 253 && name.split('.').all(is_label);
    if legal { Ok(Host::Dns(name)) } else { Err(BaseUrlError::Host) }
}

/// A label of RFC 1123, section 2.1, or with `_`, which container networks use.
fn is_label(label: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=63).contains(&label.len())
        && label.bytes().all(legal)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn parse_path(text: &str) -> Result<String, BaseUrlError> {
    if text.contains(['[', ']']) {
        return Err(BaseUrlError::Character);
    }
    let path = text.strip_suffix('/').unwrap_or(text);
    let segments = path.split('/').skip(1);
    for segment in segments {
        if matches!(segment, "" | "." | "..") {
            return Err(BaseUrlError::Path);
        }
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_urls_are_parsed() {
        for (text, tls, authority, port, path) in [
            ("https://api.openai.com/v1", true, "api.openai.com", 443, "/v1"),
            ("https://api.openai.com/v1/", true, "api.openai.com", 443, "/v1"),
            ("https://api.cohere.com", true, "api.cohere.com", 443, ""),
            ("https://api.cohere.com/", true, "api.cohere.com", 443, ""),
            ("HTTPS://API.Cohere.COM", true, "api.cohere.com", 443, ""),
            ("https://api.cohere.com:443/a", true, "api.cohere.com", 443, "/a"),
            ("https://api.cohere.com:80", true, "api.cohere.com:80", 80, ""),
            ("http://127.0.0.1:9900/v1", false, "127.0.0.1:9900", 9900, "/v1"),
            ("http://127.0.0.1:80", false, "127.0.0.1", 80, ""),
            ("http://[::1]:8080/v1", false, "[::1]:8080", 8080, "/v1"),
            ("http://[::1]", false, "[::1]", 80, ""),
            ("http://[0:0::1]", false, "[::1]", 80, ""),
            ("http://localhost:11434/v1", false, "localhost:11434", 11434, "/v1"),
            ("http://my_model:8000", false, "my_model:8000", 8000, ""),
            ("https://xn--bcher-kva.example", true, "xn--bcher-kva.example", 443, ""),
            (
                "https://1password.com/A/b~c/d:e+f,g=h",
                true,
                "1password.com",
                443,
                "/A/b~c/d:e+f,g=h",
            ),
            ("https://h/...", true, "h", 443, "/..."),
        ] {
            let url = BaseUrl::parse(text).expect(text);
            let got = (url.tls, url.authority.as_str(), url.port, url.path.as_str());
            assert_eq!(got, (tls, authority, port, path), "{text}");
        }
    }

    #[test]
    fn invalid_urls_are_rejected() {
        use BaseUrlError as E;
        for (text, expected) in [
            ("", E::Length),
            ("api.openai.com/v1", E::Scheme),
            ("//api.openai.com", E::Scheme),
            ("ftp://a", E::Scheme),
            ("javascript://a", E::Scheme),
            (" https://a", E::Scheme),
            ("https:/a", E::Scheme),
            ("https://", E::Host),
            ("https:///v1", E::Host),
            ("https://:443", E::Host),
            ("https://user:pass@host", E::UserInfo),
            ("https://good.example\\@evil.example", E::Character),
            ("https://a?b", E::QueryOrFragment),
            ("https://a/#b", E::QueryOrFragment),
            ("https://a/%2e%2e", E::Escape),
            ("https://a b", E::Character),
            ("https://a\r\nhost: b", E::Character),
            ("https://bücher.example", E::Character),
            ("https://a/\"", E::Character),
            ("https://a/[b]", E::Character),
            ("https://a/../b", E::Path),
            ("https://a/./b", E::Path),
            ("https://a//b", E::Path),
            ("https://a//", E::Path),
            ("https://a:0", E::Port),
            ("https://a:65536", E::Port),
            ("https://a:+1", E::Port),
            ("https://a:", E::Port),
            ("https://a:x", E::Port),
            ("https://a:1:2", E::Host),
            ("https://::1", E::Host),
            ("https://[::1", E::Host),
            ("https://[::1]x", E::Host),
            ("https://[fe80::1:2:3:4:5:6:7:8]", E::Host),
            ("https://[1.2.3.4]", E::Host),
            ("https://127.1", E::Host),
            ("https://2130706433", E::Host),
            ("https://0x7f.0.0.1", E::Host),
            ("https://127.0.0.0x1", E::Host),
            ("https://0177.0.0.1", E::Host),
            ("https://256.1.1.1", E::Host),
            ("https://a..b", E::Host),
            ("https://a.", E::Host),
            ("https://-a", E::Host),
            ("https://a-", E::Host),
            ("https://a~b", E::Host),
        ] {
            assert_eq!(BaseUrl::parse(text), Err(expected), "{text}");
        }
        let long = format!("https://a/{}", "b".repeat(URL_BYTES_MAX));
        assert_eq!(BaseUrl::parse(&long), Err(E::Length));
    }

    #[test]
    fn loopback_hosts_are_recognized() {
        for (text, expected) in [
            ("http://127.0.0.1", true),
            ("http://127.9.9.9", true),
            ("http://[::1]", true),
            ("http://localhost", true),
            ("http://localhost.evil.example", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(BaseUrl::parse(text).map(|url| url.host.is_loopback()), Ok(expected));
        }
    }
}
