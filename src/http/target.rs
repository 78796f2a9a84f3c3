//! The request target (origin form only) and the host: the text that authentication and routing
//! trust.
//!
//! A target is printable ASCII that begins with `/`. There is one reading of it: nothing here or
//! later decodes or normalises it, so what could be normalised into something else is refused.

use super::head::HeadError;
use super::syntax::host_name_length;
use std::net::Ipv6Addr;

/// Whether `text` may stand as path and query on a request line; the length is not looked at.
pub fn is_target(text: &[u8]) -> bool {
    check_target(text).is_ok()
}

/// The rule of `is_target`, with what was broken.
pub(super) fn check_target(target: &[u8]) -> Result<(), HeadError> {
    if target.first() != Some(&b'/') {
        return Err(HeadError::Malformed("request target (a path that begins with a slash)"));
    }
    if !target.iter().all(|byte| is_target_byte(*byte)) {
        return Err(HeadError::Malformed(
            "request target (only the characters of a URL, no fragment)",
        ));
    }
    let (path, query) = split_query(target);
    if !is_plain_path(path) {
        check_path(path)?;
    }
    match query.filter(|query| memchr::memchr(b'%', query).is_some()) {
        Some(query) if !decoded(query).all(|byte| byte.is_some_and(|byte| byte != 0)) => {
            Err(HeadError::Malformed("request target (% and two hex digits, not zero)"))
        }
        _ => Ok(()),
    }
}

/// Path and query, without the `?` between them.
pub(super) fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', target).and_then(|at| target.split_at_checked(at)) {
        Some((path, query)) => (path, query.get(1..)),
        None => (target, None),
    }
}

/// What may stand in a target as it is. Browsers leave `[ ] { | } ^` and the backquote as they are
/// in a query; no reading of them differs, so they pass. `\` is refused since some take it for a
/// slash.
pub(super) fn is_target_byte(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~') && !matches!(byte, b'#' | b'\\' | b'"' | b'<' | b'>')
}

/// Whether `value` is a host with an optional port: a name of letters, digits and `-._~`, an IPv4
/// address, or an IPv6 address in brackets. Narrower than RFC 3986: no escapes, no `!$&'()*+,;=`,
/// no empty host, no empty port.
pub(super) fn is_host(value: &[u8]) -> bool {
    let (host_is_good, rest) = match value {
        [b'[', bracketed @ ..] => {
            let end = bracketed.iter().position(|byte| *byte == b']');
            let Some((address, [_, rest @ ..])) =
                end.and_then(|end| bracketed.split_at_checked(end))
            else {
                return false;
            };
            (std::str::from_utf8(address).is_ok_and(|it| it.parse::<Ipv6Addr>().is_ok()), rest)
        }
        _ => {
            let end = host_name_length(value);
            (end > 0, value.get(end..).unwrap_or_default())
        }
    };
    host_is_good
        && match rest {
            [] => true,
            [b':', port @ ..] => is_port(port),
            _ => false,
        }
}

fn is_port(digits: &[u8]) -> bool {
    let is_number = |text: &str| text.parse::<u16>().is_ok();
    digits.iter().all(u8::is_ascii_digit) && std::str::from_utf8(digits).is_ok_and(is_number)
}

/// Whether [`check_path`] accepts the path for sure, since it has nothing that could be read in two ways;
/// true for every path of an API.
fn is_plain_path(path: &[u8]) -> bool {
    let mut previous = 0;
    path.iter().all(|byte| {
        let is_plain = match byte {
            b'/' | b'.' => previous != b'/',
            b'%' | b';' | b'\\' => false,
            _ => true,
        };
        previous = *byte;
        is_plain
    })
}

/// Refuses segments that a server may take out or merge: `.`, `..` and empty ones, before or after
/// decoding (`%2f` and `%5c` are separators to some servers), with or without the parameters of RFC
/// 3986 section 3.3 (`..;a=b`, which servlet containers cut off). A last empty segment is a slash at
/// the end, and a first one begins a path that nobody serves. Broken escapes and encoded control
/// characters are refused too.
fn check_path(path: &[u8]) -> Result<(), HeadError> {
    let mut segment = Segment::default();
    let mut is_first = true;
    for byte in decoded(path.get(1..).unwrap_or_default()) {
        match byte {
            None | Some(0..=0x1f | 0x7f) => {
                return Err(HeadError::Malformed(
                    "path (% and two hex digits, no control character)",
                ));
            }
            Some(b'/' | b'\\') => {
                if segment.is_dots() || segment.is_empty() && !is_first {
                    return Err(NO_DOTS);
                }
                (segment, is_first) = (Segment::default(), false);
            }
            Some(byte) => segment.take(byte),
        }
    }
    let is_parameters_only = segment.has_parameters && segment.is_empty();
    if segment.is_dots() || is_parameters_only { Err(NO_DOTS) } else { Ok(()) }
}

