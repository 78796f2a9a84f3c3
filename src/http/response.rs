//! The head of a response, read as strictly as a request: a provider is not trusted either.
//!
//! Framing follows RFC 9112 section 6.3.

use super::fields::Fields;
use super::head::{Framing, HeadError, HeadLimits, Method, Version};
use super::scan::HeadScan;
use super::syntax::is_text_byte;
use std::fmt;

/// A response head, kept and used again for each response of a connection.
///
/// The accessors hold from the call of `parse` that completed a head up to the next call of it. The
/// status of a new or cleared head is 0.
pub struct ResponseHead {
    scan: HeadScan,
    version: Version,
    /// 100 to 599 once a head was read.
    status: u16,
    fields: Fields,
    framing: Framing,
    keep_alive: bool,
}

/// Without the fields, which may hold secrets.
impl fmt::Debug for ResponseHead {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("ResponseHead");
        shown.field("status", &self.status).field("framing", &self.framing).finish_non_exhaustive()
    }
}

impl Default for ResponseHead {
    fn default() -> Self {
        Self {
            scan: HeadScan::default(),
            version: Version::Http11,
            status: 0,
            fields: Fields::default(),
            framing: Framing::None,
            keep_alive: false,
        }
    }
}

impl ResponseHead {
    /// Reads a head from the start of `input`, the whole input that was not yet consumed;
    /// `request_method` is the method that this answers. `None`: call again with more of it.
    /// `Some(n)`: the head took the first `n` bytes. An error is final for the connection.
    pub fn parse(
        &mut self,
        input: &[u8],
        request_method: Method,
        limits: &HeadLimits,
    ) -> Result<Option<usize>, HeadError> {
        let parsed = self.carry_on(input, request_method, limits);
        if !matches!(parsed, Ok(None)) {
            self.scan.restart();
        }
        parsed
    }

    /// Forgets the head and how far the search went, and keeps the memory.
    pub fn clear(&mut self) {
        self.scan.restart();
        self.version = Version::Http11;
        self.status = 0;
        self.fields.clear();
        self.framing = Framing::None;
        self.keep_alive = false;
    }

    /// The version of the status line.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The status code, 100 to 599.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// True for a status of success (2xx).
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the final answer is still to come (1xx). 101 is one of these: the caller must refuse
    /// it, unless it has asked for an upgrade.
    pub fn is_informational(&self) -> bool {
        (100..200).contains(&self.status)
    }

    /// How the body ends.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the connection may be used again once the body was read whole.
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
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
    /// connection by definition, or the peer's `Connection` names it.
    pub fn is_hop_by_hop(&self, name: &str) -> bool {
        self.fields.is_hop_by_hop(name)
    }

    fn carry_on(
        &mut self,
        input: &[u8],
        request_method: Method,
        limits: &HeadLimits,
    ) -> Result<Option<usize>, HeadError> {
        let window = input.get(..limits.head_bytes_max).unwrap_or(input);
        let incomplete = if input.len() < limits.head_bytes_max {
            Ok(None)
        } else {
            Err(HeadError::HeadTooLarge)
        };
        if self.scan.fields_start().is_none() {
            if self.scan.first_byte(window).is_some_and(|byte| byte != b'H') {
                return Err(HeadError::Malformed("status line"));
            }
            let Some(line) = self.scan.start_line(window, usize::MAX)? else { return incomplete };
            self.read_line(window.get(line).unwrap_or_default())?;
        }
        let Some(end) = self.scan.head_end(window)? else { return incomplete };
        self.fields.read(window, &self.scan, limits.fields_max, self.version)?;
        self.settle_framing(request_method);
        Ok(Some(end))
    }

    /// `HTTP/1.1 200 OK`; the reason is dropped, and the space before it may be missing with it.
    fn read_line(&mut self, line: &[u8]) -> Result<(), HeadError> {
        let (version, rest) = match memchr::memchr(b' ', line) {
            Some(space) => (line.get(..space), line.get(space.saturating_add(1)..)),
            None => (Some(line), None),
        };
        self.version = Version::read(version.unwrap_or_default())?;
        let (hundreds, tens, ones, reason) = match rest {
            Some([hundreds, tens, ones]) => (hundreds, tens, ones, &[][..]),
            Some([hundreds, tens, ones, b' ', reason @ ..]) => (hundreds, tens, ones, reason),
            _ => return Err(HeadError::Malformed("status line (version, status and reason)")),
        };
        let digits = [*hundreds, *tens, *ones];
        if !matches!(hundreds, b'1'..=b'5') || !digits.iter().all(u8::is_ascii_digit) {
            return Err(HeadError::Malformed("status (100 to 599)"));
        }
        if !reason.iter().all(|byte| is_text_byte(*byte)) {
            return Err(HeadError::Malformed("reason (no control characters)"));
        }
        self.status = digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
        Ok(())
    }

