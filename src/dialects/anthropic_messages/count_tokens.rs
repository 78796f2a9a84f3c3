//! The response of `count_tokens`, for providers without such an endpoint. The request is read like a
//! message.

use crate::llm::write_object;

/// Appends the count.
pub fn write_token_count(tokens: u64, out: &mut Vec<u8>) {
    write_object(out, |root| root.number("input_tokens", tokens));
}

#[cfg(test)]
mod tests {
    use super::super::read_request;
    use super::*;
    use crate::llm::{Scanner, estimate_request_tokens};

    #[test]
    fn count_tokens_request_is_read() {
        let read = |body: &[u8]| Scanner::default().read(body, read_request::read).expect("JSON");
        // The request has no `max_tokens`.
        let request = read(
            br#"{"model":"model-1","system":"Be brief.",
            "messages":[{"role":"user","content":"Hello"}]}"#,
        );
        let tokens = estimate_request_tokens(&request.expect("a request"));
        assert_eq!(tokens, 3 + 3 + 3 + 2);
        let mut out = Vec::new();
        write_token_count(tokens, &mut out);
        assert_eq!(out, br#"{"input_tokens":11}"#);
        let fault = read(br#"{"messages":"Hello"}"#).expect_err("a fault").to_string();
        assert_eq!(fault, "expected `messages` to be an array");
    }
}
