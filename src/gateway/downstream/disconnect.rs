//! Waiting for as long as the client is there.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};

use crate::cache::Leader;
use crate::gateway::context::{Exchange, GatewayError};
use crate::shard::{Reader, sleep};

/// Waits for `work` for as long as this client is there, or others share the answer. A client that is
/// gone then is taken note of. Pinned by the caller, see [`or_disconnect`].
pub(crate) async fn or_abandoned<T>(
    exchange: &mut Exchange<'_>,
    mut work: impl Future<Output = T> + Unpin,
) -> Result<T, GatewayError> {
    if exchange.client.lost.is_none() {
        let reader = &mut exchange.client.connection.reader;
        match or_disconnect(reader, &mut work).await {
            Err(failure) if is_shared(exchange) => exchange.client.lost = Some(failure),
            outcome => return outcome,
        }
    }
    let Some(flight) = &exchange.flight else { return work.map(Ok).await };
    match select(work, pin!(flight.abandoned())).await {
        Either::Left((done, _)) => Ok(done),
        Either::Right(_) => Err(GatewayError::ClientLeft),
    }
}

/// True if others share the stream of this exchange.
pub(crate) fn is_shared(exchange: &Exchange<'_>) -> bool {
    exchange.flight.as_ref().is_some_and(Leader::has_followers)
}

/// Ends a while after somebody has begun to share this stream: so long its own client may take for a
/// part of it. None where nobody can.
pub(crate) fn followers_wait(exchange: &Exchange<'_>) -> Option<impl Future<Output = ()> + use<>> {
    const FOLLOWERS_WAIT: Duration = Duration::from_secs(1);
    let followed = exchange.flight.as_ref()?.followed();
    Some(followed.then(|()| sleep(FOLLOWERS_WAIT)))
}

/// Bytes of following requests that a client may send ahead while we answer.
const PIPELINED_BYTES_MAX: usize = 64 * 1024;

/// Waits for `work` for as long as the client is there. One read on its connection is in flight
/// all the while; what it sends ahead is kept, up to a bound.
///
/// The caller pins `work`: an `async fn` holds what it is given by value twice.
pub(crate) async fn or_disconnect<T>(
    reader: &mut Reader,
    mut work: impl Future<Output = T> + Unpin,
) -> Result<T, GatewayError> {
    poll_fn(|task| {
        if let Poll::Ready(value) = work.poll_unpin(task) {
            return Poll::Ready(Ok(value));
        }
        while reader.bytes().len() < PIPELINED_BYTES_MAX {
            match reader.poll_fill(task) {
                Poll::Pending => break,
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(GatewayError::ClientLeft)),
                Poll::Ready(Ok(_)) => {}
            }
        }
        Poll::Pending
    })
    .await
}

/// Sends to the client. One that is gone, or that does not read while others share the stream, is no
/// reason for them to wait: the stream goes on without it.
pub(crate) async fn send_shared(
    exchange: &mut Exchange<'_>,
    out: Vec<u8>,
) -> Result<Vec<u8>, GatewayError> {
    let Some(wait) = followers_wait(exchange) else {
        return exchange.send(out).await;
    };
    let sent = match select(pin!(exchange.send(out)), pin!(wait)).await {
        Either::Left((sent, _)) => sent,
        Either::Right(_) => Err(GatewayError::ClientStalled),
    };
    match sent {
        Err(failure) if is_shared(exchange) => {
            exchange.client.lost.get_or_insert(failure);
            Ok(Vec::new())
        }
        sent => sent,
    }
}
