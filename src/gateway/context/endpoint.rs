//! The endpoints of the data plane: one table of what is known of each.

use super::error::GatewayError;
use crate::http::Method;
use crate::llm::Dialect;

/// What is known of an endpoint.
#[derive(Clone, Copy)]
struct EndpointSpec {
    /// Name in metrics and logs.
    name: &'static str,
    paths: &'static [PathSpec],
    /// The dialect of a conversation; none where it is about something else.
    chat_dialect: Option<Dialect>,
    /// What the ids of its responses begin with.
    id_prefix: &'static str,
    /// The gateway reads the JSON of request and response.
    is_metered: bool,
    /// The tokens of a conversation are counted, and none is answered.
    counts_tokens: bool,
    /// The response is text, which may come as a stream.
    is_text: bool,
}

/// A path that the gateway understands, and the method that it takes.
#[derive(Clone, Copy)]
struct PathSpec {
    method: Method,
    /// The path. `{name}` stands for a part of it that is not empty and may hold slashes.
    pattern: &'static str,
    /// Requests with other methods pass to the provider.
    passes_other_methods: bool,
}

const fn get(pattern: &'static str) -> PathSpec {
    PathSpec { method: Method::Get, pattern, passes_other_methods: false }
}

const fn post(pattern: &'static str) -> PathSpec {
    PathSpec { method: Method::Post, pattern, passes_other_methods: false }
}

impl PathSpec {
    const fn or_pass(self) -> Self {
        Self { passes_other_methods: true, ..self }
    }

    /// A server that answers GET answers HEAD (RFC 9110 section 9.3.2).
    fn takes(&self, method: Method) -> bool {
        self.method == method || (self.method == Method::Get && method == Method::Head)
    }

    /// The pattern before and behind its parameter; none if it has none.
    fn around_parameter(&self) -> Option<(&'static str, &'static str)> {
        let (before, rest) = self.pattern.split_once('{')?;
        let (_, behind) = rest.split_once('}')?;
        Some((before, behind))
    }

    /// The parameter in `path`, escaped as there, if the path has this pattern. A colon of the pattern may be
    /// escaped.
    fn parameter<'p>(&self, path: &'p str) -> Option<&'p str> {
        let (before, behind) = self.around_parameter()?;
        let rest = path.strip_prefix(before)?;
        let parameter = match behind.strip_prefix(':') {
            Some(name) => {
                let rest = rest.strip_suffix(name)?;
                [":", "%3A", "%3a"].iter().find_map(|colon| rest.strip_suffix(colon))?
            }
            None => rest.strip_suffix(behind)?,
        };
        (!parameter.is_empty()).then_some(parameter)
    }
}

const fn spec(name: &'static str, paths: &'static [PathSpec]) -> EndpointSpec {
    EndpointSpec {
        name,
        paths,
        chat_dialect: None,
        id_prefix: "chatcmpl",
        is_metered: false,
        counts_tokens: false,
        is_text: true,
    }
}

impl EndpointSpec {
    /// A conversation.
    const fn chat(self, dialect: Dialect) -> Self {
        Self { chat_dialect: Some(dialect), is_metered: true, ..self }
    }

    /// Counts the tokens of a conversation.
    const fn counting(self, dialect: Dialect) -> Self {
        Self { chat_dialect: Some(dialect), counts_tokens: true, ..self }
    }

    const fn metered(self) -> Self {
        Self { is_metered: true, ..self }
    }

    /// Embeddings or ranks.
    const fn vectors(self) -> Self {
        Self { is_metered: true, is_text: false, ..self }
    }

    const fn ids(self, id_prefix: &'static str) -> Self {
        Self { id_prefix, ..self }
    }
}

