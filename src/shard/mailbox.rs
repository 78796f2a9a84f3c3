//! Bounded mailboxes, through which the control thread sends updates to a shard.
//!
//! Sending never blocks; a full mailbox returns the message, and the sender counts or retries. A
//! message wakes a sleeping shard through its eventfd.

use futures_channel::mpsc;
use futures_util::StreamExt;

/// The receiving end, owned by one shard.
#[derive(Debug)]
pub struct Mailbox<T>(mpsc::Receiver<T>);

/// A sending end; clones may live on any thread.
#[derive(Debug)]
pub struct Sender<T>(mpsc::Sender<T>);

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// A mailbox for `bound` messages, plus one per sender.
#[must_use]
pub fn mailbox<T>(bound: usize) -> (Sender<T>, Mailbox<T>) {
    let (sender, receiver) = mpsc::channel(bound);
    (Sender(sender), Mailbox(receiver))
}

impl<T> Sender<T> {
    /// Sends a message.
    ///
    /// # Errors
    /// Returns the message if the mailbox is full or its owner is gone.
    pub fn send(&mut self, message: T) -> Result<(), T> {
        self.0.try_send(message).map_err(mpsc::TrySendError::into_inner)
    }
}

impl<T> Mailbox<T> {
    /// The next message; `None` once every sender is gone.
    pub async fn receive(&mut self) -> Option<T> {
        self.0.next().await
    }
}
