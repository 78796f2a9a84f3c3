//! A property test: a request survives being written in this dialect and read again.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::{read_request, write_request};
use crate::dialects::codec::TargetModel;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    CachePoint, ChatRequest, Citation, Content, Dialect, DialectJson, File, Format, Function,
    Image, Json, Media, MediaSource, Part, Reasoning, ReasoningSettings, Role, Sampling, Scanner,
    Signature, Text, Tool, ToolCall, ToolChoice, ToolResult, Turn, WebSearch, find_rules,
};

/// Text that is not blank and does not end in white space.
fn any_text() -> impl Strategy<Value = String> {
    "[a-z \"\\\\\n\u{e9}]{0,8}x"
}

fn json() -> impl Strategy<Value = Json> {
    let texts = [r#"{"type":"object"}"#, r#"{"a":[1,2.5,null],"b":"\"é"}"#];
    select(texts.to_vec()).prop_map(|text| Json::of_written(text.to_owned()))
}

fn cache() -> impl Strategy<Value = Option<CachePoint>> {
    option::of(select(vec![CachePoint::Default, CachePoint::Hour]))
}

fn with_cache(content: impl Strategy<Value = Content>) -> impl Strategy<Value = Part> {
    (content, cache()).prop_map(|(content, cache)| Part { content, cache })
}

fn text() -> impl Strategy<Value = Content> {
    any_text().prop_map(|text| Content::Text(Text { text, citations: Vec::new() }))
}

fn source(media_type: &'static str) -> impl Strategy<Value = Media> {
    let of = |source| Media { media_type: None, source };
    prop_oneof![
        Just(Media::base64(media_type, "AAAA")),
        "[a-z]{1,5}"
            .prop_map(move |path| of(MediaSource::Url(format!("https://a.example/{path}")))),
        "[a-z]{1,5}".prop_map(move |id| of(MediaSource::Id(id))),
    ]
}

fn shown() -> impl Strategy<Value = Content> {
    let image = source("image/png").prop_map(|media| Content::Image(Image { media, detail: None }));
    let media =
        prop_oneof![source("application/pdf"), any_text().prop_map(|it| Media::plain_text(&it))];
    let file = (media, option::of(any_text()), option::of(any_text()), any::<bool>());
    let file = file.prop_map(|(media, name, context, with_citations)| {
        Content::File(File { media, name, context, with_citations })
    });
    prop_oneof![text(), image, file]
}

/// A part of a user message. Blocks of the vendor contain their own cache points.
fn user_part() -> impl Strategy<Value = Part> {
    let foreign = any_text().prop_map(|any_text| {
        let json =
            format!(r#"{{"type":"search_result","source":{}}}"#, Json::of_text(&any_text).text());
        Part::new(Content::Raw(DialectJson {
            dialect: Dialect::AnthropicMessages,
            json: Json::of_written(json),
        }))
    });
    prop_oneof![4 => with_cache(shown()), 1 => foreign]
}

fn result() -> impl Strategy<Value = Part> {
    let result = ("[a-z.:_-]{1,8}", vec(with_cache(shown()), 0..3), any::<bool>());
    with_cache(result.prop_map(|(id, parts, is_error)| {
        Content::ToolResult(ToolResult { id, name: None, parts, is_error })
    }))
}

fn reasoning_part() -> impl Strategy<Value = Part> {
    let proof = || Some(Signature { dialect: Dialect::AnthropicMessages, text: "c2ln".to_owned() });
    let sealed = Reasoning { sealed: proof(), ..Reasoning::default() };
    let shown = any_text().prop_map(move |text| Reasoning {
        text,
        signature: proof(),
        ..Reasoning::default()
    });
    prop_oneof![Just(sealed), shown].prop_map(|it| Part::new(Content::Reasoning(it)))
}

fn assistant_part() -> impl Strategy<Value = Part> {
    let cited = (any_text(), json()).prop_map(|(text, original)| {
        let original = Some(DialectJson { dialect: Dialect::AnthropicMessages, json: original });
        Content::Text(Text { text, citations: vec![Citation { original, ..Citation::default() }] })
    });
    let call = ("[a-z.:_-]{1,8}", "[a-z.]{1,8}", option::of(json()));
    let call = call.prop_map(|(id, name, arguments)| {
        let arguments = arguments.map(|json| json.text().to_owned()).unwrap_or_default();
        Content::ToolCall(ToolCall { id, name, arguments, signature: None })
    });
    prop_oneof![with_cache(text()), with_cache(cited), with_cache(call), reasoning_part()]
}

/// An assistant turn and the user turn that follows it.
fn exchange() -> impl Strategy<Value = Vec<Turn>> {
    (vec(assistant_part(), 1..4), vec(result(), 0..3), vec(user_part(), 1..3)).prop_map(
        |(assistant_part, results, rest)| {
            let turns = [
                Turn::new(Role::Assistant, assistant_part),
                Turn::new(Role::Tool, results),
                Turn::new(Role::User, rest),
            ];
            turns.into_iter().filter(|turn| !turn.parts.is_empty()).collect()
        },
    )
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let system = vec(with_cache(text()), 0..3).prop_map(|parts| Turn::new(Role::System, parts));
    (system, vec(user_part(), 1..3), vec(exchange(), 0..3)).prop_map(|(system, first, rest)| {
        let first = [system, Turn::new(Role::User, first)];
        first
            .into_iter()
            .chain(rest.into_iter().flatten())
            .filter(|it| !it.parts.is_empty())
            .collect()
    })
}

fn tool() -> impl Strategy<Value = Tool> {
    let function = ("[a-z.]{1,8}", option::of(any_text()), option::of(any::<bool>()), cache());
    let function = function.prop_map(|(name, description, strict, cache)| {
        let parameters = r#"{"type":"object","properties":{"a":{}},"required":["a"],"additionalProperties":false}"#;
        let parameters = Some(Json::of_written(parameters.to_owned()));
        Tool::Function(Function { name, description, parameters, strict, cache, openai: None })
    });
    let sites = || vec("[a-z]{1,4}\\.example", 0..3);
    let search = (sites(), option::of(0_u64..9)).prop_map(|(allowed_domains, uses_max)| {
        Tool::WebSearch(WebSearch { allowed_domains, uses_max, ..WebSearch::default() })
    });
    let bash = Json::of_written(r#"{"type":"bash_20250124","name":"bash"}"#.to_owned());
    let bash = Just(Tool::Raw(DialectJson { dialect: Dialect::AnthropicMessages, json: bash }));
    prop_oneof![function, search, Just(Tool::CodeExecution), bash]
}

/// Settings of sampling or of reasoning, which exclude each other, and a model that accepts them.
fn manner() -> impl Strategy<Value = (&'static str, Sampling, Option<ReasoningSettings>)> {
    let sampling = (option::of(0.0..1.0_f64), option::of(0.0..1.0_f64), option::of(1_u64..99));
    let sampling = sampling.prop_map(|(temperature, top_p, top_k)| {
        ("model-1", Sampling { temperature, top_p, top_k, ..Sampling::default() }, None)
    });
    let thinking = |model: &'static str, settings: ReasoningSettings| {
        (model, Sampling::default(), Some(settings))
    };
    let shown = || option::of(any::<bool>());
    let efforts = select(vec!["low", "medium", "high", "xhigh", "max"]);
    let adaptive = (option::of(efforts), shown()).prop_map(move |(effort, is_shown)| {
        let effort = effort.map(str::to_owned);
        thinking("claude-opus-5", ReasoningSettings { effort, is_shown, ..Default::default() })
    });
    let off = Just(thinking("model-1", ReasoningSettings { is_off: true, ..Default::default() }));
    prop_oneof![sampling, adaptive, off]
}

fn format() -> impl Strategy<Value = Format> {
    let closed = r#"{"type":"object","properties":{"a":{}},"additionalProperties":false}"#;
    Just(Format::JsonSchema {
        name: None,
        description: None,
        schema: Json::of_written(closed.to_owned()),
        strict: Some(true),
    })
}

prop_compose! {
    fn request()(
        (model, sampling, reasoning) in manner(),
        turns in turns(),
        (tools, wish, parallel) in (vec(tool(), 1..4), 0..3_u8, option::of(any::<bool>())),
        format in option::of(format()),
        max_tokens in 1_u64..100_000,
        stop in vec(any_text(), 0..3),
        user in option::of(any_text()),
        tier in option::of(select(vec!["auto", "default"])),
        stream in any::<bool>(),
    ) -> ChatRequest {
        let tool_choice = match wish {
            0 => None,
            1 => Some(ToolChoice::Auto),
            // A forced call would exclude reasoning.
            _ if reasoning.is_some() => Some(ToolChoice::Auto),
            _ => Some(ToolChoice::Required),
        };
        ChatRequest {
            model: model.to_owned(),
            turns,
            tools,
            parallel_tool_calls: parallel.filter(|_| tool_choice.is_some()),
            tool_choice,
            format,
            max_tokens: Some(max_tokens),
            sampling,
            stop,
            reasoning,
            user,
            service_tier: tier.map(str::to_owned),
            stream,
            include_usage: true,
            ..ChatRequest::default()
        }
    }
}

/// Drops what citations gain when they are read, which depends on their kind.
fn without_details(mut request: ChatRequest) -> ChatRequest {
    for part in request.turns.iter_mut().flat_map(|turn| &mut turn.parts) {
        if let Content::Text(text) = &mut part.content {
            for citation in &mut text.citations {
                let original = citation.original.take();
                *citation = Citation { original, ..Citation::default() };
            }
        }
    }
    request
}

proptest! {
    #[test]
    fn requests_round_trip(request in request()) {
        let rules = find_rules(None, Dialect::AnthropicMessages, &request.model, &[]);
        let target = TargetModel::new(&request.model, true).with_rules(&rules);
        let (mut warnings, mut out) = (Warnings::default(), Vec::new());
        write_request::write(&request, &target, &mut warnings, &mut out).expect("sayable");
        prop_assert!(warnings.is_empty(), "{}", warnings.header());
        let again = Scanner::default().read(&out, read_request::read).expect("JSON");
        prop_assert_eq!(again.map(without_details), Ok(request));
    }
}
