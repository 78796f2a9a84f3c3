//! Which vendor's endpoint a path is.

/// An endpoint of a vendor. Models are those that stand in the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Chat(OpenAiPlace),
    Embeddings(OpenAiPlace),
    Responses,
    Messages(AnthropicPlace),
    Gemini(GeminiPlace),
    Converse {
        model: String,
        stream: bool,
    },
    /// Bedrock's call in the shape of the model's maker; embeddings only.
    Invoke {
        model: String,
    },
    Cohere(CohereCall),
}

/// Who serves OpenAI's chat and embeddings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenAiPlace {
    /// OpenAI itself; strict.
    OpenAi,
    /// Azure OpenAI; the deployment stands in the path, the rest is as strict.
    Azure(String),
    /// One of the many that serve the same shapes: unknown members are ignored, reasoning is returned.
    Compatible,
    /// Voyage, for embeddings only.
    Voyage,
}

/// Who serves Anthropic's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnthropicPlace {
    Direct,
    /// Counts tokens instead of answering.
    Count,
    /// Vertex AI, where the path says the model and whether to stream.
    Vertex {
        model: String,
        stream: bool,
    },
}

/// A method of a Gemini model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeminiPlace {
    pub model: String,
    pub method: GeminiMethod,
    /// Vertex AI, not the Gemini API.
    pub vertex: bool,
    /// `alt=sse`; a stream without it is one JSON array.
    pub sse: bool,
    /// The query carries a key.
    pub has_key: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeminiMethod {
    Generate,
    Stream,
    Count,
    Embed,
    BatchEmbed,
    /// Vertex AI's way to embed.
    Predict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CohereCall {
    Chat,
    Embed,
    Rerank,
}

impl Endpoint {
    /// The endpoint of a POST request's target; `None` if no vendor here serves it.
    pub fn of(target: &str) -> Option<Self> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Some(match path {
            "/v1/responses" | "/responses" | "/openai/v1/responses" => Self::Responses,
            "/v1/messages" | "/messages" => Self::Messages(AnthropicPlace::Direct),
            "/v1/messages/count_tokens" | "/messages/count_tokens" => {
                Self::Messages(AnthropicPlace::Count)
            }
            "/openai/v1/chat/completions" => Self::Chat(OpenAiPlace::OpenAi),
            "/openai/v1/embeddings" => Self::Embeddings(OpenAiPlace::OpenAi),
            "/compatible/v1/chat/completions" => Self::Chat(OpenAiPlace::Compatible),
            "/compatible/v1/embeddings" => Self::Embeddings(OpenAiPlace::Compatible),
            "/voyage/v1/embeddings" => Self::Embeddings(OpenAiPlace::Voyage),
            "/v2/chat" => Self::Cohere(CohereCall::Chat),
            "/v2/embed" => Self::Cohere(CohereCall::Embed),
            "/v2/rerank" => Self::Cohere(CohereCall::Rerank),
            _ => return azure(path).or_else(|| bedrock(path)).or_else(|| google(path, query)),
        })
    }
}

fn azure(path: &str) -> Option<Endpoint> {
    let (deployment, call) = path.strip_prefix("/openai/deployments/")?.split_once('/')?;
    let place = OpenAiPlace::Azure(decoded(deployment));
    match call {
        "chat/completions" => Some(Endpoint::Chat(place)),
        "embeddings" => Some(Endpoint::Embeddings(place)),
        _ => None,
    }
}

fn bedrock(path: &str) -> Option<Endpoint> {
    let (model, call) = path.strip_prefix("/model/")?.rsplit_once('/')?;
    let stream = match call {
        "converse" => false,
        "converse-stream" => true,
        "invoke" => return Some(Endpoint::Invoke { model: decoded(model) }),
        _ => return None,
    };
    Some(Endpoint::Converse { model: decoded(model), stream })
}

/// Paths that end in `…/models/MODEL:METHOD`, at the Gemini API or at Vertex AI.
fn google(path: &str, query: &str) -> Option<Endpoint> {
    let (rest, method) = path.rsplit_once(':')?;
    let (place, model) = rest.rsplit_once("/models/")?;
    let model = decoded(model);
    let vertex = place.contains("/projects/");
    if place.ends_with("/publishers/anthropic") {
        let stream = match method {
            "rawPredict" => false,
            "streamRawPredict" => true,
            _ => return None,
        };
        return Some(Endpoint::Messages(AnthropicPlace::Vertex { model, stream }));
    }
    let method = match method {
        "generateContent" => GeminiMethod::Generate,
        "streamGenerateContent" => GeminiMethod::Stream,
        "countTokens" => GeminiMethod::Count,
        "embedContent" => GeminiMethod::Embed,
        "batchEmbedContents" if !vertex => GeminiMethod::BatchEmbed,
        "predict" if vertex => GeminiMethod::Predict,
        _ => return None,
    };
    let mut parameters = query.split('&');
    let sse = parameters.clone().any(|parameter| parameter == "alt=sse");
    let has_key = parameters.any(|parameter| parameter.len() > 4 && parameter.starts_with("key="));
    Some(Endpoint::Gemini(GeminiPlace { model, method, vertex, sse, has_key }))
}

/// A path segment without its percent signs; what is no escape stays.
fn decoded(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escape = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = escape.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_endpoints() {
        let gemini = |model: &str, method, vertex, sse, has_key| {
            let model = model.to_owned();
            Some(Endpoint::Gemini(GeminiPlace { model, method, vertex, sse, has_key }))
        };
        let vertex = "/v1/projects/p/locations/global/publishers";
        let claude = |stream| {
            let model = "claude-x@2026".to_owned();
            Some(Endpoint::Messages(AnthropicPlace::Vertex { model, stream }))
        };
        let cases = [
            ("/v1/responses".to_owned(), Some(Endpoint::Responses)),
            ("/v1/messages?beta=true".to_owned(), Some(Endpoint::Messages(AnthropicPlace::Direct))),
            (
                "/openai/deployments/d%2D1/chat/completions?api-version=1".to_owned(),
                Some(Endpoint::Chat(OpenAiPlace::Azure("d-1".to_owned()))),
            ),
            (
                "/model/eu.anthropic.claude-x-v1%3A0/converse-stream".to_owned(),
                Some(Endpoint::Converse {
                    model: "eu.anthropic.claude-x-v1:0".to_owned(),
                    stream: true,
                }),
            ),
            (
                "/v1beta/models/gemini-x:streamGenerateContent?alt=sse&key=k".to_owned(),
                gemini("gemini-x", GeminiMethod::Stream, false, true, true),
            ),
            (
                format!("{vertex}/google/models/gemini-x:generateContent"),
                gemini("gemini-x", GeminiMethod::Generate, true, false, false),
            ),
            (format!("{vertex}/anthropic/models/claude-x@2026:rawPredict"), claude(false)),
            (format!("{vertex}/anthropic/models/claude-x%402026:streamRawPredict"), claude(true)),
            ("/v1beta/models/gemini-x:unknown".to_owned(), None),
            ("/v1/chat/completions".to_owned(), None),
            ("/v1/files".to_owned(), None),
        ];
        for (target, endpoint) in cases {
            assert_eq!(Endpoint::of(&target), endpoint, "{target}");
        }
    }
}
