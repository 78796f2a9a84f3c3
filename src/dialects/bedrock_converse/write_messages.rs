//! The conversation as a provider accepts it: alternating user and assistant messages, with supported
//! parts only.

use super::write_content::{Blocks, is_blank, own_signature};
use crate::dialects::codec::Unsupported;
use crate::dialects::warnings::Warnings;
use crate::llm::{
    CachePoint, ChatRequest, Content, Dialect, EarlierReasoning, ModelRules, ObjectWriter, Part,
    Reasoning, Role, Text,
};

/// The conversation in the service's form.
#[derive(Debug, Default)]
pub(super) struct Conversation<'r> {
    system: Vec<MessagePart<'r>>,
    messages: Vec<Message<'r>>,
}

#[derive(Debug)]
struct Message<'r> {
    role: MessageRole,
    parts: Vec<MessagePart<'r>>,
}

/// The two roles that the service knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MessageRole {
    User,
    Assistant,
}

/// One part that is sent.
#[derive(Debug)]
struct MessagePart<'r> {
    content: &'r Content,
    cache: Option<CachePoint>,
}

impl<'r> Conversation<'r> {
    /// Converts the turns of `request`, and drops what a model with `rules` does not accept.
    ///
    /// # Errors
    /// For instructions that are not text.
    pub(super) fn of(
        request: &'r ChatRequest,
        rules: &ModelRules,
        warnings: &mut Warnings,
    ) -> Result<Self, Unsupported> {
        let mut found = Self::default();
        for turn in &request.turns {
            if turn.name.is_some() {
                warnings.dropped("name", "bedrock-converse has no names of speakers");
            }
            match turn.role {
                Role::System | Role::Developer => {
                    if !found.messages.is_empty() {
                        warnings.changed(
                            "a system turn",
                            "moved to the front, the only place that bedrock-converse has for it",
                        );
                    }
                    for part in &turn.parts {
                        instruct(&mut found.system, part, warnings)?;
                    }
                }
                Role::User | Role::Tool => {
                    found.push(MessageRole::User, &turn.parts, rules, warnings);
                }
                Role::Assistant => found.push(MessageRole::Assistant, &turn.parts, rules, warnings),
            }
        }
        found.settle(warnings);
        Ok(found)
    }

    fn push(
        &mut self,
        role: MessageRole,
        parts: &'r [Part],
        rules: &ModelRules,
        warnings: &mut Warnings,
    ) {
        if self.messages.last().is_none_or(|last| last.role != role) {
            self.messages.push(Message { role, parts: Vec::with_capacity(parts.len()) });
        }
        let Some(message) = self.messages.last_mut() else { return };
        for part in parts {
            if is_supported(&part.content, role, rules, warnings) {
                message.parts.push(MessagePart { content: &part.content, cache: cache_of(part) });
            } else if let Some(last) = message.parts.last_mut() {
                // If the part is not sent, its cache point moves to the part before it.
                last.cache = cache_of(part).or(last.cache);
            }
        }
        if message.parts.is_empty() {
            self.messages.pop();
        }
    }

    fn settle(&mut self, warnings: &mut Warnings) {
        let before = self.messages.len();
        // The newest models take a message with reasoning only for the start of their own answer.
        self.messages.retain(|message| !message.parts.iter().all(MessagePart::is_reasoning));
        if self.messages.len() < before {
            warnings.dropped("an assistant's turn of thoughts alone", "models refuse it");
        }
        let mut joined: Vec<Message<'r>> = Vec::with_capacity(self.messages.len());
        for message in self.messages.drain(..) {
            match joined.last_mut() {
                Some(last) if last.role == message.role => last.parts.extend(message.parts),
                _ => joined.push(message),
            }
        }
        for message in &mut joined {
            // Models expect the tool results first.
            message.parts.sort_by_key(|part| !matches!(part.content, Content::ToolResult(_)));
        }
        self.messages = joined;
    }

