//! The thread that writes operator messages to standard error.
//!
//! Only this thread waits for standard error, and it is never joined: a blocked reader costs
//! messages, which are counted, and nothing else.

use std::io;

use crate::base::write_messages;

/// Starts the thread. It also writes messages queued before.
///
/// # Errors
/// If the system cannot create the thread.
pub fn start_message_writer() -> io::Result<()> {
    let body = || write_messages(io::stderr());
    // It runs until the process ends.
    std::thread::Builder::new().name("messages".to_owned()).spawn(body).map(drop)
}
