//! Every format with the cases of `golden/embeddings/`, which have the same content in each, and
//! special cases.

use serde_json::{Value, json};

use super::format::{ClientEmbeddings, ProviderEmbeddings};
use super::{bedrock, cohere, embeddings_on_vertex, gemini, openai, provider_embeddings};
use super::{vertex, voyage};
use crate::dialects::codec::TargetModel;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    Dialect, DialectJson, EmbeddingsAnswer, EmbeddingsInput, EmbeddingsRequest, Json, Media,
    Purpose, Scanner, Usage, VectorEncoding,
};

/// Both halves of one format.
trait Format: ClientEmbeddings + ProviderEmbeddings {}

impl<T: ClientEmbeddings + ProviderEmbeddings> Format for T {}

/// Each format, by the name of its cases.
const FORMATS: [(&str, &dyn Format); 8] = [
    ("openai", &openai::Openai),
    ("voyage", &voyage::Voyage),
    ("gemini", &gemini::Gemini),
    ("vertex", &vertex::Vertex),
    ("cohere", &cohere::Cohere),
    ("cohere-on-bedrock", &bedrock::CohereOnBedrock),
    ("titan-1", &bedrock::TITAN_1),
    ("titan-2", &bedrock::TITAN_2),
];

fn golden(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/dialects/golden/embeddings/");
    std::fs::read(format!("{folder}{name}.json")).expect("a golden case")
}

fn value(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("JSON")
}

fn read_request(codec: &dyn ClientEmbeddings, body: &Value) -> Result<EmbeddingsRequest, String> {
    let body = body.to_string();
    let read = Scanner::default().read(body.as_bytes(), |root| codec.read_request(root));
    let mut request = read.expect("JSON").map_err(|malformed| malformed.to_string())?;
    if request.model.is_empty() {
        // It is in the path.
        "model-1".clone_into(&mut request.model);
    }
    Ok(request)
}

fn write_request(
    codec: &dyn ProviderEmbeddings,
    request: &EmbeddingsRequest,
    is_original: bool,
) -> Result<(Value, String), String> {
    let target = TargetModel::new(&request.model, is_original);
    let (mut warnings, mut out) = (Warnings::default(), Vec::new());
    codec
        .write_request(request, &target, &mut warnings, &mut out)
        .map_err(|unsupported| unsupported.to_string())?;
    Ok((serde_json::from_slice(&out).expect("JSON"), warnings.header()))
}

/// Reads bytes, since the test's JSON parser may be off by the last bit.
fn read_answer(codec: &dyn ProviderEmbeddings, body: &[u8]) -> Option<EmbeddingsAnswer> {
    Scanner::default().read(body, |root| codec.read_answer(root)).expect("JSON")
}

fn write_answer(
    codec: &dyn ClientEmbeddings,
    answer: &EmbeddingsAnswer,
    request: &EmbeddingsRequest,
) -> Vec<u8> {
    let mut out = Vec::new();
    codec.write_answer(answer, request, &mut out);
    out
}

fn text(text: &str) -> EmbeddingsInput {
    EmbeddingsInput::Text(text.to_owned())
}

/// The content of the golden requests.
fn request() -> EmbeddingsRequest {
    EmbeddingsRequest {
        model: "model-1".to_owned(),
        inputs: vec![text("Rome"), text("Oslo")],
        dimensions: Some(4),
        purpose: Some(Purpose::Document),
        ..EmbeddingsRequest::default()
    }
}

/// The content of the golden responses.
fn answer() -> EmbeddingsAnswer {
    EmbeddingsAnswer {
        id: "answer-1".to_owned(),
        model: "model-1".to_owned(),
        vectors: vec![
            vec![0.002_306_425_5, -0.5, 0.125, 1.0],
            vec![-0.009_327_292_442_321_777, 0.25, -0.0625, 0.0],
        ],
        usage: Some(Usage { input_tokens: 4, ..Usage::default() }),
    }
}

/// The golden request and answer as far as a format can express them.
fn golden_pair(name: &str) -> (EmbeddingsRequest, EmbeddingsAnswer) {
    let (mut request, mut answer) = (request(), answer());
    if name.starts_with("titan") {
        request.inputs.truncate(1);
        answer.vectors.truncate(1);
    }
    if name.starts_with("titan") || name == "openai" {
        request.purpose = None;
    }
    if name == "titan-1" {
        request.dimensions = None;
    }
    if !name.starts_with("cohere") {
        answer.id.clear();
    }
    if !["openai", "voyage"].contains(&name) {
        answer.model.clear();
    }
    if name == "cohere-on-bedrock" {
        answer.usage = None;
    }
    (request, answer)
}

