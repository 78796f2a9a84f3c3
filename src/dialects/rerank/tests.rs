//! Every format with the cases of `golden/rerank/`, which have the same content in each, and special
//! cases.

use serde_json::{Value, json};

use super::format::ProviderRerank;
use super::vendors::ClientRerank;
use super::{cohere, jina, provider_rerank, rerank_on_tei, tei, voyage};
use crate::dialects::codec::TargetModel;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    Dialect, Json, RerankAnswer, RerankDocument, RerankRequest, RerankResult, Scanner, Usage,
};

/// Both halves of one format.
trait Format: ClientRerank + ProviderRerank {}

impl<T: ClientRerank + ProviderRerank> Format for T {}

/// Each format, by the name of its cases.
const FORMATS: [(&str, &dyn Format); 4] = [
    ("cohere", &cohere::Cohere),
    ("jina", &jina::Jina),
    ("voyage", &voyage::Voyage),
    ("tei", &tei::Tei),
];

fn golden(name: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/dialects/golden/rerank/");
    let body = std::fs::read(format!("{folder}{name}.json")).expect("a golden case");
    serde_json::from_slice(&body).expect("JSON")
}

fn read_request(codec: &dyn ClientRerank, body: &Value) -> Result<RerankRequest, String> {
    let body = body.to_string();
    let read = Scanner::default().read(body.as_bytes(), |root| codec.read_request(root));
    read.expect("JSON").map_err(|malformed| malformed.to_string())
}

fn write_request(
    codec: &dyn ProviderRerank,
    request: &RerankRequest,
) -> Result<(Value, String), String> {
    let target = TargetModel::new("model-1", true);
    let (mut warnings, mut out) = (Warnings::default(), Vec::new());
    codec
        .write_request(request, &target, &mut warnings, &mut out)
        .map_err(|unsupported| unsupported.to_string())?;
    Ok((serde_json::from_slice(&out).expect("JSON"), warnings.header()))
}

fn read_answer(codec: &dyn ProviderRerank, body: &Value) -> Option<RerankAnswer> {
    codec.read_answer(body.to_string().as_bytes(), &mut Scanner::default())
}

fn write_answer(codec: &dyn ClientRerank, answer: &RerankAnswer, request: &RerankRequest) -> Value {
    let mut out = Vec::new();
    codec.write_answer(answer, request, &mut out);
    serde_json::from_slice(&out).expect("JSON")
}

/// The golden request and answer as far as a format can express them.
fn golden_pair(name: &str) -> (RerankRequest, RerankAnswer) {
    let documents = ["Rome is warm.", "Oslo is cold.", "Bread is brown."];
    let mut request = RerankRequest {
        model: "model-1".to_owned(),
        query: "Where is it cold?".to_owned(),
        documents: documents.map(RerankDocument::text).into(),
        top_n: Some(2),
        ..RerankRequest::default()
    };
    let result = |index, score| RerankResult { index, score, extra_fields: Vec::new() };
    let mut answer = RerankAnswer {
        results: vec![result(1, 0.9987), result(0, 0.0415)],
        ..RerankAnswer::default()
    };
    match name {
        "cohere" => {
            answer.id = "answer-1".to_owned();
            answer.search_units = Some(1);
        }
        "tei" => {
            request.model.clear();
            request.top_n = None;
        }
        _ => {
            answer.model = "model-1".to_owned();
            answer.usage = Some(Usage { input_tokens: 24, ..Usage::default() });
        }
    }
    (request, answer)
}

#[test]
fn all_formats_agree() {
    for (name, codec) in FORMATS {
        let (request, answer) = golden_pair(name);
        let body = golden(&format!("{name}.request"));
        assert_eq!(read_request(codec, &body).as_ref(), Ok(&request), "{name}");
        assert_eq!(write_request(codec, &request), Ok((body, String::new())), "{name}");
        let body = golden(&format!("{name}.answer"));
        assert_eq!(read_answer(codec, &body).as_ref(), Some(&answer), "{name}");
        assert_eq!(write_answer(codec, &answer, &request), body, "{name}");
    }
}

