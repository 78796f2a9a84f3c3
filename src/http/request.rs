//! The head of a request, read strictly: one parsed target, one framing, one host.
//!
//! Errors do not depend on how the bytes were cut. The start line is judged as soon as it is
//! complete, the fields when the head is.

use super::fields::Fields;
use super::head::{Framing, HeadError, HeadLimits, Method, Version};
use super::scan::HeadScan;
use super::syntax::{is_token, is_token_byte};
use super::target::{check_target, is_host, split_query};
use std::fmt;

/// What a request line holds besides its target: the longest method, two spaces and the version.
const LINE_BYTES_BESIDE_TARGET: usize = "OPTIONS  HTTP/1.1".len();

/// A request head, kept and used again for each request of a connection.
///
/// The accessors hold from the call of `parse` that completed a head up to the next call of it. A
/// new or cleared head answers as an empty `GET` of HTTP/1.1.
#[derive(Clone)]
pub struct RequestHead {
    scan: HeadScan,
    method: Method,
    version: Version,
    /// Path and query as they came: printable ASCII, at most `target_bytes_max`.
    target: String,
    path_bytes: usize,
    fields: Fields,
    framing: Framing,
    expects_continue: bool,
}

/// Without target and fields, which hold credentials.
impl fmt::Debug for RequestHead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("RequestHead");
        shown.field("method", &self.method).field("framing", &self.framing).finish_non_exhaustive()
    }
}

impl Default for RequestHead {
    fn default() -> Self {
        Self {
            scan: HeadScan::default(),
            method: Method::Get,
            version: Version::Http11,
            target: String::new(),
            path_bytes: 0,
            fields: Fields::default(),
            framing: Framing::None,
            expects_continue: false,
        }
    }
}

impl RequestHead {
    /// Reads a head from the start of `input`, the whole input that was not yet consumed. `None`:
    /// call again with more of it. `Some(n)`: the head took the first `n` bytes. An error is final
    /// for the connection.
    pub fn parse(&mut self, input: &[u8], limits: &HeadLimits) -> Result<Option<usize>, HeadError> {
        let parsed = self.carry_on(input, limits);
        if !matches!(parsed, Ok(None)) {
            self.scan.restart();
        }
        parsed
    }

    /// Forgets the head and how far the search went, and keeps the memory.
    pub fn clear(&mut self) {
        self.scan.restart();
        self.method = Method::Get;
        self.version = Version::Http11;
        self.target.clear();
        self.path_bytes = 0;
        self.fields.clear();
        self.framing = Framing::None;
        self.expects_continue = false;
    }

    /// The method of the request line.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The version of the request line.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The path as it came, not decoded: printable ASCII from its first slash up to the query.
    pub fn path(&self) -> &str {
        self.target.get(..self.path_bytes).unwrap_or_default()
    }

    /// The query as it came, without its `?`; none if there was no `?`.
    pub fn query(&self) -> Option<&str> {
        self.target.get(self.path_bytes..).and_then(|rest| rest.strip_prefix('?'))
    }

    /// How the body ends; never `UntilClose`.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the client means to send another request on this connection.
    pub fn keep_alive(&self) -> bool {
        self.fields.keep_alive(self.version)
    }

