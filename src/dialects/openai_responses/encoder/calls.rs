//! Calls in a client's stream: of functions, of custom tools, whose input is streamed, and of the
//! client's tool search, which is sent complete.

use super::{Encoder, write_text_of};
use crate::dialects::openai_responses::output;
use crate::dialects::openai_tools::{CallKind, input_of};
use crate::llm::{Content, Reasoning, ToolCall};

impl Encoder {
    /// Appends a fragment of a call's arguments.
    pub(super) fn grow_call(&mut self, index: usize, place: usize, piece: &str, out: &mut Vec<u8>) {
        let item = self.items.get_mut(index);
        let Some(part) = item.and_then(|it| it.parts.get_mut(place)) else { return };
        let Content::ToolCall(call) = &mut part.content else { return };
        call.arguments.push_str(piece);
        match self.forms.kind(&call.name) {
            CallKind::Function => {
                self.delta("function_call_arguments.delta", index, place, piece, out);
            }
            CallKind::Custom => {
                let text = part.input.push(piece);
                self.keep(piece.len());
                self.delta("custom_tool_call_input.delta", index, place, &text, out);
            }
            CallKind::ToolSearch => self.keep(piece.len()),
        }
    }

    /// Ends a call's arguments.
    pub(super) fn close_call(&mut self, index: usize, place: usize, out: &mut Vec<u8>) {
        let item = self.items.get_mut(index);
        let Some(part) = item.and_then(|it| it.parts.get_mut(place)) else { return };
        let Content::ToolCall(call) = &mut part.content else { return };
        match self.forms.kind(&call.name) {
            CallKind::Function => {
                if call.arguments.is_empty() {
                    let empty = output::all_arguments(call).to_owned();
                    call.arguments.clone_from(&empty);
                    self.delta("function_call_arguments.delta", index, place, &empty, out);
                }
                let kind = "function_call_arguments.done";
                self.part_event(kind, index, place, out, write_text_of);
            }
            CallKind::Custom => {
                let whole = input_of(&call.arguments);
                let rest = part.input.finish(&call.arguments);
                self.delta("custom_tool_call_input.delta", index, place, &rest, out);
                let kind = "custom_tool_call_input.done";
                self.part_event(kind, index, place, out, |root, _| root.text("input", &whole));
            }
            CallKind::ToolSearch => {}
        }
    }

    /// Writes the signature of a call, in an item after it.
    pub(super) fn prove_call(&mut self, call: &ToolCall, out: &mut Vec<u8>) {
        let Some(signature) = &call.signature else { return };
        let index = self.open_item("rs", &Content::Reasoning(Reasoning::default()), out);
        self.open_message = None;
        if let Some(item) = self.items.get_mut(index) {
            output::write_proof_of_call(&mut item.written, &item.id, &call.id, signature);
        }
        self.emit_done(index, out);
    }
}