#[test]
fn cohere_client_works_with_every_format() {
    // As in version 1.
    let body = json!({"model": "model-1", "query": "Where is it cold?", "top_n": 1,
        "documents": [{"text": "Rome is warm.", "id": 7}, "Oslo is cold.", {"title": "Bread"}],
        "return_documents": true});
    let request = read_request(&cohere::Cohere, &body).expect("a request");
    for (name, codec) in FORMATS {
        let (sent, warnings) = write_request(codec, &request).expect("sayable");
        let texts = sent.get("documents").or(sent.get("texts"));
        let expected = json!(["Rome is warm.", "Oslo is cold.", r#"{"title":"Bread"}"#]);
        assert_eq!(texts, Some(&expected), "{name}");
        assert_eq!(warnings, "", "{name}");
        let mut given = read_answer(codec, &golden(&format!("{name}.answer"))).expect("an answer");
        let written = write_answer(&cohere::Cohere, &given, &request);
        let document = json!({"text": "Oslo is cold."});
        let expected = json!([{"index": 1, "relevance_score": 0.9987, "document": document}]);
        assert_eq!(written["results"], expected, "{name}");
        given.results.reverse();
        let written = write_answer(&cohere::Cohere, &given, &request);
        let document = json!({"text": "Rome is warm.", "id": 7});
        assert_eq!(written["results"][0]["document"], document, "{name}");
    }
}

#[test]
fn format_follows_the_model() {
    for (dialect, model, top, path) in [
        (Dialect::CohereChat, "rerank-v3.5", "top_n", "/v2/rerank"),
        (Dialect::OpenaiChat, "rerank-2.5-lite", "top_k", "/rerank"),
        (Dialect::OpenaiChat, "rerank-lite-1", "top_k", "/rerank"),
        (Dialect::OpenaiChat, "jina-reranker-v3", "top_n", "/rerank"),
        (Dialect::OpenaiChat, "BAAI/bge-reranker-v2-m3", "top_n", "/rerank"),
    ] {
        let codec = provider_rerank(dialect, model).expect("a format");
        let (body, _) = write_request(codec, &golden_pair("cohere").0).expect("sayable");
        assert_eq!(body[top], json!(2), "{model}");
        assert_eq!(codec.path(), path, "{model}");
    }
    assert!(provider_rerank(Dialect::AnthropicMessages, "claude").is_none());
    assert_eq!(rerank_on_tei().path(), "/rerank");
}

#[test]
fn invalid_requests_name_the_path() {
    for (body, expected) in [
        (json!({"documents": ["a"]}), "expected `query` to be a string"),
        (json!({"query": "a"}), "expected `documents` to be an array of at least one document"),
        (
            json!({"query": "a", "documents": []}),
            "expected `documents` to be an array of at least one document",
        ),
        (json!({"query": "a", "documents": "b"}), "expected `documents` to be an array"),
        (
            json!({"query": "a", "documents": ["b", 1]}),
            "expected `documents[1]` to be a string or an object",
        ),
        (
            json!({"query": "a", "documents": [{"text": 1}]}),
            "expected `documents[0].text` to be a string",
        ),
        (
            json!({"query": "a", "documents": ["b"], "top_n": -1}),
            "expected `top_n` to be a whole number of 0 or more",
        ),
    ] {
        assert_eq!(read_request(&cohere::Cohere, &body).expect_err("a fault"), expected);
    }
}

#[test]
fn unsupported_requests_are_rejected() {
    let body = json!({"query": "a", "documents": ["b"], "max_tokens_per_doc": 9, "priority": 1});
    let request = read_request(&cohere::Cohere, &body).expect("a request");
    for (name, codec) in FORMATS {
        let (sent, warnings) = write_request(codec, &request).expect("sayable");
        let is_own = name == "cohere";
        for key in ["max_tokens_per_doc", "priority"] {
            assert_eq!(sent.get(key).is_some(), is_own, "{name}: {key}");
            assert_eq!(warnings.contains(&format!("dropped {key}")), !is_own, "{name}: {key}");
        }
    }
    let body = json!({"query": "a", "documents": [{"t": "b"}], "rank_fields": ["t"]});
    let request = read_request(&cohere::Cohere, &body).expect("a request");
    let refusal = write_request(&cohere::Cohere, &request).expect_err("a refusal");
    assert!(refusal.starts_with("rank_fields cannot be sent"), "{refusal}");
}

#[test]
fn odd_responses_are_read_or_rejected() {
    for (codec, body) in [
        (&cohere::Cohere as &dyn ProviderRerank, json!({"results": [{"index": 0}]})),
        (&cohere::Cohere, json!({"message": "no"})),
        (&cohere::Cohere, json!([])),
        (&jina::Jina, json!({"results": [{"relevance_score": 1.0}]})),
        (&jina::Jina, json!({"results": {}})),
        (&voyage::Voyage, json!({"results": []})),
        (&tei::Tei, json!({"error": "x"})),
        (&tei::Tei, json!([{"index": -1, "score": 1.0}])),
    ] {
        assert_eq!(read_answer(codec, &body), None, "{body}");
    }
    // vLLM sends the document and an id, Cohere the spans that it found.
    let vllm = json!({"id": "r", "model": "m", "usage": {"total_tokens": 3},
        "results": [{"index": 0, "document": {"text": "b"}, "relevance_score": 0.5}]});
    let answer = read_answer(&jina::Jina, &vllm).expect("an answer");
    assert_eq!((answer.id.as_str(), answer.results[0].score), ("r", 0.5));
    let spans = json!([{"start": 0, "end": 1, "score": 0.5}]);
    let body = json!({"id": "r", "results": [
        {"index": 0, "relevance_score": 0.5, "relevant_spans": spans, "document": null}]});
    let answer = read_answer(&cohere::Cohere, &body).expect("an answer");
    let written = write_answer(&cohere::Cohere, &answer, &RerankRequest::default());
    assert_eq!(written["results"][0]["relevant_spans"], spans);
    assert_eq!(written["results"][0].get("document"), None);
    let written = write_answer(&jina::Jina, &answer, &RerankRequest::default());
    assert_eq!(written["results"][0].get("relevant_spans"), None);
}

#[test]
fn out_of_range_index_has_no_document() {
    let document = RerankDocument { text: "a".to_owned(), object: Some(Json::of_text("a")) };
    let request = RerankRequest {
        documents: vec![document],
        with_documents: true,
        ..RerankRequest::default()
    };
    let result = |index| RerankResult { index, score: 0.5, extra_fields: Vec::new() };
    let results = vec![result(0), result(1), result(u64::MAX)];
    let answer = RerankAnswer { results, ..RerankAnswer::default() };
    for (name, codec) in FORMATS {
        let written = write_answer(codec, &answer, &request).to_string();
        assert_eq!(written.matches("\"a\"").count(), 1, "{name}: {written}");
    }
}