    /// Whether the client holds a body back until it sees `100 Continue`; false if no body is to
    /// come.
    pub fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// All fields in order: lower-case name, value without blanks around it.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter()
    }

    /// The value of the first field with this lower-case name.
    #[inline]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.fields.get(name)
    }

    /// Whether the field with this lower-case name must not be passed on: it belongs to the
    /// connection by definition, or the client's `Connection` names it.
    pub fn is_hop_by_hop(&self, name: &str) -> bool {
        self.fields.is_hop_by_hop(name)
    }

    fn carry_on(&mut self, input: &[u8], limits: &HeadLimits) -> Result<Option<usize>, HeadError> {
        let window = input.get(..limits.head_bytes_max).unwrap_or(input);
        let incomplete = if input.len() < limits.head_bytes_max {
            Ok(None)
        } else {
            Err(HeadError::HeadTooLarge)
        };
        if self.scan.fields_start().is_none() {
            self.scan.skip_one_empty_line(window);
            let first = self.scan.first_byte(window);
            // A TLS greeting on a plain port has no line end for long: tell it from its first byte.
            if first.is_some_and(|byte| byte != b'\r' && !is_token_byte(byte)) {
                return Err(HeadError::Malformed("request line"));
            }
            let line_bytes_max = limits.target_bytes_max.saturating_add(LINE_BYTES_BESIDE_TARGET);
            let Some(line) = self.scan.start_line(window, line_bytes_max)? else {
                return incomplete;
            };
            self.read_line(window.get(line).unwrap_or_default(), limits)?;
        }
        let Some(end) = self.scan.head_end(window)? else { return incomplete };
        self.fields.read(window, &self.scan, limits.fields_max, self.version)?;
        self.read_fields()?;
        Ok(Some(end))
    }

    fn read_line(&mut self, line: &[u8], limits: &HeadLimits) -> Result<(), HeadError> {
        let malformed = HeadError::Malformed("request line (method, target and version)");
        let first_space = memchr::memchr(b' ', line).ok_or(malformed.clone())?;
        let last_space = memchr::memrchr(b' ', line).unwrap_or(first_space);
        if first_space == last_space {
            // `GET /path` alone is the whole of an HTTP/0.9 request.
            let simple = line.starts_with(b"GET /");
            return Err(if simple { HeadError::UnsupportedVersion } else { malformed });
        }
        let method = line.get(..first_space).unwrap_or_default();
        let target = line.get(first_space.saturating_add(1)..last_space).unwrap_or_default();
        // The version is checked first, so that an HTTP/2 preface is recognized.
        self.version = Version::read(line.get(last_space.saturating_add(1)..).unwrap_or_default())?;
        if !is_token(method) {
            return Err(malformed);
        }
        self.method = Method::named(method).ok_or(HeadError::MethodNotAllowed)?;
        if target.len() > limits.target_bytes_max {
            return Err(HeadError::TargetTooLong);
        }
        check_target(target)?;
        self.path_bytes = split_query(target).0.len();
        self.target.clear();
        self.target.push_str(std::str::from_utf8(target).map_err(|_| malformed)?);
        Ok(())
    }

    /// The rules on fields that hold for requests only, and the framing.
    fn read_fields(&mut self) -> Result<(), HeadError> {
        let mut hosts = 0_u32;
        for host in self.fields.values("host") {
            if !is_host(host) {
                return Err(HeadError::Malformed("host (a name or address, optional port)"));
            }
            hosts = hosts.saturating_add(1);
        }
        if hosts > 1 || hosts == 0 && self.version == Version::Http11 {
            return Err(HeadError::Malformed("host (exactly one)"));
        }
        let authorizations = self.fields.values("authorization").count();
        if authorizations > 1 {
            return Err(HeadError::Malformed("authorization (at most one)"));
        }
        // RFC 9110 section 10.1.1: an expectation in a request of 1.0 is to be ignored.
        let expectation = self.fields.get("expect").filter(|_| self.version == Version::Http11);
        if expectation.is_some() {
            let is_known = |value: &[u8]| value.eq_ignore_ascii_case(b"100-continue");
            let mut expectations = self.fields.values("expect");
            if !expectations.next().is_some_and(is_known) || expectations.next().is_some() {
                return Err(HeadError::Malformed("expectation"));
            }
        }
        self.framing = match self.fields.content_length() {
            _ if self.fields.is_chunked() => Framing::Chunked,
            Some(length) => Framing::Length(length),
            None => Framing::None,
        };
        let has_body = !matches!(self.framing, Framing::None | Framing::Length(0));
        self.expects_continue = has_body && expectation.is_some();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