/// Defines [`Endpoint`] and the table of what is known of each.
macro_rules! endpoints {
    ($($(#[$doc:meta])* $variant:ident => $spec:expr,)*) => {
        /// What a request is for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Endpoint { $($(#[$doc])* $variant,)* }

        /// In the order of the variants.
        const ENDPOINTS: &[Endpoint] = &[$(Endpoint::$variant,)*];

        impl Endpoint {
            fn spec(self) -> &'static EndpointSpec {
                match self {
                    $(Self::$variant => {
                        const SPEC: EndpointSpec = $spec;
                        &SPEC
                    })*
                }
            }
        }

        /// Names in metrics and logs, by the index that events carry.
        pub const ENDPOINT_NAMES: &[&str] = &["none", "mirror", $($spec.name,)*];
    };
}

/// Index of requests that reach no endpoint.
pub(crate) const NO_ENDPOINT: u8 = 0;

/// Index of mirrored requests, which no client sends.
pub(crate) const MIRROR_ENDPOINT: u8 = 1;

endpoints! {
    /// OpenAI's chat completions.
    ChatCompletions => spec("chat_completions", &[post("/v1/chat/completions")])
        .chat(Dialect::OpenaiChat),
    /// OpenAI's older completions.
    Completions => spec("completions", &[post("/v1/completions")]).metered().ids("cmpl"),
    /// OpenAI's embeddings.
    Embeddings => spec("embeddings", &[post("/v1/embeddings")]).vectors(),
    /// Cohere's rerank.
    Rerank => spec("rerank", &[post("/v1/rerank"), post("/v2/rerank")]).vectors().ids("rerank"),
    /// OpenAI's responses.
    Responses => spec("responses", &[post("/v1/responses")])
        .chat(Dialect::OpenaiResponses)
        .ids("resp"),
    /// Counts the input tokens of a response.
    InputTokens => spec("input_tokens", &[post("/v1/responses/input_tokens")])
        .counting(Dialect::OpenaiResponses),
    /// Responses over a WebSocket.
    ResponsesSocket => spec("responses_socket", &[get("/v1/responses")]),
    /// Anthropic's messages.
    Messages => spec("messages", &[post("/v1/messages")])
        .chat(Dialect::AnthropicMessages)
        .ids("msg"),
    /// Counts the tokens of Anthropic's messages.
    CountTokens => spec("count_tokens", &[post("/v1/messages/count_tokens")])
        .counting(Dialect::AnthropicMessages),
    /// Google's conversations.
    GenerateContent => spec("generate_content", &[
        post("/v1beta/{model}:generateContent"),
        post("/v1/{model}:generateContent"),
        post("/v1beta/{model}:streamGenerateContent"),
        post("/v1/{model}:streamGenerateContent"),
    ])
    .chat(Dialect::Gemini),
    /// Google's embeddings.
    EmbedContent => spec("embed_content", &[
        post("/v1beta/{model}:embedContent"),
        post("/v1/{model}:embedContent"),
        post("/v1beta/{model}:batchEmbedContents"),
        post("/v1/{model}:batchEmbedContents"),
    ])
    .vectors(),
    /// Counts the tokens of Google's conversations.
    CountContent => spec("count_content", &[
        post("/v1beta/{model}:countTokens"),
        post("/v1/{model}:countTokens"),
    ])
    .counting(Dialect::Gemini),
    /// Conversations of Amazon Bedrock.
    Converse => spec("converse", &[
        post("/model/{model}/converse"),
        post("/model/{model}/converse-stream"),
    ])
    .chat(Dialect::BedrockConverse),
    /// Cohere's chat.
    CohereChat => spec("cohere_chat", &[post("/v2/chat")]).chat(Dialect::CohereChat),
    /// The list of models, or one of them; deleting a fine-tuned model is the provider's business.
    Models => spec("models", &[
        get("/v1/models"),
        get("/v1beta/models"),
        get("/v1/models/{model}").or_pass(),
        get("/v1beta/models/{model}").or_pass(),
    ]),
    /// Feedback on a request that was served.
    Feedback => spec("feedback", &[post("/v1/feedback")]),
    /// A realtime session; a call over WebRTC begins with a POST to the same path.
    Realtime => spec("realtime", &[get("/v1/realtime").or_pass()]),
    /// Any other `/v1/*`.
    PassThrough => spec("pass_through", &[]),
}

/// All paths with their endpoints.
fn paths() -> impl Iterator<Item = (Endpoint, &'static PathSpec)> {
    ENDPOINTS
        .iter()
        .flat_map(|endpoint| endpoint.spec().paths.iter().map(move |path| (*endpoint, path)))
}

impl Endpoint {
    /// The endpoint of a path and method.
    pub(crate) fn find(path: &str, method: Method) -> Result<Self, GatewayError> {
        let mut rows = paths().filter(|(_, known)| known.pattern == path).peekable();
        if rows.peek().is_some() {
            return Self::of_method(rows, method);
        }
        if is_disguised(path) {
            return Err(GatewayError::NotFound);
        }
        if let Some(call) = gemini_call(path) {
            return Self::of_method(std::iter::once((call.endpoint, call.path)), method);
        }
        let is_of_google = |path: &PathSpec| path.pattern.contains("}:");
        let rows = paths().filter(|(_, it)| !is_of_google(it) && it.parameter(path).is_some());
        let mut rows = rows.peekable();
        if rows.peek().is_some() {
            return Self::of_method(rows, method);
        }
        match behind_version(path).and_then(|rest| rest.strip_prefix('/')) {
            // Without an id it is another spelling of the list.
            Some("" | "models/") | None => Err(GatewayError::NotFound),
            Some(_) => Ok(Self::PassThrough),
        }
    }

    /// Of the rows of one path, that which takes `method`.
    fn of_method(
        mut rows: impl Iterator<Item = (Self, &'static PathSpec)>,
        method: Method,
    ) -> Result<Self, GatewayError> {
        let mut passes = false;
        let found = rows.find(|(_, path)| {
            passes |= path.passes_other_methods;
            path.takes(method)
        });
        match found {
            Some((endpoint, _)) => Ok(endpoint),
            None if passes => Ok(Self::PassThrough),
            None => Err(GatewayError::MethodNotAllowed),
        }
    }

    /// The methods that a path takes, for the response to one it does not.
    pub(crate) fn allowed(path: &str) -> &'static str {
        match paths().find(|(_, known)| known.pattern == path) {
            Some((_, known)) if known.method == Method::Get => "GET, HEAD",
            Some((_, known)) => known.method.as_str(),
            None => "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
        }
    }

    /// Its place in [`ENDPOINT_NAMES`].
    pub(crate) fn index(self) -> u8 {
        self as u8 + MIRROR_ENDPOINT + 1
    }

    /// Name in metrics and logs.
    pub(crate) fn name(self) -> &'static str {
        self.spec().name
    }

    /// What the ids of its responses begin with.
    pub(crate) fn id_prefix(self) -> &'static str {
        self.spec().id_prefix
    }

    /// The dialect of a conversation; none where it is about something else.
    pub(crate) fn chat_dialect(self) -> Option<Dialect> {
        self.spec().chat_dialect
    }

    /// True where the path names the model of the request.
    pub(crate) fn has_model_in_path(self) -> bool {
        let takes_model =
            |path: &PathSpec| path.method == Method::Post && path.pattern.contains('{');
        self.spec().paths.iter().any(takes_model)
    }

    /// True where the tokens of a conversation are counted and none is answered.
    pub(crate) fn counts_tokens(self) -> bool {
        self.spec().counts_tokens
    }

    /// True where the response is text, which may come as a stream.
    pub(crate) fn is_text(self) -> bool {
        self.spec().is_text
    }

    /// True where the gateway reads the JSON of request and response.
    pub(crate) fn is_metered(self) -> bool {
        self.spec().is_metered
    }
}

