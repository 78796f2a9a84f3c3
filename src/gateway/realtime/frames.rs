//! Where WebSocket frames begin and end in the bytes of one direction (RFC 6455 section 5.2).
//!
//! Heads are read, payloads are handed on as they come: a mask is left on, nothing is kept but a head
//! that has come in part. The same bytes give the same parts however they were cut, but for the
//! payload, which comes in as many pieces as there were reads.

/// The longest head: two bytes, eight of length, four of mask.
const HEAD_BYTES_MAX: usize = 14;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameKind {
    /// What follows a frame of the same message.
    Continuation,
    /// The first of a text.
    Text,
    /// The first of a message that is none.
    Binary,
    /// The sender's last frame.
    Close,
    /// Ping, pong, or an opcode that is not defined yet.
    Other,
}

/// What was found next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FramePart<'b> {
    /// A frame begins.
    Begin {
        kind: FrameKind,
        is_final: bool,
        /// What its payload is masked with; zeros where it is not.
        mask: [u8; 4],
    },
    /// Some of its payload, as it travels; never empty.
    Payload(&'b [u8]),
    /// It has ended.
    End,
}

/// The reader of one direction.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; HEAD_BYTES_MAX],
    head_bytes: usize,
    /// Payload bytes of the frame that are to come.
    left: u64,
    is_close: bool,
    has_closed: bool,
    /// A length that no frame can have: what follows is no frame that we could find.
    is_lost: bool,
}

impl Frames {
    /// True once a close frame has passed whole.
    pub(super) fn has_closed(&self) -> bool {
        self.has_closed
    }

    /// True where the next byte would be the first of a frame.
    pub(super) fn is_between(&self) -> bool {
        !self.is_lost && self.head_bytes == 0 && self.left == 0
    }

