//! System calls on a socket that the runtime does not offer.
//!
//! The caller keeps the descriptor open during the call. None of them blocks.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

/// Shuts down one or both directions; reads and writes in flight end. An error means that the peer
/// has already closed.
#[expect(unsafe_code, reason = "the runtime offers no shutdown that leaves reads in flight")]
pub(super) fn shutdown(descriptor: RawFd, how: libc::c_int) {
    // SAFETY: the caller keeps the descriptor open; the call touches no memory of ours.
    let _ = unsafe { libc::shutdown(descriptor, how) };
}

/// The state of a socket's receive buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeekResult {
    /// Nothing yet.
    Nothing,
    /// At least one byte.
    Bytes,
    /// The end of the stream, or an error.
    End,
}

/// Peeks at the receive buffer.
#[expect(unsafe_code, reason = "the runtime offers no look at a socket without a read")]
pub(super) fn peek(descriptor: RawFd) -> PeekResult {
    let mut byte = 0_u8;
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    // SAFETY: the caller keeps the descriptor open; the one byte written to is ours and lives
    // through the call.
    let count = unsafe { libc::recv(descriptor, (&raw mut byte).cast(), 1, flags) };
    match count {
        1.. => PeekResult::Bytes,
        0 => PeekResult::End,
        _ if io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock => PeekResult::Nothing,
        _ => PeekResult::End,
    }
}

/// Smoothed round-trip time to the peer, as the kernel measures it. `None` if the system does not
/// provide it.
pub(super) fn round_trip(descriptor: RawFd) -> Option<Duration> {
    // After eight bytes come 16 numbers of 32 bits; `tcpi_rtt` is the last of them, in
    // microseconds.
    let pair = tcp_info(descriptor)?.get(RTT_AT)?.to_ne_bytes();
    let [_, _, _, _, rtt @ ..] = pair;
    Some(Duration::from_micros(u32::from_ne_bytes(rtt).into()))
}

/// Index of the eight bytes of `struct tcp_info` whose later half is `tcpi_rtt`.
const RTT_AT: usize = 8;

/// Index of `tcpi_bytes_acked` in `struct tcp_info`, in units of eight bytes (Linux 4.1; `libc`
/// declares only the older, shorter structure).
const BYTES_ACKED_AT: usize = 15;

/// Bytes sent and acknowledged by the peer's kernel, on a connection that we opened. `None` if the
/// system does not provide it.
pub(super) fn bytes_acknowledged(descriptor: RawFd) -> Option<u64> {
    // The acknowledgment of our SYN counts as one byte.
    tcp_info(descriptor)?.get(BYTES_ACKED_AT)?.checked_sub(1)
}

#[expect(unsafe_code, reason = "TCP_INFO is in no safe interface with these fields")]
fn tcp_info(descriptor: RawFd) -> Option<[u64; BYTES_ACKED_AT + 1]> {
    let mut info = [0_u64; BYTES_ACKED_AT + 1];
    let mut size = libc::socklen_t::try_from(size_of_val(&info)).ok()?;
    // SAFETY: the caller keeps the descriptor open; the system writes at most `size` bytes to
    // `info`, which is that large.
    let outcome = unsafe {
        libc::getsockopt(
            descriptor,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut size,
        )
    };
    if outcome != 0 || usize::try_from(size).ok()? < size_of_val(&info) {
        return None;
    }
    Some(info)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    fn pair() -> Option<(TcpStream, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0").ok()?;
        let ours = TcpStream::connect(listener.local_addr().ok()?).ok()?;
        Some((ours, listener.accept().ok()?.0))
    }

    #[test]
    fn acknowledged_bytes_are_exact_even_after_reset() {
        let (mut ours, mut peer) = pair().expect("sockets");
        let descriptor = ours.as_raw_fd();
        assert_eq!(bytes_acknowledged(descriptor), Some(0));
        let round_trip = round_trip(descriptor).expect("the system says");
        assert!(!round_trip.is_zero() && round_trip < Duration::from_secs(1), "{round_trip:?}");
        ours.write_all(&[0; 1000]).expect("room");
        let mut received = [0; 1000];
        peer.read_exact(&mut received).expect("all comes");
        // Data from the peer carries an acknowledgment.
        peer.write_all(b"x").expect("room");
        ours.read_exact(&mut received[..1]).expect("it comes");
        assert_eq!(bytes_acknowledged(descriptor), Some(1000));
        drop(peer);
        // The peer has closed, and bytes sent now are answered by a reset.
        assert_eq!(ours.read(&mut received).expect("the end"), 0);
        ours.write_all(&[0; 50]).expect("room");
        while !ours.take_error().expect("a socket").is_some_and(|_| true) {
            std::thread::yield_now();
        }
        assert_eq!(bytes_acknowledged(descriptor), Some(1000));
    }

    #[test]
    fn peek_distinguishes_bytes_from_end() {
        let (ours, mut peer) = pair().expect("sockets");
        let descriptor = ours.as_raw_fd();
        assert_eq!(peek(descriptor), PeekResult::Nothing);
        peer.write_all(b"x").expect("room");
        assert_eq!((peek(descriptor), peek(descriptor)), (PeekResult::Bytes, PeekResult::Bytes));
        let (ours, peer) = pair().expect("sockets");
        drop(peer);
        let descriptor = ours.as_raw_fd();
        while peek(descriptor) == PeekResult::Nothing {
            std::thread::yield_now();
        }
        assert_eq!(peek(descriptor), PeekResult::End);
    }
}
