//! What has become usual among those who imitate OpenAI, and what OpenAI itself refuses with a 400.

use std::borrow::Cow;

use crate::dialects::warnings::Warnings;
use crate::llm::{ChatRequest, Content, Part, Tool};

/// The request without what OpenAI does not know. Copied only where there is something to leave out.
pub(super) fn for_openai<'r>(
    request: &'r ChatRequest,
    warnings: &mut Warnings,
) -> Cow<'r, ChatRequest> {
    let sampling = &request.sampling;
    let parts = || request.turns.iter().flat_map(|turn| &turn.parts);
    let why = "OpenAI's own API has no such member";
    let thoughts = parts().any(|part| matches!(part.content, Content::Reasoning(_)));
    let signatures = parts()
        .any(|part| matches!(&part.content, Content::ToolCall(call) if call.signature.is_some()));
    let cached = parts().any(|part| part.cache.is_some())
        || request.functions().any(|function| function.cache.is_some());
    let found = [
        ("top_k", sampling.top_k.is_some(), why),
        ("min_p", sampling.min_p.is_some(), why),
        ("a thought", thoughts, "OpenAI's chat takes none back"),
        ("the signature of a call", signatures, "another vendor's"),
        ("a cache point", cached, "OpenAI caches by itself"),
    ];
    let mut is_strict = true;
    for (what, _, why) in found.iter().filter(|(_, is_there, _)| *is_there) {
        warnings.dropped(what, why);
        is_strict = false;
    }
    if is_strict { Cow::Borrowed(request) } else { Cow::Owned(stripped(request.clone())) }
}

fn stripped(mut request: ChatRequest) -> ChatRequest {
    (request.sampling.top_k, request.sampling.min_p) = (None, None);
    for turn in &mut request.turns {
        let had_parts = !turn.parts.is_empty();
        turn.parts.retain(|part| !matches!(part.content, Content::Reasoning(_)));
        turn.parts.iter_mut().for_each(strip);
        if had_parts && turn.parts.is_empty() {
            // A turn of nothing but thoughts still parts the turns around it.
            turn.parts.push(Part::text(""));
        }
    }
    for tool in &mut request.tools {
        if let Tool::Function(function) = tool {
            function.cache = None;
        }
    }
    request
}

fn strip(part: &mut Part) {
    part.cache = None;
    match &mut part.content {
        Content::ToolCall(call) => call.signature = None,
        Content::ToolResult(result) => result.parts.iter_mut().for_each(strip),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{CachePoint, Reasoning, Role, Turn};

    #[test]
    fn what_openai_refuses_is_left_out_and_told() {
        let mut request = ChatRequest::default();
        let mut warnings = Warnings::default();
        request.turns.push(Turn::new(Role::User, vec![Part::text("x")]));
        assert!(matches!(for_openai(&request, &mut warnings), Cow::Borrowed(_)));
        assert!(warnings.is_empty());
        request.sampling.top_k = Some(5);
        request.turns[0].parts[0].cache = Some(CachePoint::Hour);
        let thought = Part::new(Content::Reasoning(Reasoning::default()));
        request.turns.push(Turn::new(Role::Assistant, vec![thought, Part::text("y")]));
        let found = for_openai(&request, &mut warnings).into_owned();
        let expected = ChatRequest {
            turns: vec![
                Turn::new(Role::User, vec![Part::text("x")]),
                Turn::new(Role::Assistant, vec![Part::text("y")]),
            ],
            ..ChatRequest::default()
        };
        assert_eq!(found, expected);
        let told: Vec<&str> = warnings.iter().collect();
        assert_eq!(told.len(), 3, "{told:?}");
    }
}