    /// True if the conversation has tool calls or results.
    pub(super) fn has_tool_blocks(&self) -> bool {
        let is_tool = |part: &MessagePart<'_>| {
            matches!(part.content, Content::ToolCall(_) | Content::ToolResult(_))
        };
        self.messages.iter().any(|message| message.parts.iter().any(is_tool))
    }

    /// The names of the tools that were called or have results, each once.
    pub(super) fn tool_names(&self) -> Vec<&'r str> {
        let mut names = Vec::new();
        for part in self.messages.iter().flat_map(|message| &message.parts) {
            let name = match part.content {
                Content::ToolCall(call) => Some(call.name.as_str()),
                Content::ToolResult(result) => result.name.as_deref(),
                _ => None,
            };
            names.extend(name.filter(|name| !name.is_empty() && !names.contains(name)));
        }
        names
    }

    /// True if the latest results belong to calls without reasoning that can be sent back: Claude
    /// rejects that while it thinks.
    pub(super) fn calls_without_reasoning(&self) -> bool {
        let [.., called, gave] = self.messages.as_slice() else { return false };
        let has_result = gave.parts.iter().any(|it| matches!(it.content, Content::ToolResult(_)));
        has_result && !called.parts.first().is_some_and(MessagePart::is_reasoning)
    }

    /// Writes `system` and `messages`.
    ///
    /// # Errors
    /// For media that the service does not accept.
    pub(super) fn write(
        &self,
        root: &mut ObjectWriter<'_>,
        rules: &ModelRules,
        warnings: &mut Warnings,
    ) -> Result<(), Unsupported> {
        let mut blocks = Blocks::new(rules, warnings);
        if !self.system.is_empty() {
            root.array("system", |array| {
                self.system
                    .iter()
                    .try_for_each(|part| blocks.write(array, part.content, part.cache))
            })?;
        }
        root.array("messages", |messages| {
            self.messages.iter().try_for_each(|message| {
                messages.object(|object| {
                    let role = match message.role {
                        MessageRole::User => "user",
                        MessageRole::Assistant => "assistant",
                    };
                    object.text("role", role);
                    blocks.begin_message();
                    object.array("content", |array| {
                        for part in &message.parts {
                            blocks.write(array, part.content, part.cache)?;
                        }
                        blocks.end_message(array);
                        Ok(())
                    })
                })
            })
        })
    }
}

impl MessagePart<'_> {
    fn is_reasoning(&self) -> bool {
        matches!(self.content, Content::Reasoning(_))
    }
}

/// Adds instructions, which are text only.
fn instruct<'r>(
    system: &mut Vec<MessagePart<'r>>,
    part: &'r Part,
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    let is_sent = match &part.content {
        Content::Text(text) => !is_blank(&text.text),
        Content::Raw(foreign) if foreign.dialect == Dialect::BedrockConverse => true,
        Content::Raw(_) => {
            warnings.dropped("a part of a message", "only another dialect has it");
            false
        }
        _ => {
            let why = "bedrock-converse takes instructions as text only";
            return Err(Unsupported::new("an instruction that is no text", why));
        }
    };
    if is_sent {
        system.push(MessagePart { content: &part.content, cache: part.cache });
    } else if let Some(last) = system.last_mut() {
        last.cache = part.cache.or(last.cache);
    }
    Ok(())
}

/// The cache point of a part, or of the content of a tool result, which has none inside.
fn cache_of(part: &Part) -> Option<CachePoint> {
    let inner = match &part.content {
        Content::ToolResult(result) => result.parts.iter().rev().find_map(|part| part.cache),
        _ => None,
    };
    part.cache.or(inner)
}

/// Whether a part is sent. Warns if content is lost.
fn is_supported(
    content: &Content,
    role: MessageRole,
    rules: &ModelRules,
    warnings: &mut Warnings,
) -> bool {
    let of_user = role == MessageRole::User;
    match content {
        Content::Text(Text { text, .. }) | Content::Refusal(text) => !is_blank(text),
        Content::Reasoning(_) if of_user => false,
        Content::Reasoning(reasoning) => is_reasoning_supported(reasoning, rules, warnings),
        Content::Raw(foreign) => {
            if foreign.dialect != Dialect::BedrockConverse {
                warnings.dropped("a part of a message", "only another dialect has it");
            }
            foreign.dialect == Dialect::BedrockConverse
        }
        Content::Image(_) | Content::Audio(_) | Content::Video(_) | Content::File(_) => {
            if !of_user {
                let why = "bedrock-converse takes it from users only";
                warnings.dropped("what the assistant showed", why);
            }
            of_user
        }
        Content::ToolCall(_) => {
            if of_user {
                warnings.dropped("a call of a tool", "the user's turn cannot have one");
            }
            !of_user
        }
        Content::ToolResult(_) => {
            if !of_user {
                warnings.dropped("the result of a tool", "the assistant's turn cannot have one");
            }
            of_user
        }
    }
}

fn is_reasoning_supported(
    reasoning: &Reasoning,
    rules: &ModelRules,
    warnings: &mut Warnings,
) -> bool {
    if let Some(sealed) = &reasoning.sealed {
        if sealed.for_provider(Dialect::BedrockConverse).is_some() {
            return true;
        }
        warnings.dropped("a sealed thought", "another vendor sealed it");
    }
    if own_signature(reasoning.signature.as_ref(), rules).is_some() {
        return true;
    }
    if is_blank(&reasoning.text) {
        return false;
    }
    if rules.thoughts != Some(EarlierReasoning::Unsigned) {
        warnings.dropped("a thought", "this model takes only thoughts that it signed");
        return false;
    }
    if reasoning.signature.is_some() {
        warnings.dropped("the signature of a thought", "another vendor signed it");
    }
    true
}
