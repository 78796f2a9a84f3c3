//! Where events go when they leave the process.

mod line;
#[cfg(test)]
mod reference;
mod request_log;

pub use request_log::{LogError, LogSender, LogTarget, LogWriter, open_log};