    fn settle_framing(&mut self, request_method: Method) {
        let length = self.fields.content_length();
        let never_a_body = self.is_informational() || self.status == 204;
        self.framing = if never_a_body || self.status == 304 || request_method == Method::Head {
            Framing::None
        } else if self.fields.is_chunked() {
            Framing::Chunked
        } else {
            length.map_or(Framing::UntilClose, Framing::Length)
        };
        // A peer that announces a body where there can be none may send one. To HEAD, and with 304,
        // it describes the body that it leaves out, and one that forgets to leave it out would have
        // it taken for the next answer: those connections are not kept.
        let announces_a_body = self.fields.is_chunked() || length.is_some_and(|length| length > 0);
        let leaves_out_a_body = self.status == 304 || request_method == Method::Head;
        self.keep_alive = self.fields.keep_alive(self.version)
            && self.framing != Framing::UntilClose
            && !(never_a_body && announces_a_body)
            && !(leaves_out_a_body && length != Some(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: HeadLimits =
        HeadLimits { head_bytes_max: 400, target_bytes_max: 8, fields_max: 10 };

    /// The parsed head, the same for any split of its bytes.
    fn parse(input: &[u8], method: Method) -> Result<Option<(usize, ResponseHead)>, HeadError> {
        let parse_by = |size: usize| {
            let mut head = ResponseHead::default();
            for end in (0..=input.len()).step_by(size).chain([input.len()]) {
                if let Some(taken) = head.parse(&input[..end], method, &LIMITS)? {
                    return Ok(Some((taken, head)));
                }
            }
            Ok(None)
        };
        let whole = parse_by(input.len().max(1));
        for size in [1, 2, 5] {
            assert_eq!(describe(&whole), describe(&parse_by(size)), "{input:?} by {size}");
        }
        whole
    }

    /// All that can be asked of a head, in words.
    fn describe(parsed: &Result<Option<(usize, ResponseHead)>, HeadError>) -> String {
        match parsed {
            Ok(Some((taken, head))) => {
                let line = (head.version(), head.status(), head.framing(), head.keep_alive());
                format!("{taken} {line:?} {:?}", head.fields().collect::<Vec<_>>())
            }
            other => format!("{other:?}"),
        }
    }

    fn check(method: Method, input: &str, status: u16, framing: Framing, keep_alive: bool) {
        match parse(input.as_bytes(), method) {
            Ok(Some((taken, head))) => {
                assert_eq!(taken, input.len(), "{input:?}");
                assert_eq!((head.status(), head.framing()), (status, framing), "{input:?}");
                assert_eq!(head.keep_alive(), keep_alive, "{input:?}");
                assert_eq!(head.is_informational(), status < 200, "{input:?}");
            }
            other => panic!("{input:?}: {other:?}"),
        }
    }

    fn check_refused(input: &str, word: &str) {
        match parse(input.as_bytes(), Method::Get) {
            Err(error) => assert!(error.to_string().contains(word), "{input:?}: {error}"),
            Ok(parsed) => panic!("{input:?}: {parsed:?}"),
        }
    }

    #[test]
    fn framing_follows_the_standard() {
        use Framing::{Chunked, Length, None, UntilClose};
        let get = Method::Get;
        check(get, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, Length(5), true);
        check(get, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, Length(0), true);
        check(get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", 200, Chunked, true);
        check(get, "HTTP/1.1 200 OK\r\n\r\n", 200, UntilClose, false);
        check(
            get,
            "HTTP/1.1 429 \r\nContent-Length: 5\r\nConnection: Close\r\n\r\n",
            429,
            Length(5),
            false,
        );
        check(get, "HTTP/1.1 500\r\nContent-Length: 5\r\n\r\n", 500, Length(5), true);
        check(get, "HTTP/1.1 599 x \u{e9}\t\r\nContent-Length: 5\r\n\r\n", 599, Length(5), true);
        check(get, "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", 200, Length(5), false);
        check(
            get,
            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n",
            200,
            Length(5),
            true,
        );
        check(get, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", 200, UntilClose, false);
        check(get, "HTTP/1.1 100 Continue\r\n\r\n", 100, None, true);
        check(get, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", 101, None, true);
        check(get, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", 103, None, true);
        check(get, "HTTP/1.1 204 No Content\r\n\r\n", 204, None, true);
        check(get, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 204, None, true);
        check(get, "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", 204, None, false);
        check(
            get,
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
            204,
            None,
            false,
        );
        check(get, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304, None, false);
        check(get, "HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n", 304, None, true);
        check(get, "HTTP/1.1 304 Not Modified\r\n\r\n", 304, None, false);
        check(Method::Head, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 200, None, false);
        check(Method::Head, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, None, true);
        check(
            Method::Head,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            200,
            None,
            false,
        );
        check(Method::Head, "HTTP/1.1 200 OK\r\n\r\n", 200, None, false);
    }

    #[test]
    fn invalid_status_lines_are_rejected() {
        for (line, word) in [
            ("HTTP/1.1 099 x", "status"),
            ("HTTP/1.1 600 x", "status"),
            ("HTTP/1.1 999 x", "status"),
            ("HTTP/1.1 20 OK", "status"),
            ("HTTP/1.1 2000 OK", "status"),
            ("HTTP/1.1 2x0 OK", "status"),
            ("HTTP/1.1 +20 OK", "status"),
            ("HTTP/1.1  200 OK", "status"),
            ("HTTP/1.1 200\tOK", "status"),
            ("HTTP/1.1", "status"),
            ("HTTP/1.1 ", "status"),
            ("HTTP/1.1 200 a\0b", "reason"),
            ("HTTP/1.1 200 a\u{1}b", "reason"),
            ("HTTP/2.0 200 OK", "unsupported version"),
            ("HTTP/2 200 OK", "unsupported version"),
            ("HTTP/0.9 200 OK", "unsupported version"),
            ("http/1.1 200 OK", "status line"),
            ("HTTP/1.x 200 OK", "version"),
            ("HTTPS/1.1 200 OK", "version"),
            ("\r\nHTTP/1.1 200 OK", "status line"),
            (" HTTP/1.1 200 OK", "status line"),
            ("<html>", "status line"),
            ("HTTP/1.1 200 OK\rx", "line end"),
            ("HTTP/1.1 200 OK\nx: y", "line end"),
        ] {
            check_refused(&format!("{line}\r\nContent-Length: 0\r\n\r\n"), word);
        }
    }

    #[test]
    fn invalid_fields_are_rejected() {
        for (lines, word) in [
            ("Content-Length: 1\r\nContent-Length: 2\r\n", "content-length"),
            ("Content-Length: 1\r\nContent-Length: 1\r\n", "content-length"),
            ("Content-Length: 1, 2\r\n", "content-length"),
            ("Content-Length: -1\r\n", "content-length"),
            ("Content-Length: 99999999999999999999\r\n", "content-length"),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "framing"),
            ("Transfer-Encoding: gzip, chunked\r\n", "transfer-encoding"),
            ("Transfer-Encoding: identity\r\n", "transfer-encoding"),
            ("X: a\rb\r\n", "line end"),
            ("X: a\nb: c\r\n", "line end"),
            ("X: a\0b\r\n", "field value"),
            ("X: a\r\n b\r\n", "field name"),
            ("X : a\r\n", "field name"),
            ("X\r\n", "field name"),
        ] {
            check_refused(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n"), word);
        }
        check_refused("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer-encoding");
    }

    #[test]
    fn limits_hold_before_the_head_is_complete() {
        check_refused(&format!("HTTP/1.1 200 {}", "x".repeat(400)), "head too large");
        check_refused(&format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(400)), "head too large");
        check_refused(
            &format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: a\r\n".repeat(11)),
            "head too large",
        );
    }

    #[test]
    fn informational_head_precedes_final_head() {
        let input = b"HTTP/1.1 100 Continue\r\nX: 1\r\n\r\n\
            HTTP/1.1 200 OK\r\nConnection: X-A\r\nX-A: 2\r\nContent-Length: 4\r\n\r\nbody";
        let mut head = ResponseHead::default();
        let taken = head.parse(input, Method::Post, &LIMITS).ok().flatten().unwrap_or_default();
        assert!(head.is_informational() && head.get("x") == Some(b"1"));
        let rest = &input[taken..];
        assert_eq!(head.parse(rest, Method::Post, &LIMITS), Ok(Some(rest.len() - 4)));
        assert_eq!((head.status(), head.get("x"), head.get("x-a")), (200, None, Some(&b"2"[..])));
        assert!(head.is_hop_by_hop("x-a") && !head.is_hop_by_hop("content-length"));
        head.clear();
        assert_eq!((head.status(), head.fields().count(), head.keep_alive()), (0, 0, false));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn any_split_of_a_damaged_head_parses_the_same(
            at in 0_usize..46, byte in any::<u8>(), repeat in 1_usize..400,
        ) {
            let mut input = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\n".to_vec();
            let at = at.min(input.len() - 1);
            input.splice(at..=at, vec![byte; repeat]);
            let _ = parse(&input, Method::Get);
        }

        #[test]
        fn arbitrary_bytes_never_panic(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&input, Method::Get);
            let framed = [&b"HTTP/1.1 200 OK\r\n"[..], &input, b"\r\n\r\n"].concat();
            let _ = parse(&framed, Method::Get);
        }
    }
}
