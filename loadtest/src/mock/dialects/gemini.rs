//! Gemini's generateContent and its kin, at the Gemini API and at Vertex AI (ai.google.dev/api,
//! docs.cloud.google.com/vertex-ai, the `google-genai` and `google-ai-generativelanguage` packages' types).
//!
//! Members may be written in camel or snake case, as in all JSON that Google maps to protocol buffers; what neither
//! knows is refused.

use serde_json::{Map, Value, json};

use super::chat_request::{ChatRequest, Choice, Format, Tool};
use super::frames::EventFrames;
use super::gemini_embeddings;
use super::gemini_rules::{
    HIDDEN_THINKING, check_schema, known, member, read_contents, system_texts, thinks_in_calls,
};
use super::path::{GeminiMethod, GeminiPlace};
use super::reading::{Flaw, Node, Refusal, is_name};
use super::script::{Piece, Script, Stop, TokenUsage, knows_tool, signature, words_of};
use super::{Dialect, Headers, Reply, Request};

const MEMBERS: &[&str] = &[
    "cachedContent",
    "contents",
    "generationConfig",
    "labels",
    "model",
    "modelArmorConfig",
    "safetySettings",
    "serviceTier",
    "store",
    "systemInstruction",
    "toolConfig",
    "tools",
];
const GENERATION_MEMBERS: &[&str] = &[
    "audioTimestamp",
    "candidateCount",
    "enableAffectiveDialog",
    "enableEnhancedCivicAnswers",
    "frequencyPenalty",
    "imageConfig",
    "logprobs",
    "maxOutputTokens",
    "mediaResolution",
    "modelSelectionConfig",
    "presencePenalty",
    "responseFormat",
    "responseJsonSchema",
    "responseLogprobs",
    "responseMimeType",
    "responseModalities",
    "responseSchema",
    "routingConfig",
    "seed",
    "speechConfig",
    "stopSequences",
    "temperature",
    "thinkingConfig",
    "topK",
    "topP",
];
const TOOL_MEMBERS: &[&str] = &[
    "codeExecution",
    "computerUse",
    "enterpriseWebSearch",
    "fileSearch",
    "functionDeclarations",
    "googleMaps",
    "googleSearch",
    "googleSearchRetrieval",
    "mcpServers",
    "parallelAiSearch",
    "retrieval",
    "urlContext",
];
const FUNCTION_MEMBERS: &[&str] = &[
    "behavior",
    "description",
    "name",
    "parameters",
    "parametersJsonSchema",
    "response",
    "responseJsonSchema",
];

/// A model's methods.
pub struct Gemini<'a>(pub &'a GeminiPlace);

