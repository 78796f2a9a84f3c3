//! The client half of each format, for tests that play the vendor: it reads what `write_request` wrote,
//! and writes what `read_answer` reads.

use super::cohere::{Cohere, read_rerank_request, write_rerank_answer};
use super::documents::{check, documents};
use super::jina::Jina;
use super::results::{wanted, write_result};
use super::tei::Tei;
use super::voyage::Voyage;
use crate::dialects::extra_fields;
use crate::llm::{
    Dialect, Malformed, Node, RerankAnswer, RerankRequest, write_array, write_object,
};

const DIALECT: Dialect = Dialect::OpenaiChat;

/// The half of a format that faces clients.
pub(super) trait ClientRerank {
    fn read_request(&self, root: Node<'_>) -> Result<RerankRequest, Malformed>;

    fn write_answer(&self, answer: &RerankAnswer, request: &RerankRequest, out: &mut Vec<u8>);
}

impl ClientRerank for Cohere {
    fn read_request(&self, root: Node<'_>) -> Result<RerankRequest, Malformed> {
        read_rerank_request(root)
    }

    fn write_answer(&self, answer: &RerankAnswer, request: &RerankRequest, out: &mut Vec<u8>) {
        write_rerank_answer(answer, request, out);
    }
}

impl ClientRerank for Jina {
    fn read_request(&self, root: Node<'_>) -> Result<RerankRequest, Malformed> {
        // Documents are returned by default.
        let mut request = RerankRequest { with_documents: true, ..RerankRequest::default() };
        root.read_members(|key, value| jina_member(&mut request, key, value))?;
        check(request, "documents", root)
    }

    fn write_answer(&self, answer: &RerankAnswer, request: &RerankRequest, out: &mut Vec<u8>) {
        write_object(out, |root| {
            if !answer.id.is_empty() {
                root.text("id", &answer.id);
            }
            root.text("model", &answer.model);
            root.text("object", "list");
            if let Some(usage) = &answer.usage {
                root.object("usage", |object| {
                    object.number("total_tokens", usage.input_tokens);
                    object.number("prompt_tokens", usage.input_tokens);
                });
            }
            root.array("results", |array| {
                for (result, document) in wanted(answer, request) {
                    write_result(array, result, document, DIALECT);
                }
            });
        });
    }
}

fn jina_member(request: &mut RerankRequest, key: &str, value: Node<'_>) -> Result<(), Malformed> {
    match key {
        "model" => request.model = value.expect_text()?.to_owned(),
        "query" => request.query = value.expect_text()?.to_owned(),
        "documents" => request.documents = documents(value)?,
        "top_n" => request.top_n = Some(value.expect_u64()?),
        "return_documents" => request.with_documents = value.expect_flag()?,
        _ => extra_fields::keep(&mut request.extra_fields, DIALECT, key, value),
    }
    Ok(())
}

impl ClientRerank for Voyage {
    fn read_request(&self, root: Node<'_>) -> Result<RerankRequest, Malformed> {
        let mut request = RerankRequest::default();
        root.read_members(|key, value| voyage_member(&mut request, key, value))?;
        check(request, "documents", root)
    }

    fn write_answer(&self, answer: &RerankAnswer, request: &RerankRequest, out: &mut Vec<u8>) {
        write_object(out, |root| {
            root.text("object", "list");
            root.array("data", |array| {
                for (result, document) in wanted(answer, request) {
                    array.object(|object| {
                        object.float("relevance_score", result.score);
                        object.number("index", result.index);
                        object.optional_text("document", document.map(|it| it.text.as_str()));
                    });
                }
            });
            root.text("model", &answer.model);
            if let Some(usage) = &answer.usage {
                root.object("usage", |object| object.number("total_tokens", usage.input_tokens));
            }
        });
    }
}

fn voyage_member(request: &mut RerankRequest, key: &str, value: Node<'_>) -> Result<(), Malformed> {
    match key {
        "model" => request.model = value.expect_text()?.to_owned(),
        "query" => request.query = value.expect_text()?.to_owned(),
        "documents" => request.documents = documents(value)?,
        "top_k" => request.top_n = Some(value.expect_u64()?),
        "return_documents" => request.with_documents = value.expect_flag()?,
        _ => extra_fields::keep(&mut request.extra_fields, DIALECT, key, value),
    }
    Ok(())
}

impl ClientRerank for Tei {
    fn read_request(&self, root: Node<'_>) -> Result<RerankRequest, Malformed> {
        let mut request = RerankRequest::default();
        root.read_members(|key, value| tei_member(&mut request, key, value))?;
        check(request, "texts", root)
    }

    fn write_answer(&self, answer: &RerankAnswer, request: &RerankRequest, out: &mut Vec<u8>) {
        write_array(out, |array| {
            for (result, document) in wanted(answer, request) {
                array.object(|object| {
                    object.number("index", result.index);
                    object.float("score", result.score);
                    object.optional_text("text", document.map(|it| it.text.as_str()));
                });
            }
        });
    }
}

fn tei_member(request: &mut RerankRequest, key: &str, value: Node<'_>) -> Result<(), Malformed> {
    match key {
        "query" => request.query = value.expect_text()?.to_owned(),
        "texts" => request.documents = documents(value)?,
        "return_text" => request.with_documents = value.expect_flag()?,
        _ => extra_fields::keep(&mut request.extra_fields, DIALECT, key, value),
    }
    Ok(())
}
