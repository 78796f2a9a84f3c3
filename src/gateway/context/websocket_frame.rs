//! WebSocket frames (RFC 6455 section 5.2): heads of those that a client sends, and whole ones for it.

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
    Other,
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) opcode: Opcode,
    pub(crate) is_final: bool,
    pub(crate) is_masked: bool,
    mask: [u8; 4],
    /// Of the payload.
    pub(crate) length: u64,
    /// Of the head itself.
    pub(crate) bytes: usize,
}

impl FrameHead {
    /// Reads the head that `bytes` begin with; none while it is not whole.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let [first, second, rest @ ..] = bytes else { return None };
        let length_bytes = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let is_masked = second & 0x80 != 0;
        let mask_bytes = if is_masked { 4 } else { 0 };
        let written = rest.get(..length_bytes)?;
        let length = match length_bytes {
            0 => u64::from(second & 0x7f),
            _ => written.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        let mask = rest.get(length_bytes..length_bytes + mask_bytes)?;
        let opcode = match first & 0x0f {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => Opcode::Other,
        };
        Some(Self {
            opcode,
            is_final: first & 0x80 != 0,
            is_masked,
            mask: mask.try_into().unwrap_or_default(),
            length,
            bytes: 2 + length_bytes + mask_bytes,
        })
    }

    /// Takes the mask off a whole payload.
    pub(crate) fn unmask(&self, payload: &mut [u8]) {
        payload.iter_mut().zip(self.mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    }
}

/// Appends a whole frame without a mask, as servers send them.
pub(crate) fn write_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    let code: u8 = match opcode {
        Opcode::Continuation => 0,
        Opcode::Text => 1,
        Opcode::Binary => 2,
        Opcode::Close => 8,
        Opcode::Ping => 9,
        Opcode::Pong | Opcode::Other => 10,
    };
    out.push(0x80 | code);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..126), _) => out.push(length),
        (_, Ok(length)) => {
            out.push(126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_frames_are_read_back() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536] {
            let mut out = Vec::new();
            write_frame(&mut out, Opcode::Text, &vec![b'x'; length]);
            let head = FrameHead::read(&out).expect("whole");
            assert_eq!(
                (head.opcode, head.length, head.is_masked),
                (Opcode::Text, length as u64, false)
            );
            assert_eq!(head.bytes + length, out.len());
            for cut in 0..head.bytes {
                assert_eq!(FrameHead::read(&out[..cut]), None, "{length} cut at {cut}");
            }
        }
    }

    #[test]
    fn masked_payload_is_unmasked() {
        let frame = [0x81, 0x85, 1, 2, 3, 4, b'H' ^ 1, b'e' ^ 2, b'l' ^ 3, b'l' ^ 4, b'o' ^ 1];
        let head = FrameHead::read(&frame).expect("whole");
        let mut payload = frame[head.bytes..].to_vec();
        head.unmask(&mut payload);
        assert_eq!(payload, b"Hello");
    }
}