impl Dialect for Gemini<'_> {
    fn read(&self, _: &Request, body: &Value) -> Result<ChatRequest, Refusal> {
        let root = Node::root(body);
        known(&root, MEMBERS)?;
        let mut chat = ChatRequest::new(&self.0.model);
        chat.stream = self.0.method == GeminiMethod::Stream;
        if let Some(system) = member(&root, "systemInstruction") {
            chat.system = system_texts(&system)?;
        }
        chat.tools = tools(&root)?;
        chat.choice = choice(&root, &chat.tools)?;
        if let Some(config) = member(&root, "generationConfig") {
            read_config(&config, &mut chat)?;
        }
        for setting in root.list("safetySettings")? {
            setting.need("category")?.text()?;
            setting.need("threshold")?.text()?;
        }
        let contents = root.need("contents").map_err(|_| {
            Refusal::rule("* GenerateContentRequest.contents: contents is not specified")
        })?;
        read_contents(&contents, self.0, &mut chat)?;
        Ok(chat)
    }

    fn refuse(&self, refusal: &Refusal) -> Reply {
        let mut error = json!({"code": refusal.status, "message": message(refusal), "status": status_name(refusal.status)});
        match refusal.flaw {
            Flaw::Missing | Flaw::Unknown | Flaw::Type(_) => {
                let violation =
                    json!({"field": refusal.bracketed_path(), "description": message(refusal)});
                error["details"] = json!([{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}]);
            }
            Flaw::Scripted if refusal.status == 429 => {
                error["details"] = json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"}]);
            }
            _ => {}
        }
        Reply::json(refusal.status, &json!({"error": error})).with_retry_after()
    }

    fn whole(&self, chat: &ChatRequest, script: &Script) -> Value {
        let parts: Vec<_> = script.pieces.iter().map(|piece| self.part(piece, script)).collect();
        let parts = if script.stop == Stop::Refused { Vec::new() } else { sealed(parts, script) };
        let candidates =
            (0..chat.answers).map(|index| candidate(index, parts.clone(), Some(script)));
        self.response(chat, candidates.collect(), &script.usage)
    }

    fn events(&self, chat: &ChatRequest, script: &Script) -> EventFrames {
        let mut chunks = Vec::new();
        for index in 0..chat.answers {
            let parts =
                if script.stop == Stop::Refused { Vec::new() } else { self.stream_parts(script) };
            for part in parts {
                chunks.push((candidate(index, vec![part], None), false));
            }
            chunks.push((candidate(index, Vec::new(), Some(script)), true));
        }
        let mut events = EventFrames::default();
        let last = chunks.len().saturating_sub(1);
        for (at, (candidate, ends)) in chunks.into_iter().enumerate() {
            // Each event has the counts so far.
            let so_far = TokenUsage { output: at as u64, thought: 0, ..script.usage };
            let usage = if at == last { script.usage } else { so_far };
            let frame = self.frame(&self.response(chat, vec![candidate], &usage), at == 0);
            if ends { events.push(frame) } else { events.delta(frame) }
        }
        if !self.0.sse {
            events.push(b"]\r\n".to_vec());
        }
        events
    }

    fn error_event(&self, _: &ChatRequest, sent: usize) -> Vec<u8> {
        let error =
            json!({"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"});
        let mut frame = self.frame(&json!({"error": error}), sent == 0);
        if !self.0.sse {
            frame.extend_from_slice(b"]\r\n");
        }
        frame
    }

    fn stream_type(&self) -> &'static str {
        if self.0.sse { "text/event-stream" } else { "application/json; charset=UTF-8" }
    }

    fn authenticate(&self, headers: &Headers) -> Result<(), Refusal> {
        let has_key = self.0.has_key || headers.get("x-goog-api-key").is_some();
        if headers.has_bearer() || has_key {
            return Ok(());
        }
        Err(Refusal::unauthenticated(if self.0.vertex { 401 } else { 403 }))
    }

    fn aside(&self, request: &Request, body: &Value) -> Option<Result<Value, Refusal>> {
        match self.0.method {
            GeminiMethod::Generate | GeminiMethod::Stream => None,
            GeminiMethod::Count => Some(self.count(request, body)),
            _ => Some(gemini_embeddings::answer(self.0, body)),
        }
    }
}

impl Gemini<'_> {
    fn count(&self, request: &Request, body: &Value) -> Result<Value, Refusal> {
        let inner = body.get("generateContentRequest").unwrap_or(body);
        let tokens = self.read(request, inner)?.input_tokens();
        Ok(
            json!({"totalTokens": tokens, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}]}),
        )
    }

    fn part(&self, piece: &Piece, script: &Script) -> Value {
        match piece {
            Piece::Thought(text) => json!({"text": text, "thought": true}),
            // What only the vendor can read is a signature and nothing else.
            Piece::HiddenThinking => {
                json!({"text": "", "thoughtSignature": signature(HIDDEN_THINKING)})
            }
            Piece::Text(text) => json!({"text": text}),
            Piece::Call { number, name, arguments } => {
                let mut call = json!({"name": name, "args": arguments});
                if !self.0.vertex && thinks_in_calls(&self.0.model) {
                    call["id"] = json!(format!("mock{number:04}"));
                }
                let mut part = json!({"functionCall": call});
                let thinks = thinks_in_calls(&self.0.model) || thought(script);
                let is_first = script.calls().next().is_some_and(|(first, _, _)| first == *number);
                if thinks && is_first {
                    part["thoughtSignature"] = json!(signature(name));
                }
                part
            }
        }
    }

    /// The parts of a stream: texts by words, calls whole.
    fn stream_parts(&self, script: &Script) -> Vec<Value> {
        let mut parts = Vec::new();
        for piece in &script.pieces {
            match piece {
                Piece::Thought(text) => {
                    let words = words_of(text).into_iter();
                    parts.extend(words.map(|word| json!({"text": word, "thought": true})));
                }
                Piece::Text(text) => {
                    parts.extend(words_of(text).into_iter().map(|word| json!({"text": word})));
                }
                _ => parts.push(self.part(piece, script)),
            }
        }
        sealed(parts, script)
    }

    fn response(&self, chat: &ChatRequest, candidates: Vec<Value>, usage: &TokenUsage) -> Value {
        let visible = usage.output - usage.thought;
        let mut counts = Map::new();
        counts.insert("promptTokenCount".to_owned(), json!(usage.input));
        if usage.cache_read > 0 {
            counts.insert("cachedContentTokenCount".to_owned(), json!(usage.cache_read));
        }
        counts.insert("candidatesTokenCount".to_owned(), json!(visible * chat.answers as u64));
        if usage.thought > 0 {
            counts.insert("thoughtsTokenCount".to_owned(), json!(usage.thought));
        }
        let total = usage.input + visible * chat.answers as u64 + usage.thought;
        counts.insert("totalTokenCount".to_owned(), json!(total));
        let details = json!([{"modality": "TEXT", "tokenCount": usage.input}]);
        counts.insert("promptTokensDetails".to_owned(), details);
        if self.0.vertex {
            counts.insert("trafficType".to_owned(), json!("ON_DEMAND"));
        }
        json!({
            "candidates": candidates,
            "usageMetadata": counts,
            "modelVersion": chat.model,
            "responseId": "mock000001",
        })
    }

    /// An event with CRLF, or an element of the JSON array.
    fn frame(&self, value: &Value, is_first: bool) -> Vec<u8> {
        if self.0.sse {
            return format!("data: {value}\r\n\r\n").into_bytes();
        }
        let before = if is_first { "[" } else { ",\r\n" };
        format!("{before}{value}").into_bytes()
    }
}