#[test]
fn all_formats_agree() {
    for (name, codec) in FORMATS {
        let (request, answer) = golden_pair(name);
        let body = value(&golden(&format!("{name}.request")));
        assert_eq!(read_request(codec, &body).as_ref(), Ok(&request), "{name}");
        let written = write_request(codec, &request, true);
        assert_eq!(written, Ok((body, String::new())), "{name}");
        let body = golden(&format!("{name}.answer"));
        assert_eq!(read_answer(codec, &body).as_ref(), Some(&answer), "{name}");
        let written = write_answer(codec, &answer, &request);
        assert_eq!(read_answer(codec, &written).as_ref(), Some(&answer), "{name}");
        let written = value(&written);
        for (key, expected) in value(&body).as_object().expect("an object") {
            // The API version and the usage per input are not part of the canonical response.
            if !["meta", "predictions"].contains(&key.as_str()) {
                assert_eq!(written.get(key), Some(expected), "{name}: {key}");
            }
        }
    }
}

#[test]
fn openai_client_works_with_every_format() {
    let body = json!({"model": "model-1", "input": "Rome", "input_type": "query", "user": "u",
        "encoding_format": "base64"});
    let request = read_request(&openai::Openai, &body).expect("a request");
    for (name, codec) in FORMATS {
        let (sent, warnings) = write_request(codec, &request, true).expect("sayable");
        assert!(sent.to_string().contains("Rome"), "{name}: {sent}");
        let has_user = sent.get("user").is_some();
        assert_eq!(has_user, name == "openai", "{name}");
        assert_eq!(warnings.contains("dropped user"), !has_user, "{name}: {warnings}");
        let given = read_answer(codec, &golden(&format!("{name}.answer"))).expect("an answer");
        let written = value(&write_answer(&openai::Openai, &given, &request));
        // The f32 nearest to 0.0023064255 and so on, little-endian.
        let expected = json!("ZicXOwAAAL8AAAA+AACAPw==");
        assert_eq!(written["data"][0]["embedding"], expected, "{name}");
        assert_eq!(written["object"], "list");
    }
}

#[test]
fn format_follows_the_model() {
    let target = |model| TargetModel::new(model, true);
    let titan = "amazon.titan-embed-text-v2:0";
    let arn = "arn:aws:bedrock:us-east-1:1:inference-profile/us.cohere.embed-v4:0";
    for (dialect, model, path) in [
        (Dialect::OpenaiChat, "text-embedding-3-small", "/embeddings"),
        (Dialect::OpenaiResponses, "text-embedding-3-small", "/embeddings"),
        (
            Dialect::Gemini,
            "gemini-embedding-001",
            "/models/gemini-embedding-001:batchEmbedContents",
        ),
        (Dialect::CohereChat, "embed-v4.0", "/v2/embed"),
        (Dialect::BedrockConverse, titan, "/model/amazon.titan-embed-text-v2%3A0/invoke"),
        (
            Dialect::BedrockConverse,
            arn,
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.cohere.embed-v4%3A0/invoke",
        ),
    ] {
        let codec = provider_embeddings(dialect, model).expect("a format");
        assert_eq!(codec.path(&target(model)), path, "{model}");
    }
    for (dialect, model, inputs_max) in [
        (Dialect::OpenaiChat, "voyage-3.5", 1000),
        (Dialect::BedrockConverse, titan, 1),
        (Dialect::BedrockConverse, arn, 96),
    ] {
        let codec = provider_embeddings(dialect, model).expect("a format");
        assert_eq!(codec.inputs_max(model), inputs_max, "{model}");
    }
    assert!(provider_embeddings(Dialect::AnthropicMessages, "claude").is_none());
    assert!(provider_embeddings(Dialect::BedrockConverse, "anthropic.claude").is_none());
    for (model, inputs_max) in [("text-embedding-005", 250), ("gemini-embedding-001", 1)] {
        assert_eq!(embeddings_on_vertex().inputs_max(model), inputs_max, "{model}");
    }
    let path = embeddings_on_vertex().path(&target("text-embedding-005"));
    assert_eq!(path, "/models/text-embedding-005:predict");
}

