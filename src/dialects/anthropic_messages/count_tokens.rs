//! The vendor's endpoint that counts the tokens of a request without answering it.
//!
//! Its request is that of a message without `max_tokens`; its answer is one number.

use crate::llm::{ChatRequest, Malformed, Node, write_object};

/// Reads a client's request to count.
///
/// # Errors
/// As for a message, but that `max_tokens` may be absent.
pub fn read_token_count_request(root: Node<'_>) -> Result<ChatRequest, Malformed> {
    super::read_request::read(root)
}

/// Reads a provider's count. None if the body has none.
#[must_use]
pub fn read_token_count(root: Node<'_>) -> Option<u64> {
    root.get("input_tokens").and_then(Node::u64)
}

/// Appends the count for a client.
pub fn write_token_count(tokens: u64, out: &mut Vec<u8>) {
    write_object(out, |root| root.number("input_tokens", tokens));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{Scanner, estimate_request_tokens};

    #[test]
    fn a_request_is_counted_and_the_count_comes_back() {
        let body = br#"{"model":"model-1","system":"Be brief.",
            "messages":[{"role":"user","content":"Hello"}]}"#;
        let request = Scanner::default().read(body, read_token_count_request).expect("JSON");
        let tokens = estimate_request_tokens(&request.expect("a request"));
        assert_eq!(tokens, 3 + 3 + 3 + 2);
        let mut out = Vec::new();
        write_token_count(tokens, &mut out);
        assert_eq!(out, br#"{"input_tokens":11}"#);
        assert_eq!(Scanner::default().read(&out, read_token_count), Ok(Some(11)));
        assert_eq!(Scanner::default().read(b"{}", read_token_count), Ok(None));
        let wrong = Scanner::default().read(br#"{"messages":"Hello"}"#, read_token_count_request);
        let fault = wrong.expect("JSON").expect_err("a fault").to_string();
        assert_eq!(fault, "expected `messages` to be an array");
    }
}