fn thought(script: &Script) -> bool {
    script.pieces.iter().any(|piece| matches!(piece, Piece::Thought(_)))
}

/// After a thought, the last text carries its signature, if no call does.
fn sealed(mut parts: Vec<Value>, script: &Script) -> Vec<Value> {
    if thought(script) && script.calls().next().is_none() {
        let is_visible = |part: &&mut Value| part["thought"].is_null();
        if let Some(part) = parts.iter_mut().rfind(is_visible) {
            part["thoughtSignature"] = json!(signature(HIDDEN_THINKING));
        }
    }
    parts
}

/// A candidate; `end` is why it ended.
fn candidate(index: usize, parts: Vec<Value>, end: Option<&Script>) -> Value {
    let mut candidate = json!({"index": index});
    let refused = end.is_some_and(|script| script.stop == Stop::Refused);
    if !refused {
        let mut content = json!({"role": "model"});
        if !parts.is_empty() {
            content["parts"] = json!(parts);
        } else if end.is_some() {
            content["parts"] = json!([{"text": ""}]);
        }
        candidate["content"] = content;
    }
    if let Some(script) = end {
        candidate["finishReason"] = json!(match script.stop {
            Stop::Done | Stop::Calls => "STOP",
            Stop::Length => "MAX_TOKENS",
            Stop::Refused => "SAFETY",
        });
    }
    if refused {
        let rating = json!({"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": true});
        candidate["safetyRatings"] = json!([rating]);
    }
    candidate
}

fn message(refusal: &Refusal) -> String {
    let path = refusal.bracketed_path();
    match &refusal.flaw {
        Flaw::Missing => format!("* GenerateContentRequest.{path}: must be specified"),
        Flaw::Unknown => {
            let (place, name) = path.rsplit_once('.').unwrap_or(("", &path));
            let place = if place.is_empty() { String::new() } else { format!(" at '{place}'") };
            format!(
                "Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field."
            )
        }
        Flaw::Type(expected) => format!("Invalid value at '{path}': expected {expected}"),
        Flaw::Rule(rule) if path.is_empty() => rule.clone(),
        Flaw::Rule(rule) => format!("* GenerateContentRequest.{path}: {rule}"),
        Flaw::Unauthenticated => "The request carries no API key and no access token.".to_owned(),
        Flaw::InvalidJson(error) => format!("Invalid JSON payload received. {error}"),
        Flaw::Scripted => format!("The mock was told to answer {}.", refusal.status),
    }
}

