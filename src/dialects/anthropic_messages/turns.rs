//! The conversation as a provider accepts it: `system` and `messages`.
//!
//! The vendor's rules: the first message is the user's; tool results come first in the message after
//! their calls; texts are not empty, and the last assistant text does not end in white space;
//! instructions stand before the conversation, and with newer models also inside it, between a user
//! message and an assistant message or the end. Instructions elsewhere stay in place as user text
//! between `<system>` and `</system>`.

use super::write_block::{cache_control, is_own, text_block, write as write_block};
use crate::dialects::codec::{TargetModel, Unsupported};
use crate::dialects::warnings::Warnings;
use crate::llm::{
    ArrayWriter, CachePoint, ChatRequest, Content, Dialect, ObjectWriter, Part, Role, Turn,
};

/// The user message sent if the conversation begins with the assistant.
const OPENING: &str = "(The conversation goes on.)";

/// One message.
struct Message<'r> {
    role: &'static str,
    blocks: Vec<Block<'r>>,
}

/// One block of it.
enum Block<'r> {
    Part(&'r Part),
    Text(String, Option<CachePoint>),
}

/// Writes `system` and `messages`. `instruction` follows the client's own instructions.
pub(super) fn write(
    root: &mut ObjectWriter<'_>,
    request: &ChatRequest,
    target: &TargetModel<'_>,
    instruction: Option<&str>,
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    let leading = request.turns.iter().take_while(|turn| is_system(turn)).count();
    let (system, turns) = request.turns.split_at_checked(leading).unwrap_or_default();
    let takes_system = target.is_original && target.rules.mid_conversation_system;
    let mut messages = messages(turns, takes_system, warnings)?;
    let mut instructions: Vec<&Part> =
        system.iter().flat_map(|turn| sendable_parts(turn, warnings)).collect();
    if messages.is_empty() {
        if instructions.is_empty() {
            return Err(Unsupported::new(
                "a conversation without a word",
                "there is nothing to answer",
            ));
        }
        warnings
            .changed("the system message", "told as the user's, since there is none of the user");
        let parts = std::mem::take(&mut instructions).into_iter().map(Block::Part);
        messages.push(Message { role: "user", blocks: parts.collect() });
    }
    close(&mut messages, warnings);
    write_system(root, &instructions, instruction);
    root.array("messages", |array| {
        messages.iter().try_for_each(|message| write_message(array, message, warnings))
    })
}

fn is_system(turn: &Turn) -> bool {
    matches!(turn.role, Role::System | Role::Developer)
}

/// The texts of a system turn that can be sent.
fn sendable_parts<'r>(turn: &'r Turn, warnings: &mut Warnings) -> Vec<&'r Part> {
    named(turn, warnings);
    let mut kept = Vec::with_capacity(turn.parts.len());
    for part in &turn.parts {
        if !matches!(part.content, Content::Text(_)) {
            warnings
                .dropped("a part of a system message", "anthropic-messages has text only there");
        } else if is_sendable(part, warnings) {
            kept.push(part);
        }
    }
    kept
}

fn named(turn: &Turn, warnings: &mut Warnings) {
    if turn.name.is_some() {
        warnings.dropped("name of a message", "anthropic-messages has none");
    }
}

/// False for an empty text, which the vendor rejects.
fn is_sendable(part: &Part, warnings: &mut Warnings) -> bool {
    let text = match &part.content {
        Content::Text(text) => &text.text,
        Content::Refusal(text) => text,
        _ => return true,
    };
    let is_sendable = !text.trim().is_empty();
    if !is_sendable && (!text.is_empty() || part.cache.is_some()) {
        warnings.dropped("a text of white space", "refused by anthropic-messages");
    }
    is_sendable
}

fn write_system(root: &mut ObjectWriter<'_>, parts: &[&Part], instruction: Option<&str>) {
    match (parts, instruction) {
        ([], None) => {}
        ([], Some(instruction)) => root.text("system", instruction),
        ([Part { content: Content::Text(text), cache: None }], None) => {
            root.text("system", &text.text);
        }
        _ => root.array("system", |array| {
            for part in parts {
                array.object(|block| {
                    text_block(block, part.as_text().unwrap_or_default());
                    cache_control(block, part.cache);
                });
            }
            if let Some(instruction) = instruction {
                array.object(|block| text_block(block, instruction));
            }
        }),
    }
}

