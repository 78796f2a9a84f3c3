//! The opening of an answer, held back until it shows that the answer is good: all of a JSON answer, of
//! a stream all before its first content.
//!
//! What comes before the first content (a role, `message_start`, pings) binds nobody: as long as the
//! client has seen none of it, another target may be asked.

use super::answer::{Answer, EVENT_BYTES_MAX};
use super::asker::Asker;
use super::failure::Failure;
use super::prepare::Attempt;
use super::receive::Request;
use crate::dialects::{Cutter, StreamDecoder, codec};
use crate::llm::{ApiError, Chunk, Content};

/// What an opening shows.
pub(super) enum Shown {
    /// The answer is good, as far as can be told.
    Good,
    /// The stream begins with an error.
    Error(ApiError),
}

/// Takes in the opening of a successful answer; [`Answer::drain`] gives it again.
pub(super) async fn take_in(
    asker: &Asker<'_>,
    attempt: &Attempt,
    request: &Request,
    answer: &mut Answer,
) -> Result<Shown, Failure> {
    if !request.endpoint.is_metered() || !(200..300).contains(&answer.head.status()) {
        return Ok(Shown::Good);
    }
    if answer.is_stream() {
        return stream(asker, attempt, answer).await;
    }
    let body = answer.keep_whole(asker, attempt).await?;
    let is_coded = answer.head.get("content-encoding").is_some();
    if !is_coded && asker.worker.scanner().answer(&body).is_err() {
        let provider = attempt.upstream.provider.name.clone();
        return Err(Failure::InvalidAnswer { provider, reason: "its body is not JSON" });
    }
    answer.opening = body;
    Ok(Shown::Good)
}

async fn stream(
    asker: &Asker<'_>,
    attempt: &Attempt,
    answer: &mut Answer,
) -> Result<Shown, Failure> {
    let invalid = |reason| Failure::InvalidAnswer {
        provider: attempt.upstream.provider.name.clone(),
        reason,
    };
    let codec = codec(attempt.dialect).or_else(|| codec(crate::llm::Dialect::OpenaiChat));
    let codec = codec.ok_or_else(|| invalid("its dialect has no streams"))?;
    let mut cutter = Cutter::new(codec.frame(), EVENT_BYTES_MAX);
    let mut look = Look { decoder: codec.stream_decoder(), chunks: Vec::new(), shown: None };
    let mut opening = Vec::new();
    let shown = loop {
        let before = opening.len();
        let received = answer.incoming.drain(answer.link.reader(), |run| {
            opening.extend_from_slice(run);
            cutter.push(run);
        });
        let is_complete = received.map_err(|_| invalid("its stream is malformed"))?;
        asker.hold(opening.len() - before)?;
        let cut = cutter.each(|name, data| {
            look.at(asker, name, data);
            Ok(())
        });
        if cut.is_err() && look.shown.is_none() {
            return Err(invalid("an event of its stream makes no sense"));
        }
        if let Some(shown) = look.shown.take() {
            break shown;
        }
        if is_complete || answer.fill_unwatched(attempt).await? == 0 {
            return Err(invalid("its stream ended before its answer had begun"));
        }
    };
    answer.opening = opening;
    Ok(shown)
}

struct Look {
    decoder: Box<dyn StreamDecoder>,
    chunks: Vec<Chunk>,
    shown: Option<Shown>,
}

impl Look {
    fn at(&mut self, asker: &Asker<'_>, name: Option<&str>, data: &[u8]) {
        if self.shown.is_some() {
            return;
        }
        let scanner = &mut asker.worker.scanner();
        if self.decoder.event(name, data, scanner, &mut self.chunks).is_err() {
            // Whether it makes sense to the client is not for the opening to say.
            self.shown = Some(Shown::Good);
            return;
        }
        self.shown = self.chunks.drain(..).find_map(|chunk| match chunk {
            Chunk::Error(error) => Some(Shown::Error(error)),
            Chunk::Grow { .. } | Chunk::Logprobs { .. } | Chunk::Stop { .. } | Chunk::End => {
                Some(Shown::Good)
            }
            // A text opens empty, and a thought; all else opens with content.
            Chunk::Open { content: Content::Text(_) | Content::Reasoning(_), .. } => None,
            Chunk::Open { .. } => Some(Shown::Good),
            Chunk::Start(_) | Chunk::Close { .. } | Chunk::Usage(_) | Chunk::Ping => None,
        });
    }
}