/// What follows the version in a path of the data plane, with its slash.
pub(crate) fn behind_version(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/v1beta").or_else(|| path.strip_prefix("/v1"))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// The dialect of the clients of that path, in which errors are written.
pub(crate) fn dialect_of_path(path: &str) -> Dialect {
    let is_under = |folder: &str| {
        path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    match path {
        _ if is_under("/v1/messages") => Dialect::AnthropicMessages,
        "/v1/rerank" | "/v2/rerank" | "/v2/chat" => Dialect::CohereChat,
        _ if is_under("/model") => Dialect::BedrockConverse,
        _ if is_under("/v1beta") => Dialect::Gemini,
        _ if gemini_call(path).is_some() => Dialect::Gemini,
        _ => Dialect::OpenaiChat,
    }
}

/// A call of one of Google's models, as its path has it.
pub(crate) struct GeminiCall {
    /// The model, unescaped, with the provider's name before it if the client wrote one.
    pub model: String,
    /// The method, as Google names it.
    pub method: &'static str,
    endpoint: Endpoint,
    path: &'static PathSpec,
}

/// Google's method whose response is a stream.
const STREAM_METHOD: &str = "streamGenerateContent";

/// Google's method that embeds several texts.
const BATCH_METHOD: &str = "batchEmbedContents";

impl GeminiCall {
    /// The response is a stream.
    pub(crate) fn is_stream(&self) -> bool {
        self.method == STREAM_METHOD
    }

    /// Several texts are embedded.
    pub(crate) fn is_batch(&self) -> bool {
        self.method == BATCH_METHOD
    }
}

/// The call of a path of Google's. Models stand under `/models/`, or where their name has a folder of
/// its own, as Google's library for Vercel's AI SDK writes it, right behind the version.
pub(crate) fn gemini_call(path: &str) -> Option<GeminiCall> {
    // Most paths have no colon, written either way, and are looked up more than once.
    memchr::memchr2(b':', b'%', path.as_bytes())?;
    let (endpoint, spec, method, model) = paths().find_map(|(endpoint, spec)| {
        let (_, behind) = spec.around_parameter()?;
        let method = behind.strip_prefix(':')?;
        Some((endpoint, spec, method, spec.parameter(path)?))
    })?;
    let model = percent_decoded(model);
    // Vertex AI's own names of models, which pass as they are.
    if model.starts_with("projects/") || model.starts_with("publishers/") {
        return None;
    }
    let bare = model.strip_prefix("models/");
    let is_named = bare.is_some_and(|name| !name.is_empty());
    if !is_named && !model.trim_matches('/').contains('/') {
        return None;
    }
    let model = bare.map_or_else(|| model.clone(), str::to_owned);
    Some(GeminiCall { model, method, endpoint, path: spec })
}

/// The model, unescaped, and whether a stream is wanted, of a path of Amazon Bedrock's Converse.
pub(crate) fn converse_call(path: &str) -> Option<(String, bool)> {
    // Most paths begin otherwise.
    path.strip_prefix("/model/")?;
    let spec = Endpoint::Converse.spec();
    let (path, model) = spec.paths.iter().find_map(|it| Some((it, it.parameter(path)?)))?;
    Some((percent_decoded(model), path.pattern.ends_with("-stream")))
}

/// True for another spelling of a path in the table (`//`, a slash at the end, needless escapes):
/// passed through, a provider might take it for the path itself, unmetered.
fn is_disguised(path: &str) -> bool {
    if !(path.contains("//") || path.contains('%') || path.ends_with('/')) {
        return false;
    }
    let decoded = percent_decoded(path);
    let mut plain = String::with_capacity(decoded.len());
    for segment in decoded.split('/').filter(|segment| !segment.is_empty()) {
        plain.push('/');
        plain.push_str(segment);
    }
    paths().any(|(_, known)| plain.eq_ignore_ascii_case(known.pattern))
}

/// The text of a part of a path or query. What is no escape, or no UTF-8, stays as near as it can.
pub(crate) fn percent_decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        let escape = match rest {
            [b'%', high, low, ..] => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escape {
            Some((high, low)) => {
                bytes.push(high * 16 + low);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_table_matches_variant_order() {
        for (place, endpoint) in ENDPOINTS.iter().enumerate() {
            assert_eq!(*endpoint as usize, place);
            assert_eq!(ENDPOINT_NAMES[usize::from(endpoint.index())], endpoint.name());
        }
    }

    #[test]
    fn paths_name_endpoints() {
        use Endpoint::{
            ChatCompletions, CohereChat, Converse, CountContent, CountTokens, EmbedContent,
            Embeddings, GenerateContent, InputTokens, Messages, Models, PassThrough, Realtime,
            Rerank, Responses, ResponsesSocket,
        };
        for (method, path, expected) in [
            (Method::Post, "/v1/chat/completions", Some(ChatCompletions)),
            (Method::Post, "/v1/embeddings", Some(Embeddings)),
            (Method::Post, "/v1/rerank", Some(Rerank)),
            (Method::Post, "/v2/rerank", Some(Rerank)),
            (Method::Get, "/v1/models", Some(Models)),
            (Method::Head, "/v1/models", Some(Models)),
            (Method::Head, "/v1/models/gpt-4o", Some(Models)),
            (Method::Get, "/v1/models/gpt-4o", Some(Models)),
            (Method::Get, "/v1/models/org/name", Some(Models)),
            (Method::Delete, "/v1/models/ft:x", Some(PassThrough)),
            (Method::Post, "/v1/files", Some(PassThrough)),
            (Method::Post, "/v2/chat", Some(CohereChat)),
            (Method::Post, "/model/amazon.nova-lite-v1%3A0/converse", Some(Converse)),
            (Method::Post, "/model/bedrock%2Fnova/converse-stream", Some(Converse)),
            (Method::Post, "/v1/responses", Some(Responses)),
            (Method::Get, "/v1/responses", Some(ResponsesSocket)),
            (Method::Get, "/v1/responses/resp_1", Some(PassThrough)),
            (Method::Post, "/v1/responses/input_tokens", Some(InputTokens)),
            (Method::Post, "/v1/responses/compact", Some(PassThrough)),
            (Method::Post, "/v1/messages", Some(Messages)),
            (Method::Post, "/v1/messages/count_tokens", Some(CountTokens)),
            (Method::Post, "/v1/messages/batches", Some(PassThrough)),
            (Method::Post, "/v1beta/models/g-2:generateContent", Some(GenerateContent)),
            (Method::Post, "/v1beta/models/g-2:streamGenerateContent", Some(GenerateContent)),
            (Method::Post, "/v1/models/g-2:generateContent", Some(GenerateContent)),
            (Method::Post, "/v1beta/p/g-2:generateContent", Some(GenerateContent)),
            (Method::Post, "/v1beta/models/g-2:countTokens", Some(CountContent)),
            (Method::Post, "/v1beta/models/g-2:embedContent", Some(EmbedContent)),
            (Method::Post, "/v1beta/p/g-2:batchEmbedContents", Some(EmbedContent)),
            (Method::Post, "/v1beta/g-2:generateContent", Some(PassThrough)),
            (
                Method::Post,
                "/v1/projects/p/locations/l/publishers/google/models/g:generateContent",
                Some(PassThrough),
            ),
            (Method::Get, "/v1beta/models", Some(Models)),
            (Method::Get, "/v1beta/models/g-2", Some(Models)),
            (Method::Head, "/v1beta/models/p/g-2", Some(Models)),
            (Method::Get, "/v1/models/org%2Fname", Some(Models)),
            (Method::Get, "/v1/realtime", Some(Realtime)),
            (Method::Post, "/v1/realtime", Some(PassThrough)),
            (Method::Post, "/v1/realtime/client_secrets", Some(PassThrough)),
            (Method::Delete, "/v1beta/models/g-2", Some(PassThrough)),
        ] {
            assert_eq!(Endpoint::find(path, method).ok(), expected, "{path}");
        }
        for path in [
            "/",
            "/v1",
            "/v1/",
            "/v2/models",
            "/v2/rerank/",
            "/v2/chat/",
            "/model/m/invoke",
            "/model//converse",
            "/v1beta",
            "/v1beta/models/",
            "/v1betas/models",
            "/v1x/models",
            "/healthz",
            "/v1/chat/completions/",
            "/v1//chat/completions",
            "/v1/%63hat/completions",
            "/v1/chat%2Fcompletions",
            "/v1/embeddings//",
            "/v1/realtime/",
        ] {
            assert!(
                matches!(Endpoint::find(path, Method::Get), Err(GatewayError::NotFound)),
                "{path}"
            );
        }
        for method in [Method::Get, Method::Head] {
            let found = Endpoint::find("/v1/chat/completions", method);
            assert!(matches!(found, Err(GatewayError::MethodNotAllowed)));
        }
    }

    #[test]
    fn gemini_paths_name_model_and_method() {
        for (path, expected) in [
            ("/v1beta/models/g-2:generateContent", Some(("g-2", "generateContent"))),
            ("/v1beta/models/a%2Fb:c:streamGenerateContent", Some(("a/b:c", STREAM_METHOD))),
            ("/v1beta/models/a/b:countTokens", Some(("a/b", "countTokens"))),
            ("/v1beta/models%2Fa%2Fb%3AcountTokens", Some(("a/b", "countTokens"))),
            ("/v1beta/a/org/b:streamGenerateContent", Some(("a/org/b", STREAM_METHOD))),
            ("/v1beta/a%2Fb:embedContent", Some(("a/b", "embedContent"))),
            ("/v1/models/b:batchEmbedContents", Some(("b", BATCH_METHOD))),
            ("/v1beta/tunedModels/t:generateContent", Some(("tunedModels/t", "generateContent"))),
            ("/v1beta/models/:generateContent", None),
            ("/v1beta//:generateContent", None),
            ("/v1beta/models/g-2:batchGenerateContent", None),
            ("/v1/chat/completions", None),
        ] {
            let found = gemini_call(path);
            let found = found.as_ref().map(|call| (call.model.as_str(), call.method));
            assert_eq!(found, expected, "{path}");
        }
        for (path, expected) in [
            ("/v1/messages", Dialect::AnthropicMessages),
            ("/v1/messages/x", Dialect::AnthropicMessages),
            ("/v1/messagesx", Dialect::OpenaiChat),
            ("/v1beta/anything", Dialect::Gemini),
            ("/v1/models/g-2:embedContent", Dialect::Gemini),
            ("/v1/models/ft:g-2:mine", Dialect::OpenaiChat),
            ("/v2/rerank", Dialect::CohereChat),
            ("/v2/chat", Dialect::CohereChat),
            ("/model/m/converse-stream", Dialect::BedrockConverse),
            ("/models/m", Dialect::OpenaiChat),
            ("/v1/chat/completions", Dialect::OpenaiChat),
        ] {
            assert_eq!(dialect_of_path(path), expected, "{path}");
        }
    }
}
