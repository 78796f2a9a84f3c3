//! The JSON array that `streamGenerateContent` sends unless events were requested.

/// Frames JSON objects as one array: `[object`, `,\r\nobject`, `]`. An array without its end is invalid
/// JSON, so that a failed or truncated stream cannot be mistaken for a complete one.
#[derive(Clone, Copy, Debug, Default)]
pub struct ArrayFraming {
    has_begun: bool,
}

impl ArrayFraming {
    /// Appends one object. Nothing may follow an error.
    pub fn piece(&mut self, json: &[u8], out: &mut Vec<u8>) {
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        out.extend_from_slice(if is_first { b"[" } else { b",\r\n" });
        out.extend_from_slice(json);
    }

    /// Ends the array of a complete response.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.has_begun, true) {
            out.push(b'[');
        }
        out.extend_from_slice(b"]\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(pieces: &[&str], is_complete: bool) -> String {
        let (mut framing, mut out) = (ArrayFraming::default(), Vec::new());
        pieces.iter().for_each(|piece| framing.piece(piece.as_bytes(), &mut out));
        if is_complete {
            framing.end(&mut out);
        }
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn chunks_become_one_array() {
        assert_eq!(framed(&["{\"a\":1}", "{}"], true), "[{\"a\":1},\r\n{}]\r\n");
        assert_eq!(framed(&[], true), "[]\r\n");
        assert_eq!(framed(&["{}"], false), "[{}");
    }

    #[test]
    fn unfinished_array_is_invalid_json() {
        for pieces in [&["{}"][..], &["{}", "{\"error\":{\"code\":500}}"], &[]] {
            let is_json = |text: &str| serde_json::from_str::<serde_json::Value>(text).is_ok();
            assert!(!is_json(&framed(pieces, false)), "{pieces:?}");
            assert!(is_json(&framed(pieces, true)), "{pieces:?}");
        }
    }
}