/// Converts turns to messages; adjacent turns of one role are merged.
fn messages<'r>(
    turns: &'r [Turn],
    takes_system: bool,
    warnings: &mut Warnings,
) -> Result<Vec<Message<'r>>, Unsupported> {
    let mut messages: Vec<Message<'r>> = Vec::with_capacity(turns.len());
    for (index, turn) in turns.iter().enumerate() {
        if is_system(turn) {
            let next = turns.get(index + 1).map(|turn| turn.role);
            let follows_user = messages.last().is_some_and(|message| message.role == "user");
            let stands_well = follows_user && matches!(next, None | Some(Role::Assistant));
            let parts = sendable_parts(turn, warnings);
            if takes_system && stands_well && !parts.is_empty() {
                let blocks = parts.into_iter().map(Block::Part).collect();
                messages.push(Message { role: "system", blocks });
            } else if !parts.is_empty() {
                warnings.changed(
                    "a system message inside the conversation",
                    "sent as user text at its place, between <system> and </system>",
                );
                add(&mut messages, "user", merged_text(&parts));
            }
            continue;
        }
        named(turn, warnings);
        let role = if turn.role == Role::Assistant { "assistant" } else { "user" };
        for part in &turn.parts {
            if is_supported(part, turn.role, warnings)? {
                add(&mut messages, role, Block::Part(part));
            }
        }
    }
    Ok(messages)
}

fn add<'r>(messages: &mut Vec<Message<'r>>, role: &'static str, block: Block<'r>) {
    match messages.last_mut() {
        Some(last) if last.role == role => last.blocks.push(block),
        _ => messages.push(Message { role, blocks: vec![block] }),
    }
}

/// Instructions as user text.
fn merged_text(parts: &[&Part]) -> Block<'static> {
    let texts: Vec<&str> = parts.iter().filter_map(|part| part.as_text()).collect();
    let text = format!("<system>\n{}\n</system>", texts.join("\n\n"));
    Block::Text(text, parts.last().and_then(|part| part.cache))
}

/// Whether a message of that role can contain the part.
fn is_supported(part: &Part, role: Role, warnings: &mut Warnings) -> Result<bool, Unsupported> {
    let is_assistant = role == Role::Assistant;
    let is_allowed = match &part.content {
        Content::Text(_) | Content::Refusal(_) => return Ok(is_sendable(part, warnings)),
        Content::ToolCall(_) => is_assistant,
        Content::ToolResult(_) => !is_assistant,
        Content::Reasoning(reasoning) if is_assistant => {
            if !is_own(reasoning) {
                let why = "anthropic-messages takes only those that it has signed itself";
                warnings.dropped("a thought", why);
            }
            return Ok(is_own(reasoning));
        }
        Content::Reasoning(_) => false,
        Content::Raw(foreign) => {
            if foreign.dialect != Dialect::AnthropicMessages {
                warnings.dropped("a part of a message", "only another dialect has it");
            }
            return Ok(foreign.dialect == Dialect::AnthropicMessages);
        }
        Content::Image(_) | Content::File(_) | Content::Audio(_) | Content::Video(_) => {
            if is_assistant {
                let why = "anthropic-messages takes it from users only";
                warnings.dropped("what the assistant showed", why);
            }
            return Ok(!is_assistant);
        }
    };
    if !is_allowed {
        warnings.dropped("a part of a message", "it is not that role's to say");
    }
    Ok(is_allowed)
}

/// Applies the vendor's rules for the first and the last message.
fn close(messages: &mut Vec<Message<'_>>, warnings: &mut Warnings) {
    if messages.first().is_some_and(|first| first.role != "user") {
        warnings.changed("messages", "begun by the user, as anthropic-messages wants it");
        let opening = Block::Text(OPENING.to_owned(), None);
        messages.insert(0, Message { role: "user", blocks: vec![opening] });
    }
    let Some(last) = messages.last_mut().filter(|last| last.role == "assistant") else { return };
    if let Some(block) = last.blocks.last_mut()
        && let Block::Part(Part { content: Content::Text(text), cache }) = block
        && text.text.ends_with(char::is_whitespace)
    {
        warnings.changed("the last message", "without the white space at its end");
        *block = Block::Text(text.text.trim_end().to_owned(), *cache);
    }
}

fn write_message(
    messages: &mut ArrayWriter<'_>,
    message: &Message<'_>,
    warnings: &mut Warnings,
) -> Result<(), Unsupported> {
    messages.object(|object| {
        object.text("role", message.role);
        match message.blocks.as_slice() {
            [Block::Part(Part { content: Content::Text(text), cache: None })]
                if text.citations.is_empty() =>
            {
                object.text("content", &text.text);
                return Ok(());
            }
            [Block::Text(text, None)] => {
                object.text("content", text);
                return Ok(());
            }
            _ => {}
        }
        let is_result = |block: &&Block<'_>| {
            matches!(block, Block::Part(Part { content: Content::ToolResult(_), .. }))
        };
        object.array("content", |array| {
            let results = message.blocks.iter().filter(is_result);
            let rest = message.blocks.iter().filter(|block| !is_result(block));
            for block in results.chain(rest) {
                match block {
                    Block::Part(part) => write_block(array, part, warnings)?,
                    Block::Text(text, cache) => array.object(|object| {
                        text_block(object, text);
                        cache_control(object, *cache);
                    }),
                }
            }
            Ok(())
        })
    })
}
