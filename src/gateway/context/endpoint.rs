//! The paths of the data plane: one table from path to endpoint.

use super::error::GatewayError;
use crate::http::Method;
use crate::llm::Dialect;

/// Defines [`Endpoint`] and the names of endpoints.
macro_rules! endpoints {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// What a request asks for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Endpoint { $($(#[$doc])* $variant,)* }

        /// Names in metrics and logs, by the index that events carry.
        pub const ENDPOINT_NAMES: &[&str] = &["none", "mirror", $($name,)*];
    };
}

/// Index of requests that reach no endpoint.
pub(crate) const NO_ENDPOINT: u8 = 0;

/// Index of mirrored requests, which no client sends.
pub(crate) const MIRROR_ENDPOINT: u8 = 1;

endpoints! {
    /// `POST /v1/chat/completions`.
    ChatCompletions => "chat_completions",
    /// `POST /v1/completions`.
    Completions => "completions",
    /// `POST /v1/embeddings`.
    Embeddings => "embeddings",
    /// `POST /v1/rerank` and `POST /v2/rerank`.
    Rerank => "rerank",
    /// `POST /v1/responses`.
    Responses => "responses",
    /// `POST /v1/responses/input_tokens`.
    InputTokens => "input_tokens",
    /// `GET /v1/responses`, which becomes a WebSocket.
    ResponsesSocket => "responses_socket",
    /// `POST /v1/messages`.
    Messages => "messages",
    /// `POST /v1/messages/count_tokens`.
    CountTokens => "count_tokens",
    /// `POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`.
    GenerateContent => "generate_content",
    /// `POST /v1beta/models/{model}:embedContent` and `:batchEmbedContents`.
    EmbedContent => "embed_content",
    /// `POST /v1beta/models/{model}:countTokens`.
    CountContent => "count_content",
    /// `POST /model/{id}/converse` and `/model/{id}/converse-stream`.
    Converse => "converse",
    /// `POST /v2/chat`.
    CohereChat => "cohere_chat",
    /// `GET /v1/models` and `GET /v1/models/{id}`, and the same below `/v1beta`.
    Models => "models",
    /// `POST /v1/feedback`.
    Feedback => "feedback",
    /// `GET /v1/realtime`, which becomes a WebSocket.
    Realtime => "realtime",
    /// Any other `/v1/*`.
    PassThrough => "pass_through",
}

/// A path that the gateway itself understands, and the method it takes.
const PATHS: &[(&str, Endpoint, Method)] = &[
    ("/v1/chat/completions", Endpoint::ChatCompletions, Method::Post),
    ("/v1/completions", Endpoint::Completions, Method::Post),
    ("/v1/embeddings", Endpoint::Embeddings, Method::Post),
    ("/v1/rerank", Endpoint::Rerank, Method::Post),
    ("/v2/rerank", Endpoint::Rerank, Method::Post),
    ("/v2/chat", Endpoint::CohereChat, Method::Post),
    ("/v1/responses", Endpoint::Responses, Method::Post),
    ("/v1/responses", Endpoint::ResponsesSocket, Method::Get),
    ("/v1/responses/input_tokens", Endpoint::InputTokens, Method::Post),
    ("/v1/messages", Endpoint::Messages, Method::Post),
    ("/v1/messages/count_tokens", Endpoint::CountTokens, Method::Post),
    ("/v1/models", Endpoint::Models, Method::Get),
    ("/v1beta/models", Endpoint::Models, Method::Get),
    ("/v1/feedback", Endpoint::Feedback, Method::Post),
    ("/v1/realtime", Endpoint::Realtime, Method::Get),
];

impl Endpoint {
    /// The endpoint of a path and method.
    pub(crate) fn find(path: &str, method: Method) -> Result<Self, GatewayError> {
        // A server that answers GET answers HEAD (RFC 9110 section 9.3.2).
        let takes =
            |takes: Method| takes == method || (takes == Method::Get && method == Method::Head);
        let mut rows = PATHS.iter().filter(|(known, ..)| *known == path).peekable();
        if let Some((_, first, _)) = rows.peek() {
            return match (rows.find(|(.., method)| takes(*method)), first) {
                (Some((_, endpoint, _)), _) => Ok(*endpoint),
                // A call over WebRTC begins with a POST to the same path.
                (None, Self::Realtime) => Ok(Self::PassThrough),
                (None, _) => Err(GatewayError::MethodNotAllowed),
            };
        }
        if is_disguised(path) {
            return Err(GatewayError::NotFound);
        }
        if let Some(GeminiCall { endpoint, .. }) = gemini_call(path) {
            let is_post = method == Method::Post;
            return if is_post { Ok(endpoint) } else { Err(GatewayError::MethodNotAllowed) };
        }
        if converse_call(path).is_some() {
            let is_post = method == Method::Post;
            return if is_post { Ok(Self::Converse) } else { Err(GatewayError::MethodNotAllowed) };
        }
        match behind_version(path).and_then(|rest| rest.strip_prefix('/')) {
            Some(rest) if rest.strip_prefix("models/").is_some_and(|id| !id.is_empty()) => {
                // Deleting a fine-tuned model is the provider's business.
                let reads = matches!(method, Method::Get | Method::Head);
                Ok(if reads { Self::Models } else { Self::PassThrough })
            }
            Some(rest) if !rest.is_empty() => Ok(Self::PassThrough),
            _ => Err(GatewayError::NotFound),
        }
    }

