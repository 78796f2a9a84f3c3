//! The thread that writes messages to standard error.
//!
//! It alone waits for whoever reads standard error, and it is never joined: a reader that is dead or
//! asleep costs messages, which are counted, and nothing else.

use std::io;

use crate::base::write_messages;

/// Starts the thread. Messages that are queued before are written by it too.
///
/// # Errors
/// When the system gives no thread.
pub fn start_message_writer() -> io::Result<()> {
    let body = || write_messages(io::stderr());
    // It runs until the process ends.
    std::thread::Builder::new().name("messages".to_owned()).spawn(body).map(drop)
}
