//! Tool names within the vendor's limits: shortened in the request, restored in the response.

use std::borrow::Cow;

use crate::dialects::digest::digest;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    Answer, ChatRequest, Chunk, Content, Dialect, ModelRules, Tool, ToolChoice, Turn,
};

/// Characters of the hash that keeps shortened names distinct.
const HASH_CHARACTERS: usize = 8;

/// The renamed tools, by the name that the provider sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolNames(Vec<(String, String)>);

impl ToolNames {
    /// Renames each tool whose name exceeds the vendor's limits.
    pub(super) fn shorten(
        request: &mut Cow<'_, ChatRequest>,
        dialect: Dialect,
        rules: &ModelRules,
        warnings: &mut Warnings,
    ) -> Self {
        let mut names = Self::default();
        let Some(most) = rules.tool_name_max.and_then(|most| usize::try_from(most).ok()) else {
            return names;
        };
        // Anthropic's dialect escapes what does not fit, and reads it back.
        let any_letters = dialect == Dialect::AnthropicMessages;
        let fits = |name: &str| name.chars().count() <= most && (any_letters || is_plain(name));
        if names_of(request).all(fits) {
            return names;
        }
        warnings.changed("the name of a tool", "shortened as the vendor takes it, and restored");
        for name in names_in(request.to_mut()) {
            if !fits(name) {
                let short = shortened(name, most);
                if names.0.iter().all(|(known, _)| *known != short) {
                    names.0.push((short.clone(), name.clone()));
                }
                *name = short;
            }
        }
        names
    }

    /// Restores the names of the calls in a response.
    pub fn restore_answer(&self, answer: &mut Answer) {
        if self.0.is_empty() {
            return;
        }
        for part in answer.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
            self.restore(&mut part.content);
        }
    }

    /// Restores the name of a call that begins in a stream.
    pub fn restore_chunk(&self, chunk: &mut Chunk) {
        if let Chunk::BlockStart { content, .. } = chunk {
            self.restore(content);
        }
    }

    fn restore(&self, content: &mut Content) {
        if let Content::ToolCall(call) = content
            && let Some((_, name)) = self.0.iter().find(|(short, _)| *short == call.name)
        {
            call.name.clone_from(name);
        }
    }
}

fn is_plain(name: &str) -> bool {
    let is_taken = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    !name.is_empty() && name.bytes().all(is_taken)
}

/// A prefix of the name and a hash of it. Deterministic.
fn shortened(name: &str, most: usize) -> String {
    let plain = |character: char| {
        if is_plain(character.encode_utf8(&mut [0; 4])) { character } else { '_' }
    };
    let kept = most.saturating_sub(HASH_CHARACTERS + 1);
    let beginning = name.chars().take(kept).map(plain);
    beginning.chain(['_']).chain(digest(name, HASH_CHARACTERS).chars()).collect()
}

fn names_of(request: &ChatRequest) -> impl Iterator<Item = &str> {
    let tools = request.functions().map(|function| function.name.as_str());
    let chosen = match &request.tool_choice {
        Some(ToolChoice::Function(name)) => Some(name.as_str()),
        _ => None,
    };
    let parts = request.turns.iter().flat_map(|turn: &Turn| &turn.parts);
    let called = parts.filter_map(|part| match &part.content {
        Content::ToolCall(call) => Some(call.name.as_str()),
        Content::ToolResult(result) => result.name.as_deref(),
        _ => None,
    });
    tools.chain(chosen).chain(called)
}

fn names_in(request: &mut ChatRequest) -> impl Iterator<Item = &mut String> {
    let tools = request.tools.iter_mut().filter_map(|tool| match tool {
        Tool::Function(function) => Some(&mut function.name),
        _ => None,
    });
    let chosen = match &mut request.tool_choice {
        Some(ToolChoice::Function(name)) => Some(name),
        _ => None,
    };
    let parts = request.turns.iter_mut().flat_map(|turn| &mut turn.parts);
    let called = parts.filter_map(|part| match &mut part.content {
        Content::ToolCall(call) => Some(&mut call.name),
        Content::ToolResult(result) => result.name.as_mut(),
        _ => None,
    });
    tools.chain(chosen).chain(called)
}