    /// The methods that a path takes, for the response to one it does not.
    pub(crate) fn allowed(path: &str) -> &'static str {
        match PATHS.iter().find(|(known, ..)| *known == path) {
            Some((.., Method::Get)) => "GET, HEAD",
            Some((.., method)) => method.as_str(),
            None => "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
        }
    }

    /// Its place in [`ENDPOINT_NAMES`].
    pub(crate) fn index(self) -> u8 {
        self as u8 + MIRROR_ENDPOINT + 1
    }

    /// Name in metrics and logs.
    pub(crate) fn name(self) -> &'static str {
        ENDPOINT_NAMES.get(usize::from(self.index())).copied().unwrap_or_default()
    }

    /// What the ids of its responses begin with.
    pub(crate) fn answer_prefix(self) -> &'static str {
        match self {
            Self::Completions => "cmpl",
            Self::Rerank => "rerank",
            Self::Responses => "resp",
            Self::Messages => "msg",
            _ => "chatcmpl",
        }
    }

    /// The dialect of a conversation; none where it is about something else.
    pub(crate) fn chat_dialect(self) -> Option<Dialect> {
        match self {
            Self::ChatCompletions => Some(Dialect::OpenaiChat),
            Self::Responses | Self::InputTokens => Some(Dialect::OpenaiResponses),
            Self::Messages | Self::CountTokens => Some(Dialect::AnthropicMessages),
            Self::GenerateContent | Self::CountContent => Some(Dialect::Gemini),
            Self::Converse => Some(Dialect::BedrockConverse),
            Self::CohereChat => Some(Dialect::CohereChat),
            _ => None,
        }
    }

    /// True where the path names the model.
    pub(crate) fn has_model_in_path(self) -> bool {
        matches!(
            self,
            Self::GenerateContent | Self::EmbedContent | Self::CountContent | Self::Converse
        )
    }

    /// True where the tokens of a conversation are counted and none is answered.
    pub(crate) fn counts_tokens(self) -> bool {
        matches!(self, Self::CountTokens | Self::InputTokens | Self::CountContent)
    }

    /// True where the response is in words, which may come as a stream.
    pub(crate) fn is_text(self) -> bool {
        !matches!(self, Self::Embeddings | Self::EmbedContent | Self::Rerank)
    }

    /// True where the gateway reads the JSON of request and answer.
    pub(crate) fn is_metered(self) -> bool {
        matches!(
            self,
            Self::ChatCompletions
                | Self::Completions
                | Self::Embeddings
                | Self::Rerank
                | Self::Responses
                | Self::Messages
                | Self::GenerateContent
                | Self::EmbedContent
                | Self::Converse
                | Self::CohereChat
        )
    }
}

/// What follows the version in a path of the data plane, with its slash.
pub(crate) fn behind_version(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/v1beta").or_else(|| path.strip_prefix("/v1"))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// The dialect of whoever calls that path, in which errors are written.
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
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct GeminiCall {
    /// The model, unescaped, with the provider's name before it if the client wrote one.
    pub model: String,
    /// The method, as Google names it.
    pub method: &'static str,
    pub endpoint: Endpoint,
}

/// Google's methods of a model.
const GEMINI_METHODS: [(&str, Endpoint); 5] = [
    ("generateContent", Endpoint::GenerateContent),
    (STREAM_METHOD, Endpoint::GenerateContent),
    ("embedContent", Endpoint::EmbedContent),
    (BATCH_METHOD, Endpoint::EmbedContent),
    ("countTokens", Endpoint::CountContent),
];

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
    let rest = behind_version(path)?.strip_prefix('/')?;
    let named = GEMINI_METHODS.iter().find_map(|(method, endpoint)| {
        let before = rest.strip_suffix(method)?;
        let colons = [":", "%3A", "%3a"].into_iter();
        let model = colons.filter_map(|colon| before.strip_suffix(colon)).next()?;
        Some((model, *method, *endpoint))
    });
    let (model, method, endpoint) = named?;
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
    Some(GeminiCall { model, method, endpoint })
}

/// The model, unescaped, and whether a stream is wanted, of a path of Amazon Bedrock's Converse.
pub(crate) fn converse_call(path: &str) -> Option<(String, bool)> {
    let (model, operation) = path.strip_prefix("/model/")?.rsplit_once('/')?;
    let stream = match operation {
        "converse" => false,
        "converse-stream" => true,
        _ => return None,
    };
    (!model.is_empty()).then(|| (percent_decoded(model), stream))
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
    PATHS.iter().any(|(known, ..)| plain.eq_ignore_ascii_case(known))
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
    fn paths() {
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
    fn what_a_path_of_google_says() {
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