#[test]
fn all_input_kinds_are_written() {
    let image = Media::base64("image/png", "AAAA");
    let far = Media::of_url("https://pictures.example/a.png");
    let tokens = EmbeddingsInput::Tokens(vec![1, 2]);
    for (input, expected) in [
        (json!("a"), vec![text("a")]),
        (json!(["a", ""]), vec![text("a"), text("")]),
        (json!([1, 2]), vec![tokens.clone()]),
        (json!([[1, 2], "a"]), vec![tokens.clone(), text("a")]),
        (
            json!([{"text": "a"}, {"image": "data:image/png;base64,AAAA"}]),
            vec![text("a"), EmbeddingsInput::Image(image.clone())],
        ),
        (
            json!([{"type": "image_url", "image_url": {"url": "https://pictures.example/a.png"}}]),
            vec![EmbeddingsInput::Image(far.clone())],
        ),
    ] {
        let body = json!({"model": "model-1", "input": input});
        let request = read_request(&openai::Openai, &body).expect("a request");
        assert_eq!(request.inputs, expected, "{input}");
        let (again, _) = write_request(&openai::Openai, &request, false).expect("sayable");
        assert_eq!(read_request(&openai::Openai, &again), Ok(request), "{input}");
    }
    for (input, fault) in [
        (json!([]), "expected `input` to be at least one input"),
        (json!(1), "expected `input` to be a string or an array of strings"),
        (json!([1, "a"]), "expected `input[1]` to be a whole number of 0 or more"),
        (json!(["a", 1]), "expected `input[1]` to be a string"),
        (json!([{"sound": "x"}]), "expected `input[0]` to be an object with text or image"),
    ] {
        let body = json!({"model": "model-1", "input": input});
        assert_eq!(read_request(&openai::Openai, &body).expect_err("a fault"), fault);
    }
    let of = |inputs: Vec<EmbeddingsInput>| EmbeddingsRequest { inputs, ..request() };
    for (name, codec) in FORMATS {
        let of = |input| EmbeddingsRequest { dimensions: None, ..of(vec![input]) };
        let sent = |input| write_request(codec, &of(input), true);
        assert_eq!(sent(tokens.clone()).is_ok(), name == "openai", "{name}");
        let has_images = ["gemini", "cohere", "cohere-on-bedrock"].contains(&name);
        assert_eq!(sent(EmbeddingsInput::Image(image.clone())).is_ok(), has_images, "{name}");
        assert!(sent(EmbeddingsInput::Image(far.clone())).is_err(), "{name}");
        if has_images {
            let request =
                EmbeddingsRequest { purpose: None, ..of(EmbeddingsInput::Image(image.clone())) };
            let (body, _) = write_request(codec, &request, true).expect("sayable");
            assert_eq!(read_request(codec, &body).expect("a request").inputs, request.inputs);
        }
    }
    let mixed = of(vec![text("a"), EmbeddingsInput::Image(image)]);
    let (body, _) = write_request(&cohere::Cohere, &mixed, true).expect("sayable");
    assert_eq!(body["inputs"][0]["content"], json!([{"type": "text", "text": "a"}]));
    assert_eq!(read_request(&cohere::Cohere, &body), Ok(mixed));
}

#[test]
fn cohere_requires_input_type() {
    let kind = |inputs: Vec<EmbeddingsInput>, purpose| {
        let request = EmbeddingsRequest { inputs, purpose, ..request() };
        let (body, warnings) = write_request(&cohere::Cohere, &request, true).expect("sayable");
        (body["input_type"].as_str().map(str::to_owned), warnings)
    };
    let image = || EmbeddingsInput::Image(Media::base64("image/png", "AAAA"));
    for (inputs, purpose, expected, is_warned) in [
        (vec![text("a")], None, "search_document", false),
        (vec![image()], None, "image", false),
        (vec![image(), text("a")], None, "search_document", false),
        (vec![text("a")], Some(Purpose::Query), "search_query", false),
        (vec![text("a")], Some(Purpose::Fact), "search_query", true),
    ] {
        let (name, warnings) = kind(inputs, purpose);
        assert_eq!(name.as_deref(), Some(expected));
        assert_eq!(!warnings.is_empty(), is_warned, "{warnings}");
    }
}