    /// Reads on.
    pub(super) fn read(&mut self, mut bytes: &[u8], mut visit: impl FnMut(FramePart<'_>)) {
        while !self.is_lost {
            if self.left > 0 {
                let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                let Some((piece, rest)) = bytes.split_at_checked(count) else { return };
                if piece.is_empty() {
                    return;
                }
                visit(FramePart::Payload(piece));
                self.left -= piece.len() as u64;
                bytes = rest;
                if self.left == 0 {
                    self.end(&mut visit);
                }
                continue;
            }
            let Some((byte, rest)) = bytes.split_first() else { return };
            bytes = rest;
            if let Some(slot) = self.head.get_mut(self.head_bytes) {
                *slot = *byte;
            }
            self.head_bytes += 1;
            self.begin(&mut visit);
        }
    }

    /// Begins the frame if its head is complete.
    fn begin(&mut self, visit: &mut impl FnMut(FramePart<'_>)) {
        let [first, second, rest @ ..] = &self.head;
        let mask_bytes = if second & 0x80 == 0 { 0 } else { 4 };
        let length_bytes = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if self.head_bytes < 2 + length_bytes + mask_bytes {
            return;
        }
        let written = rest.get(..length_bytes).unwrap_or_default();
        let written = written.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        self.left = if length_bytes == 0 { u64::from(second & 0x7f) } else { written };
        if self.left > i64::MAX.cast_unsigned() {
            self.is_lost = true;
            return;
        }
        let kind = match first & 0x0f {
            0 => FrameKind::Continuation,
            1 => FrameKind::Text,
            2 => FrameKind::Binary,
            8 => FrameKind::Close,
            _ => FrameKind::Other,
        };
        self.is_close = kind == FrameKind::Close;
        self.head_bytes = 0;
        let mask = rest.get(length_bytes..length_bytes + mask_bytes);
        let mask = mask.and_then(|mask| mask.try_into().ok()).unwrap_or_default();
        visit(FramePart::Begin { kind, is_final: first & 0x80 != 0, mask });
        if self.left == 0 {
            self.end(visit);
        }
    }

    fn end(&mut self, visit: &mut impl FnMut(FramePart<'_>)) {
        self.has_closed |= self.is_close;
        visit(FramePart::End);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame; with a mask as clients send it.
    fn frame(first: u8, payload: &[u8], is_masked: bool) -> Vec<u8> {
        let mask = if is_masked { 0x80 } else { 0 };
        let mut out = vec![first];
        match payload.len() {
            length @ ..126 => out.push(mask | u8::try_from(length).expect("small")),
            length @ ..65_536 => {
                out.push(mask | 126);
                out.extend(u16::try_from(length).expect("small").to_be_bytes());
            }
            length => {
                out.push(mask | 127);
                out.extend((length as u64).to_be_bytes());
            }
        }
        if is_masked {
            out.extend([1, 2, 3, 4]);
        }
        out.extend_from_slice(payload);
        out
    }

    /// Each frame that was found: kind, final or not, payload.
    fn read_by(bytes: &[u8], size: usize) -> (Vec<(FrameKind, bool, Vec<u8>)>, Frames) {
        let (mut frames, mut found, mut open) = (Frames::default(), Vec::new(), None);
        for piece in bytes.chunks(size) {
            frames.read(piece, |part| match part {
                FramePart::Begin { kind, is_final, .. } => {
                    assert!(open.replace((kind, is_final, Vec::new())).is_none());
                }
                FramePart::Payload(piece) => {
                    assert!(!piece.is_empty());
                    open.as_mut().expect("a frame").2.extend_from_slice(piece);
                }
                FramePart::End => found.push(open.take().expect("a frame")),
            });
        }
        (found, frames)
    }

    #[test]
    fn frames_of_any_length_and_mask_split_anywhere() {
        for is_masked in [false, true] {
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
                let payload = vec![7; length];
                bytes.extend(frame(0x81, &payload, is_masked));
                expected.push((FrameKind::Text, true, payload));
            }
            for size in [1, 2, 3, 7, 13, 4096, bytes.len()] {
                let (found, frames) = read_by(&bytes, size);
                assert!(found == expected, "masked {is_masked}, by {size}");
                assert!(frames.is_between() && !frames.has_closed());
            }
        }
    }

    #[test]
    fn masked_frames_are_detected() {
        for (is_masked, expected) in [(false, [0; 4]), (true, [1, 2, 3, 4])] {
            for length in [0, 5, 126, 70_000] {
                let bytes = frame(0x81, &vec![0; length], is_masked);
                let mut found = None;
                Frames::default().read(&bytes, |part| {
                    if let FramePart::Begin { mask, .. } = part {
                        found = Some(mask);
                    }
                });
                assert_eq!(found, Some(expected), "{length}");
            }
        }
    }

    #[test]
    fn frame_kinds_are_recognized() {
        for (first, kind, is_final) in [
            (0x00, FrameKind::Continuation, false),
            (0x80, FrameKind::Continuation, true),
            (0x01, FrameKind::Text, false),
            (0x82, FrameKind::Binary, true),
            (0x88, FrameKind::Close, true),
            (0x89, FrameKind::Other, true),
            (0x8a, FrameKind::Other, true),
            (0xf1, FrameKind::Text, true),
        ] {
            let (found, frames) = read_by(&frame(first, b"ab", false), 1);
            assert_eq!(found, [(kind, is_final, b"ab".to_vec())], "{first:x}");
            assert_eq!(frames.has_closed(), kind == FrameKind::Close);
        }
    }

    #[test]
    fn partial_frame_is_not_a_boundary() {
        let whole = frame(0x88, b"\x03\xe8", true);
        for cut in 1..whole.len() {
            let (_, frames) = read_by(&whole[..cut], whole.len());
            assert!(!frames.is_between() && !frames.has_closed(), "{cut}");
        }
        assert!(Frames::default().is_between());
    }

    #[test]
    fn invalid_length_ends_the_search() {
        let mut bytes = vec![0x82, 127];
        bytes.extend(u64::MAX.to_be_bytes());
        bytes.extend(frame(0x88, b"", false));
        let (found, frames) = read_by(&bytes, 3);
        assert!(found.is_empty() && !frames.is_between() && !frames.has_closed());
    }

    proptest! {
        #[test]
        fn any_split_of_arbitrary_bytes_reads_the_same(bytes in prop::collection::vec(any::<u8>(), 0..200), size in 1..20_usize) {
            let (found, frames) = read_by(&bytes, size);
            let (whole, other) = read_by(&bytes, 200);
            prop_assert_eq!(found, whole);
            prop_assert_eq!(frames.is_between(), other.is_between());
            prop_assert_eq!(frames.has_closed(), other.has_closed());
        }
    }
}
