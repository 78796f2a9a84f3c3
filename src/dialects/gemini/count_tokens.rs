//! The counting of a prompt's tokens, `countTokens`: its path, its request and its answer.
//!
//! AI Studio takes the whole prompt in `generateContentRequest`, and Vertex at the top.

use super::part::either;
use super::{model_path, read_request, write_request};
use crate::dialects::codec::{RequestPath, Target, Unsayable};
use crate::dialects::warnings::Warnings;
use crate::llm::{ChatRequest, Malformed, Node, Within, write_object};

/// Which of Google's two APIs counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoogleApi {
    /// generativelanguage.googleapis.com.
    AiStudio,
    /// aiplatform.googleapis.com.
    Vertex,
}

/// The path of the request behind the provider's base URL.
#[must_use]
pub fn count_path(target: &Target<'_>) -> String {
    format!("{}:countTokens", model_path(target.model))
}

/// Reads a client's request, in either API's shape.
///
/// # Errors
/// As the reader of requests for answers.
pub fn read_count_request(
    root: Node<'_>,
    path: &RequestPath<'_>,
) -> Result<ChatRequest, Malformed> {
    match either(root, "generateContentRequest", "generate_content_request") {
        Some(inner) => read_request::read(inner, path).within("generateContentRequest"),
        None => read_request::read(root, path),
    }
}

/// Appends the request as `api` takes it: what the prompt is made of, and no settings.
///
/// # Errors
/// If the prompt has something that cannot be said.
pub fn write_count_request(
    request: &ChatRequest,
    target: &Target<'_>,
    api: GoogleApi,
    warnings: &mut Warnings,
    out: &mut Vec<u8>,
) -> Result<(), Unsayable> {
    write_object(out, |root| match api {
        GoogleApi::Vertex => write_request::write_prompt(root, request, target, warnings),
        GoogleApi::AiStudio => root.object("generateContentRequest", |inner| {
            inner.text("model", model_path(target.model).trim_start_matches('/'));
            write_request::write_prompt(inner, request, target, warnings)
        }),
    })
}

/// Reads a provider's answer: the number of tokens.
#[must_use]
pub fn read_count(root: Node<'_>) -> Option<u64> {
    root.get("totalTokens")?.u64()
}

/// Appends the answer for a client.
pub fn write_count(tokens: u64, out: &mut Vec<u8>) {
    write_object(out, |root| root.number("totalTokens", tokens));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::Scanner;

    #[test]
    fn a_prompt_is_sent_to_be_counted_and_read_again() {
        let body = r#"{"contents":[{"role":"user","parts":[{"text":"Hi"}]}],
            "systemInstruction":{"parts":[{"text":"Be brief."}]},
            "generationConfig":{"temperature":1}}"#;
        let path = RequestPath { model: Some("gemini-2.5-flash"), stream: false };
        let target = Target { model: "gemini-2.5-flash", is_original: true };
        assert_eq!(count_path(&target), "/models/gemini-2.5-flash:countTokens");
        let read = |body: &[u8]| {
            let read = |root: Node<'_>| read_count_request(root, &path);
            Scanner::default().read(body, read).expect("JSON").expect("a request")
        };
        let request = read(body.as_bytes());
        for (api, begins) in [
            (GoogleApi::Vertex, r#"{"systemInstruction":"#),
            (
                GoogleApi::AiStudio,
                r#"{"generateContentRequest":{"model":"models/gemini-2.5-flash","#,
            ),
        ] {
            let (mut warnings, mut out) = (Warnings::default(), Vec::new());
            let written = write_count_request(&request, &target, api, &mut warnings, &mut out);
            assert_eq!(written, Ok(()));
            let text = String::from_utf8(out).expect("UTF-8");
            assert!(text.starts_with(begins), "{text}");
            assert!(!text.contains("temperature"), "{text}");
            assert_eq!(read(text.as_bytes()).turns, request.turns);
        }
    }

    #[test]
    fn counts() {
        let read = |body: &str| Scanner::default().read(body.as_bytes(), read_count).expect("JSON");
        assert_eq!(read(r#"{"totalTokens":31,"cachedContentTokenCount":0}"#), Some(31));
        assert_eq!(read("{}"), None);
        let mut out = Vec::new();
        write_count(31, &mut out);
        assert_eq!(out, br#"{"totalTokens":31}"#);
    }
}
