//! The search for the end of a head, carried on where the last call stopped.
//!
//! It refuses every CR and LF that is not part of a CRLF, so all later code may trust the line
//! ends. Each byte is looked at once, however slowly the bytes come. Errors are found in the order
//! of the bytes, so that a cut in the input changes nothing. Positions count from the start of the
//! unconsumed input.

use super::head::{FIELDS_CEILING, FIELDS_USUAL, HeadError};
use super::syntax::first_control;
use std::ops::Range;

/// Where the search stands.
#[derive(Clone, Default)]
pub(super) struct HeadScan {
    /// First byte of the line being looked at.
    line_start: usize,
    /// All before this was searched and holds only whole CRLFs.
    searched: usize,
    /// Set once the start line was handed out: the position behind its CRLF.
    fields_start: Option<usize>,
    /// Where the CRLF of each field line stands: of the first ones, one more than a head may have.
    field_ends: Vec<usize>,
    /// A field line has a control character that no value may have.
    has_controls: bool,
}

impl HeadScan {
    /// Begins a new head and keeps the memory.
    pub(super) fn restart(&mut self) {
        self.line_start = 0;
        self.searched = 0;
        self.fields_start = None;
        self.field_ends.clear();
        self.has_controls = false;
    }

    /// The position of the first field line, once the start line was found.
    pub(super) fn fields_start(&self) -> Option<usize> {
        self.fields_start
    }

    /// Begins behind one empty line, which RFC 9112 section 2.2 asks a server to forgive. A second
    /// is refused.
    pub(super) fn skip_one_empty_line(&mut self, window: &[u8]) {
        if self.line_start == 0 && window.starts_with(b"\r\n") {
            self.line_start = 2;
            self.searched = 2;
        }
    }

    /// Where the CRLFs of the field lines stand, of at most one line more than a head may have.
    pub(super) fn field_ends(&self) -> &[usize] {
        &self.field_ends
    }

    /// Whether some field line has a control character besides tabs.
    pub(super) fn has_controls(&self) -> bool {
        self.has_controls
    }

    /// First byte of the start line, if it came.
    pub(super) fn first_byte(&self, window: &[u8]) -> Option<u8> {
        window.get(self.line_start).copied()
    }

    /// The start line without its CRLF; none while it is incomplete. Longer than `line_bytes_max`:
    /// `TargetTooLong`, detected before the line is complete.
    pub(super) fn start_line(
        &mut self,
        window: &[u8],
        line_bytes_max: usize,
    ) -> Result<Option<Range<usize>>, HeadError> {
        let found = self.line_end(window);
        if self.searched.saturating_sub(self.line_start) > line_bytes_max {
            return Err(HeadError::TargetTooLong);
        }
        let Some(line_end) = found? else { return Ok(None) };
        let line = self.line_start..line_end;
        self.begin_line(line_end);
        self.fields_start = Some(self.line_start);
        self.field_ends.reserve(FIELDS_USUAL);
        Ok(Some(line))
    }

    /// The position behind the empty line that ends the head; none while that has not come.
    pub(super) fn head_end(&mut self, window: &[u8]) -> Result<Option<usize>, HeadError> {
        while let Some(line_end) = self.line_end(window)? {
            let is_empty = line_end == self.line_start;
            self.begin_line(line_end);
            if is_empty {
                return Ok(Some(self.line_start));
            }
            if self.field_ends.len() <= FIELDS_CEILING {
                self.field_ends.push(line_end);
            }
        }
        Ok(None)
    }

    /// The next line begins behind the CRLF at `line_end`.
    fn begin_line(&mut self, line_end: usize) {
        self.line_start = line_end.saturating_add(2);
        self.searched = self.line_start;
    }

    /// Where the CRLF of the current line stands, if it has come.
    fn line_end(&mut self, window: &[u8]) -> Result<Option<usize>, HeadError> {
        loop {
            let rest = window.get(self.searched..).unwrap_or_default();
            let offset = first_control(rest);
            self.searched = self.searched.saturating_add(offset);
            match rest.get(offset..) {
                Some([b'\r', b'\n', ..]) => return Ok(Some(self.searched)),
                Some([b'\r'] | []) | None => return Ok(None),
                Some([b'\r' | b'\n', ..]) => {
                    return Err(HeadError::Malformed("line end (CRLF, no bare CR or LF)"));
                }
                Some([byte, ..]) => {
                    self.has_controls |= *byte != b'\t' && self.fields_start.is_some();
                    self.searched = self.searched.saturating_add(1);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: Result<Option<usize>, ()>) {
        let mut scan = HeadScan::default();
        let found = scan.start_line(input.as_bytes(), usize::MAX).and_then(|line| match line {
            Some(_) => scan.head_end(input.as_bytes()),
            None => Ok(None),
        });
        assert_eq!(found.map_err(|_| ()), expected, "{input:?}");
    }

    #[test]
    fn only_crlf_ends_a_line() {
        check("", Ok(None));
        check("a\r\n\r\n", Ok(Some(5)));
        check("a\r\nb\r\n\r\nrest", Ok(Some(8)));
        check("a\r\n\r", Ok(None));
        check("a\r", Ok(None));
        check("a\n\n", Err(()));
        check("a\r\r\n\r\n", Err(()));
        check("a\r\nb\n\r\n", Err(()));
        check("a\r\nb\rc\r\n\r\n", Err(()));
        check("a\r\n\n", Err(()));
    }

    #[test]
    fn scanned_bytes_are_not_rescanned() {
        let mut scan = HeadScan::default();
        assert_eq!(scan.start_line(b"abcdef", 100), Ok(None));
        assert_eq!(scan.searched, 6);
        // The line feed at index 2 came too late to be seen: those bytes were done with.
        assert_eq!(scan.start_line(b"ab\ndefg\r\n", 100), Ok(Some(0..7)));
    }
}
