//! Sending of an answer, right or wrong.

use std::time::{Duration, Instant};

use super::answer::{StreamAnswer, write_json};
use super::connection::{Connection, ConnectionReuse, Disconnect};
use super::dialects::Body;
use super::fault::Fault;
use super::plan::Plan;
use super::request::Head;
use super::{shape, vendor_reply};

/// Output is sent when it has grown this far.
const WRITE_BYTES: usize = 64 << 10;
const HUGE_HEAD_BYTES: usize = 256 << 10;

impl Connection {
    /// Sends the right answer.
    pub async fn send(&mut self, plan: Plan, head: &Head) -> Result<ConnectionReuse, Disconnect> {
        match plan {
            Plan::Json { answer, prompt_tokens } => answer.write(&mut self.output, prompt_tokens),
            Plan::Built { status, body } => write_json(&mut self.output, status, "", &body),
            Plan::Bytes(count) => self.send_bytes(count, None).await?,
            Plan::Reply(reply) => return Box::pin(self.send_reply(&reply, head)).await,
            Plan::Stream { answer, prompt_tokens, include_usage } => {
                StreamAnswer::write_head(&mut self.output, true);
                let tokens = self.tokens(head);
                self.send_tokens(&answer, head, tokens, true).await?;
                answer.write_end(&mut self.output, include_usage.then_some(prompt_tokens), true);
            }
        }
        self.flush().await?;
        Ok(ConnectionReuse::KeepAlive)
    }

    fn tokens(&self, head: &Head) -> u32 {
        head.overrides.tokens.unwrap_or(self.service.options.tokens)
    }

