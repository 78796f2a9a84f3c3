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
/// gone then is taken note of. Pinned by the caller, see [`while_client_stays`].
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
    let Some(leader) = leader(exchange) else { return work.map(Ok).await };
    match select(work, pin!(leader.abandoned())).await {
        Either::Left((done, _)) => Ok(done),
        Either::Right(_) => Err(GatewayError::ClientLeft),
    }
}

/// True if others share the stream of this exchange.
pub(crate) fn is_shared(exchange: &Exchange<'_>) -> bool {
    leader(exchange).is_some_and(Leader::has_followers)
}

/// Ends a while after somebody has begun to share this stream: so long its own client may take for a
/// part of it. None where nobody can.
pub(crate) fn followers_wait(exchange: &Exchange<'_>) -> Option<impl Future<Output = ()> + use<>> {
    const FOLLOWERS_WAIT: Duration = Duration::from_secs(1);
    let followed = leader(exchange)?.followed();
    Some(followed.then(|()| sleep(FOLLOWERS_WAIT)))
}

pub(crate) fn leader<'e>(exchange: &'e Exchange<'_>) -> Option<&'e Leader> {
    exchange.cache_write.as_ref()?.leader.as_ref()
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