fn status_name(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        501 => "UNIMPLEMENTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

fn read_config(config: &Node, chat: &mut ChatRequest) -> Result<(), Refusal> {
    known(config, GENERATION_MEMBERS)?;
    config.range("temperature", 0.0, 2.0)?;
    config.range("topP", 0.0, 1.0)?;
    config.range("candidateCount", 1.0, 8.0)?;
    config.range("maxOutputTokens", 1.0, f64::MAX)?;
    let number = |name| member(config, name).map(|number| number.number()).transpose();
    let integer = |name| member(config, name).map(|number| number.integer()).transpose();
    chat.temperature = number("temperature")?;
    chat.top_p = number("topP")?;
    chat.max_tokens = integer("maxOutputTokens")?;
    chat.answers = integer("candidateCount")?.unwrap_or(1).try_into().unwrap_or(1);
    if let Some(stops) = member(config, "stopSequences") {
        let texts = stops.items()?;
        if texts.len() > 5 {
            return Err(stops.broken("at most 5 stop sequences are allowed"));
        }
        chat.stop =
            texts.iter().map(|stop| stop.text().map(str::to_owned)).collect::<Result<_, _>>()?;
    }
    if let Some(thinking) = member(config, "thinkingConfig") {
        known(&thinking, &["includeThoughts", "thinkingBudget", "thinkingLevel"])?;
        if member(&thinking, "thinkingBudget").is_some()
            && member(&thinking, "thinkingLevel").is_some()
        {
            return Err(
                thinking.broken("only one of thinking budget and thinking level may be set")
            );
        }
        chat.reasoning = Some(thinking.value.clone());
    }
    let mime = member(config, "responseMimeType").map_or(Ok("text/plain"), |mime| {
        mime.one_of(&["text/plain", "application/json", "text/x.enum"])
    })?;
    let plain = member(config, "responseSchema");
    let full = member(config, "responseJsonSchema");
    if let Some(schema) = &plain {
        check_schema(schema)?;
    }
    if plain.is_some() && full.is_some() {
        return Err(
            config.broken("only one of response_schema and response_json_schema may be set")
        );
    }
    chat.format = match plain.or(full) {
        Some(schema) if mime == "text/plain" => {
            return Err(schema.broken("a schema needs the response mime type application/json"));
        }
        Some(schema) => Format::Schema(schema.value.clone()),
        None if mime == "application/json" => Format::Json,
        None => Format::Text,
    };
    Ok(())
}

fn tools(root: &Node) -> Result<Vec<Tool>, Refusal> {
    let mut tools: Vec<Tool> = Vec::new();
    for item in root.list("tools")? {
        known(&item, TOOL_MEMBERS)?;
        let Some(declarations) = member(&item, "functionDeclarations") else { continue };
        for function in declarations.items()? {
            known(&function, FUNCTION_MEMBERS)?;
            let name = function.need("name")?;
            let first = name.text()?.chars().next().unwrap_or('0');
            let starts = first.is_ascii_alphabetic() || first == '_';
            if !starts || !is_name(name.text()?, 64, "_.:-") {
                return Err(name.broken("Invalid function name. Must start with a letter or an underscore; at most 64 of a-z, A-Z, 0-9, '_', '.', ':' and '-'"));
            }
            if knows_tool(&tools, name.text()?) {
                return Err(
                    name.broken(format!("Duplicate function declaration found: {}", name.text()?))
                );
            }
            let plain = member(&function, "parameters");
            let full = member(&function, "parametersJsonSchema");
            if let Some(schema) = &plain {
                check_schema(schema)?;
            }
            if plain.is_some() && full.is_some() {
                return Err(
                    function.broken("only one of parameters and parameters_json_schema may be set")
                );
            }
            let schema = plain.or(full).map_or_else(|| json!({}), |schema| schema.value.clone());
            let description =
                function.get("description").map_or(Ok(""), |text| text.text())?.to_owned();
            tools.push(Tool { name: name.text()?.to_owned(), description, schema });
        }
    }
    Ok(tools)
}

fn choice(root: &Node, tools: &[Tool]) -> Result<Choice, Refusal> {
    let Some(config) = member(root, "toolConfig") else { return Ok(Choice::Auto) };
    known(
        &config,
        &["functionCallingConfig", "retrievalConfig", "includeServerSideToolInvocations"],
    )?;
    let Some(config) = member(&config, "functionCallingConfig") else { return Ok(Choice::Auto) };
    known(&config, &["mode", "allowedFunctionNames", "streamFunctionCallArguments"])?;
    let mode = config.get("mode").map_or(Ok("AUTO"), |mode| {
        mode.one_of(&["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"])
    })?;
    let allowed = member(&config, "allowedFunctionNames");
    let names = allowed.as_ref().map_or(Ok(Vec::new()), |names| names.items())?;
    if !names.is_empty() && !matches!(mode, "ANY" | "VALIDATED") {
        return Err(
            config.broken("allowed_function_names are only for the modes ANY and VALIDATED")
        );
    }
    for name in &names {
        if !knows_tool(tools, name.text()?) {
            return Err(name.broken("an allowed function must be declared"));
        }
    }
    Ok(match (mode, names.first()) {
        ("NONE", _) => Choice::None,
        ("ANY", Some(name)) if names.len() == 1 => Choice::Named(name.text()?.to_owned()),
        ("ANY", _) => Choice::Required,
        _ => Choice::Auto,
    })
}