    /// Sends content events at their pace; what is not yet due to be flushed stays in `output`.
    async fn send_tokens(
        &mut self,
        answer: &StreamAnswer,
        head: &Head,
        tokens: u32,
        framed: bool,
    ) -> Result<(), Disconnect> {
        let per_second =
            head.overrides.tokens_per_second.unwrap_or(self.service.options.tokens_per_second);
        let paced = per_second > 0.0;
        let start = Instant::now();
        for index in 0..tokens {
            if paced && index > 0 {
                self.flush().await?;
                let due = start + Duration::from_secs_f64(f64::from(index) / per_second);
                self.wait_until(due).await?;
            }
            answer.write_token(&mut self.output, index, framed);
            if self.output.len() >= WRITE_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Streams zero bytes in chunks; `cut_at` stops before that many have gone out, without an end.
    async fn send_bytes(&mut self, count: u64, cut_at: Option<u64>) -> Result<(), Disconnect> {
        const CHUNK: [u8; 16 << 10] = [b'0'; 16 << 10];
        self.output.extend_from_slice(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ntransfer-encoding: chunked\r\n\r\n",
        );
        let mut left = cut_at.unwrap_or(count);
        while left > 0 {
            let take = left.min(CHUNK.len() as u64) as usize;
            self.output.extend_from_slice(format!("{take:x}\r\n").as_bytes());
            self.output.extend_from_slice(&CHUNK[..take]);
            self.output.extend_from_slice(b"\r\n");
            left -= take as u64;
            if self.output.len() >= WRITE_BYTES {
                self.flush().await?;
            }
        }
        if cut_at.is_none() {
            self.output.extend_from_slice(b"0\r\n\r\n");
        }
        Ok(())
    }

    /// Sends a wrong answer, or none.
    pub async fn send_wrong(
        &mut self,
        plan: Plan,
        head: &Head,
        fault: Fault,
    ) -> Result<ConnectionReuse, Disconnect> {
        let status = match fault {
            Fault::Error => 500,
            Fault::TooMany => 429,
            _ => 0,
        };
        if let Some(reply) = vendor_reply::failure(head, status).filter(|_| status > 0) {
            return Box::pin(self.send_reply(&reply, head)).await;
        }
        let next = match fault {
            Fault::Error => {
                let body = shape::error("server_error", "mock_error", "the mock was told to fail");
                write_json(&mut self.output, "500 Internal Server Error", "", &body);
                ConnectionReuse::KeepAlive
            }
            Fault::TooMany => {
                let body =
                    shape::error("requests", "rate_limit_exceeded", "the mock was told to refuse");
                write_json(&mut self.output, "429 Too Many Requests", "retry-after: 1\r\n", &body);
                ConnectionReuse::KeepAlive
            }
            Fault::Reset => {
                // Closing with a zero linger time makes the kernel send RST; the bytes never went out.
                let _ = self.wire.tcp().set_zero_linger();
                return Ok(ConnectionReuse::Close);
            }
            Fault::Hang => loop {
                if self.fill().await? == 0 {
                    return Err(Disconnect);
                }
                self.forget_input();
            },
            Fault::Garbage => {
                self.output
                    .extend_from_slice(b"\x16\x03\x01\x02\x00 this is not HTTP \xff\xfe\r\n\r\n");
                ConnectionReuse::Close
            }
            Fault::HugeHead => {
                let extra = format!("x-padding: {}\r\n", "a".repeat(HUGE_HEAD_BYTES));
                write_json(&mut self.output, "200 OK", &extra, &body_of(plan));
                ConnectionReuse::KeepAlive
            }
            Fault::Surplus => {
                self.send(plan, head).await?;
                self.output.clear();
                write_json(&mut self.output, "200 OK", "", b"{\"surplus\":true}");
                ConnectionReuse::KeepAlive
            }
            Fault::Truncate | Fault::BadChunk | Fault::CloseDelimited => {
                self.send_misframed(plan, head, fault).await?;
                ConnectionReuse::Close
            }
        };
        self.flush().await?;
        Ok(next)
    }

    /// Fills `output` with an answer whose end is cut, broken or only marked by the close that follows.
    async fn send_misframed(
        &mut self,
        plan: Plan,
        head: &Head,
        fault: Fault,
    ) -> Result<(), Disconnect> {
        let framed = fault != Fault::CloseDelimited;
        match plan {
            Plan::Stream { answer, prompt_tokens, include_usage } => {
                StreamAnswer::write_head(&mut self.output, framed);
                let tokens = self.tokens(head);
                let sent = if framed { tokens / 2 } else { tokens };
                self.send_tokens(&answer, head, sent, framed).await?;
                if !framed {
                    answer.write_end(
                        &mut self.output,
                        include_usage.then_some(prompt_tokens),
                        false,
                    );
                }
            }
            Plan::Bytes(count) => self.send_bytes(count, Some(count / 2)).await?,
            Plan::Reply(reply) => Box::pin(self.misframe_reply(&reply, head, fault)).await?,
            plan if fault == Fault::Truncate => {
                let body = body_of(plan);
                write_json(&mut self.output, "200 OK", "", &body);
                self.output.truncate(self.output.len() - body.len().div_ceil(2));
            }
            plan => {
                let framing =
                    if framed { "transfer-encoding: chunked" } else { "connection: close" };
                let body = body_of(plan);
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{framing}\r\n\r\n"
                );
                self.output.extend_from_slice(head.as_bytes());
                if framed {
                    self.output.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
                }
                self.output.extend_from_slice(&body);
                self.output.extend_from_slice(if framed { b"\r\n" } else { b"" });
            }
        }
        if fault == Fault::BadChunk {
            self.output.extend_from_slice(b"zz\r\nno size\r\n");
        }
        Ok(())
    }
}

/// The body alone, for faults that frame it in other ways.
fn body_of(plan: Plan) -> Vec<u8> {
    match plan {
        Plan::Json { answer, prompt_tokens } => answer.body(prompt_tokens),
        Plan::Built { body, .. } => body,
        Plan::Reply(reply) => match reply.body {
            Body::Whole(body) => body,
            Body::Events(events) => events.concat(),
        },
        Plan::Stream { .. } | Plan::Bytes(_) => b"{}".to_vec(),
    }
}