#[test]
fn unsupported_requests_are_rejected() {
    let refused = |codec: &dyn ProviderEmbeddings, request| {
        write_request(codec, &request, true).expect_err("a refusal")
    };
    let several = EmbeddingsRequest { dimensions: None, ..request() };
    assert!(refused(&bedrock::TITAN_2, several).starts_with("several inputs at once"));
    let (one, _) = golden_pair("titan-2");
    assert!(refused(&bedrock::TITAN_1, one.clone()).starts_with("a length of vectors"));
    let foreign = |dialect| DialectJson { dialect, json: Json::of_written("\"x\"".to_owned()) };
    let mut request = EmbeddingsRequest { purpose: Some(Purpose::Query), ..one };
    request.extra_fields = vec![
        ("normalize".to_owned(), foreign(Dialect::BedrockConverse)),
        ("extra".to_owned(), foreign(Dialect::OpenaiChat)),
    ];
    let (body, warnings) = write_request(&bedrock::TITAN_2, &request, true).expect("sayable");
    assert_eq!(body["normalize"], "x");
    assert!(body.get("extra").is_none());
    assert!(warnings.contains("dropped extra") && warnings.contains("dropped input_type"));
    // OpenAI rejects unknown members; imitators may know them.
    let (body, warnings) = write_request(&openai::Openai, &request, true).expect("sayable");
    assert!(body.get("input_type").is_none() && warnings.contains("dropped input_type"));
    let (body, warnings) = write_request(&openai::Openai, &request, false).expect("sayable");
    assert_eq!(body["input_type"], "query");
    assert!(!warnings.contains("input_type"), "{warnings}");
}

#[test]
fn odd_responses_are_read_or_rejected() {
    for (codec, body, expected) in [
        (
            &openai::Openai as &dyn ProviderEmbeddings,
            json!({"data": [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]}),
            Some(vec![vec![1.0], vec![2.0]]),
        ),
        (&openai::Openai, json!({"data": [{"embedding": "AACAPw=="}]}), Some(vec![vec![1.0]])),
        (&openai::Openai, json!({"data": [{"embedding": null}]}), None),
        (&openai::Openai, json!({"data": [{"embedding": ["1"]}]}), None),
        (&openai::Openai, json!({"error": {}}), None),
        (&gemini::Gemini, json!({"embedding": {"values": [1.0]}}), Some(vec![vec![1.0]])),
        (&gemini::Gemini, json!({"embeddings": [{}]}), None),
        (&cohere::Cohere, json!({"embeddings": [[1.0]]}), Some(vec![vec![1.0]])),
        (&cohere::Cohere, json!({"embeddings": {"base64": ["AACAPw=="]}}), Some(vec![vec![1.0]])),
        (&cohere::Cohere, json!({"embeddings": {"int8": [[1]]}}), None),
        (&bedrock::TITAN_1, json!({"embedding": null}), None),
        (&vertex::Vertex, json!({"predictions": [{"embeddings": {}}]}), None),
    ] {
        let found = read_answer(codec, body.to_string().as_bytes()).map(|answer| answer.vectors);
        assert_eq!(found, expected, "{body}");
    }
    let billed = json!({"embeddings": [], "meta": {"billed_units": {"input_tokens": 3,
        "text_tokens": 3, "image_tokens": 1000, "images": 1}}});
    let usage =
        read_answer(&cohere::Cohere, billed.to_string().as_bytes()).and_then(|answer| answer.usage);
    let usage = usage.expect("counts");
    assert_eq!((usage.input_tokens, usage.input_image_tokens), (1003, 1000));
    let without_usage = json!({"predictions": [{"embeddings": {"values": [1.0]}}]});
    let answer =
        read_answer(&vertex::Vertex, without_usage.to_string().as_bytes()).expect("an answer");
    assert_eq!(answer.usage, None);
}

#[test]
fn gemini_single_form_is_read() {
    let body = json!({"content": {"parts": [{"text": "Ro"}, {"text": "me"}]},
        "taskType": "TASK_TYPE_UNSPECIFIED", "title": "t"});
    let request = read_request(&gemini::Gemini, &body).expect("a request");
    assert_eq!(request.inputs, [text("Rome")]);
    assert_eq!((request.purpose, request.encoding), (None, VectorEncoding::Floats));
    let (body, _) = write_request(&gemini::Gemini, &request, true).expect("sayable");
    assert_eq!(body["requests"][0]["title"], "t");
    let faulty = json!({"requests": [{"content": {"parts": [{"sound": 1}]}}]});
    let fault = read_request(&gemini::Gemini, &faulty).expect_err("a fault");
    let path = "requests[0].content.parts[0].inlineData";
    assert_eq!(fault, format!("expected `{path}` to be a part with text or inlineData"));
}