const NO_DOTS: HeadError = HeadError::Malformed("path (no `.`, `..` or empty segment)");

/// One segment of a path, as far as it has been read.
#[derive(Clone, Copy, Debug, Default)]
struct Segment {
    dots: u32,
    has_others: bool,
    has_parameters: bool,
}

impl Segment {
    fn take(&mut self, byte: u8) {
        match byte {
            _ if self.has_parameters => {}
            b';' => self.has_parameters = true,
            b'.' => self.dots = self.dots.saturating_add(1),
            _ => self.has_others = true,
        }
    }

    /// True for `.` and `..`.
    fn is_dots(self) -> bool {
        matches!(self.dots, 1 | 2) && !self.has_others
    }

    fn is_empty(self) -> bool {
        self.dots == 0 && !self.has_others
    }
}

/// The bytes of `text` with each `%xx` decoded; none for a `%` without two hex digits.
fn decoded(text: &[u8]) -> impl Iterator<Item = Option<u8>> {
    let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let mut rest = text;
    std::iter::from_fn(move || {
        let (first, tail) = rest.split_first()?;
        if *first != b'%' {
            rest = tail;
            return Some(Some(*first));
        }
        let [high, low, tail @ ..] = tail else {
            rest = &[];
            return Some(None);
        };
        rest = tail;
        Some(hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_parse_unambiguously() {
        for good in [
            "/",
            "/v1/chat/completions",
            "//",
            "/a/",
            "/a?",
            "/a?b=..",
            "/a?x=%0a",
            "/a?b?c",
            "/.a",
            "/...",
            "/a..b",
            "/..a/b",
            "/v1/models/org%2Fname",
            "/v1/models/a%2f",
            "/%252e%252e/",
            "/m:generateContent?alt=sse",
            "/a?f[]=1&g={x|y}",
            "/a;b=c",
            "/a;..",
            "/a..;b/c",
            "/...;a",
            "/%E2%82%AC",
            "/~u/!$&'()*+,;=:@",
        ] {
            assert!(is_target(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "*",
            "a",
            "a/b",
            "http://h/",
            "h:443",
            "?a",
            "/a b",
            "/a\tb",
            "/a#b",
            "/a?b#c",
            "/\\",
            "/a?\\",
            "/é",
            "/a\0",
            "/a\x7f",
            "/..",
            "/../a",
            "/a/..",
            "/a/../b",
            "/a/..?b",
            "/.",
            "/a/.",
            "/a/./b",
            "/a/%2e/b",
            "/a//b",
            "/a/%2fb",
            "/a%2f%2Fb",
            "/a/%5cb",
            "/v1/..;/x",
            "/v1/..;a=b/x",
            "/v1/.;/x",
            "/v1/;/x",
            "/v1/;a",
            "/v1/%2e%2e;/x",
            "/v1/..%3b/x",
            "/v1/..;",
            "/v1/..%3Ba?b",
            "/v1/a%2f..;%2fx",
            "/v1/a%5c.;",
            "/%2e%2e",
            "/%2E./",
            "/.%2e/a",
            "/a/..%2fb",
            "/a%2f..%2fb",
            "/a%5c..",
            "/a%5c..%5cb",
            "/%00",
            "/a?%00",
            "/%0d%0a",
            "/%7f",
            "/%",
            "/%2",
            "/%zz",
            "/a?%",
            "/a?%g0",
            "/\"",
            "/<",
            "/>",
        ] {
            assert!(!is_target(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn hosts_are_validated() {
        for good in [
            "a",
            "example.com",
            "example.com:8443",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:80",
            "a_b.c",
            "xn--bcher-kva.example",
            "localhost:0",
            "[::ffff:1.2.3.4]:65535",
            "EXAMPLE.com",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a:",
            "a:b",
            "a:65536",
            "a:-1",
            "a:+1",
            "a:1:2",
            "a b",
            "a\tb",
            "a/b",
            "a?b",
            "a#b",
            "a@b",
            "u:p@a",
            "a\\b",
            "é",
            "a,b",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]80",
            "[a]",
            "[]",
            "a%2fb",
            "a;b",
            "[fe80::1%eth0]",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
        assert!(!is_host(b"a\xff"));
    }
}
