//! The edits of a target to a form, made while it passes; besides them the form goes out as the client sent
//! it, to the byte.

use std::borrow::Cow;
use std::sync::Arc;

use super::edits::BodyEdit;
use crate::gateway::context::{Form, FormWalk, GatewayError, MODEL};
use crate::http::{FormEvent, Framing, write_chunk};
use crate::routing::{Params, Target};

/// The edits of a target that a form can take, and the model that was chosen.
pub(crate) fn body_edits(
    form: &Form,
    target: Option<&Target>,
    model: Option<&str>,
) -> Vec<BodyEdit> {
    let mut edits = Vec::new();
    let has_field = |params: &&Arc<Params>| params.members().any(|it| is_field(it.0, it.1));
    if let Some(target) = target {
        let defaults = target.default_params.as_ref().filter(has_field);
        edits.extend(defaults.map(|it| BodyEdit::Defaults(Arc::clone(it))));
        let overrides = target.override_params.as_ref().filter(has_field);
        edits.extend(overrides.map(|it| BodyEdit::Overrides(Arc::clone(it))));
    }
    if let Some(model) = model.filter(|model| form.model.as_deref() != Some(*model)) {
        edits.push(BodyEdit::Set { key: MODEL.to_owned(), json: crate::llm::quote(model) });
    }
    edits
}

/// A body that takes some of the edits of a target, or none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LimitedBody {
    /// Edits of single parts are made.
    Form,
    /// It passes unread; the model may stand in the path.
    Streamed { has_model_in_path: bool },
}

/// The edits of a target that such a body does not take, as a warning.
pub(crate) fn lost_edits(body: LimitedBody, target: Option<&Target>) -> Option<String> {
    let target = target?;
    let is_lost = |(key, json): &(&str, &[u8])| match body {
        LimitedBody::Form => *key != MODEL && !is_editable(key, json),
        LimitedBody::Streamed { has_model_in_path } => *key != MODEL || !has_model_in_path,
    };
    let params = target.override_params.iter().chain(&target.default_params);
    let params = params.flat_map(|it| it.members()).filter(is_lost);
    let mut names: Vec<String> = params.map(|(key, _)| key.to_owned()).collect();
    names.extend(target.drop_params.members().map(|drop| drop.name.to_owned()));
    names.dedup();
    let what = match body {
        LimitedBody::Form => "a form",
        LimitedBody::Streamed { .. } => "a body that is streamed",
    };
    (!names.is_empty()).then(|| format!("not edited in {what}: {}", names.join(", ")))
}

/// True for an edit that is made where it stands; the model's is made as it was chosen.
fn is_field(name: &str, json: &[u8]) -> bool {
    name != MODEL && is_editable(name, json)
}

/// True for an edit that one part can hold.
fn is_editable(name: &str, json: &[u8]) -> bool {
    let is_name = name.bytes().all(|byte| matches!(byte, b' '..=b'~') && !b"\"\\%".contains(&byte));
    is_name && text_of(json).is_some()
}

/// A value as a form has it; none for what no single part can hold.
fn text_of(json: &[u8]) -> Option<Cow<'_, str>> {
    match json.first()? {
        b'"' => serde_json::from_slice::<String>(json).ok().map(Cow::Owned),
        b't' | b'f' | b'-' | b'0'..=b'9' => std::str::from_utf8(json).ok().map(Cow::Borrowed),
        _ => None,
    }
}

/// Makes the edits while the form passes.
struct FormEditor {
    walk: FormWalk,
    boundary: Vec<u8>,
    edits: Vec<FormEdit>,
    /// The part at hand is replaced.
    is_replaced: bool,
}

struct FormEdit {
    name: String,
    text: String,
    is_default: bool,
    is_done: bool,
}

impl FormEditor {
    fn new(form: &Form, body_edits: &[BodyEdit]) -> Self {
        let mut edits: Vec<FormEdit> = Vec::new();
        let mut add = |name: &str, json: &[u8], is_default| {
            let Some(text) = text_of(json) else { return };
            // Of several edits of one part the last wins.
            edits.retain(|edit| edit.name != name);
            let (name, text) = (name.to_owned(), text.into_owned());
            edits.push(FormEdit { name, text, is_default, is_done: false });
        };
        for edit in body_edits {
            let (params, is_default) = match edit {
                BodyEdit::Set { key, json } => {
                    add(key, json, false);
                    continue;
                }
                BodyEdit::Remove { .. } => continue,
                BodyEdit::Defaults(params) => (params, true),
                BodyEdit::Overrides(params) => (params, false),
            };
            let fields = params.members().filter(|it| is_field(it.0, it.1));
            fields.for_each(|(name, json)| add(name, json, is_default));
        }
        let boundary = form.boundary.clone();
        Self { walk: FormWalk::new(form), boundary, edits, is_replaced: false }
    }

    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), GatewayError> {
        let Self { walk, boundary, edits, is_replaced } = self;
        walk.push(bytes, &mut |event| edit(event, (edits, is_replaced), boundary, out))
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), GatewayError> {
        let Self { walk, boundary, edits, is_replaced } = self;
        walk.finish(&mut |event| edit(event, (edits, is_replaced), boundary, out))
    }
}

fn edit(
    event: FormEvent<'_>,
    (edits, is_replaced): (&mut [FormEdit], &mut bool),
    boundary: &[u8],
    out: &mut Vec<u8>,
) {
    match event {
        FormEvent::Framing(bytes) => out.extend_from_slice(bytes),
        FormEvent::Begin(head) => {
            let found = edits.iter_mut().find(|edit| edit.name == head.name && !head.is_file);
            if let Some(edit) = found {
                edit.is_done = true;
                *is_replaced = !edit.is_default;
                if *is_replaced {
                    out.extend_from_slice(edit.text.as_bytes());
                }
            }
        }
        FormEvent::Data(bytes) if !*is_replaced => out.extend_from_slice(bytes),
        FormEvent::Data(_) => {}
        FormEvent::End => *is_replaced = false,
        FormEvent::Last => {
            for edit in edits.iter().filter(|edit| !edit.is_done) {
                let field = b"\r\ncontent-disposition: form-data; name=\"";
                let pieces: [&[u8]; 6] = [
                    b"\r\n--",
                    boundary,
                    field,
                    edit.name.as_bytes(),
                    b"\"\r\n\r\n",
                    edit.text.as_bytes(),
                ];
                out.extend(pieces.concat());
            }
        }
    }
}

/// A form that is kept whole, with its edits made.
pub(crate) fn edited<'b>(form: &Form, bytes: &'b [u8], edits: &[BodyEdit]) -> Cow<'b, [u8]> {
    if edits.is_empty() {
        return Cow::Borrowed(bytes);
    }
    let mut editor = FormEditor::new(form, edits);
    let mut out = Vec::with_capacity(bytes.len() + 256);
    let read = editor.push(bytes, &mut out).and_then(|()| editor.finish(&mut out));
    debug_assert!(read.is_ok(), "it has been read before");
    Cow::Owned(out)
}

/// How a body that is streamed goes out: with its length where that is known after the edits.
pub(crate) fn framing_after(framing: Framing, form: Option<&Form>, edits: &[BodyEdit]) -> Framing {
    match (framing, form, edits) {
        (_, None, _) | (_, _, []) => framing,
        (
            Framing::Length(length),
            Some(Form { model: Some(before), .. }),
            [BodyEdit::Set { key, json }],
        ) if key == MODEL => {
            let after = text_of(json).map_or(0, |text| text.len() as u64);
            let length = length.saturating_sub(before.len() as u64).saturating_add(after);
            Framing::Length(length)
        }
        _ => Framing::Chunked,
    }
}

/// A body that is streamed, as it goes out.
pub(crate) struct OutgoingBody {
    editor: Option<FormEditor>,
    edited: Vec<u8>,
    is_chunked: bool,
}

impl OutgoingBody {
    pub(crate) fn new(framing: Framing, form: Option<&Form>, edits: &[BodyEdit]) -> Self {
        let editor = form.map(|form| FormEditor::new(form, edits));
        let is_chunked = framing_after(framing, form, edits) == Framing::Chunked;
        Self { editor, edited: Vec::new(), is_chunked }
    }

    /// Appends what `bytes` become to `out`.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), GatewayError> {
        let Some(editor) = &mut self.editor else {
            self.append(bytes, out);
            return Ok(());
        };
        let mut edited = std::mem::take(&mut self.edited);
        edited.clear();
        let read = editor.push(bytes, &mut edited);
        self.append(&edited, out);
        self.edited = edited;
        read
    }

    /// Appends what is left at the end of the body.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), GatewayError> {
        let mut edited = Vec::new();
        let read = self.editor.as_mut().map_or(Ok(()), |editor| editor.finish(&mut edited));
        self.append(&edited, out);
        if self.is_chunked && read.is_ok() {
            out.extend_from_slice(crate::http::LAST_CHUNK);
        }
        read
    }

    fn append(&self, bytes: &[u8], out: &mut Vec<u8>) {
        match self.is_chunked {
            _ if bytes.is_empty() => {}
            true => write_chunk(out, bytes),
            false => out.extend_from_slice(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(model: Option<&str>) -> Form {
        Form { boundary: b"X".to_vec(), model: model.map(str::to_owned), is_limited: false }
    }

    fn part(name: &str, text: &str) -> String {
        format!("--X\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
    }

    fn set(key: &str, json: &str) -> BodyEdit {
        BodyEdit::Set { key: key.to_owned(), json: json.as_bytes().to_vec() }
    }

    #[test]
    fn form_parts_are_edited() {
        let default = |key: &str, json: &str| {
            BodyEdit::Defaults(Arc::new(Params::from_pairs(&[(key, json)])))
        };
        for (before, edits, expected) in [
            (
                [part("model", "a"), part("x", "1")],
                vec![],
                [part("model", "a"), part("x", "1")].concat(),
            ),
            (
                [part("model", "a/b"), part("x", "1")],
                vec![set("model", "\"b\"")],
                [part("model", "b"), part("x", "1")].concat(),
            ),
            (
                [part("x", "1"), part("y", "")],
                vec![set("x", "0.5"), set("y", "true"), set("z", "\"q\"")],
                [part("x", "0.5"), part("y", "true"), part("z", "q")].concat(),
            ),
            (
                [part("x", "1"), part("y", "2")],
                vec![default("x", "3"), default("z", "4"), set("y", "5"), set("y", "6")],
                [part("x", "1"), part("y", "6"), part("z", "4")].concat(),
            ),
        ] {
            let before = format!("{}--X--\r\n", before.concat());
            let out = edited(&form(None), before.as_bytes(), &edits);
            let out = String::from_utf8(out.into_owned()).expect("text");
            assert_eq!(out, format!("{expected}--X--\r\n"), "{edits:?}");
        }
    }

    #[test]
    fn edited_length_is_known_if_form_is_buffered() {
        let rename = [set("model", "\"whisper\"")];
        let (seen, unseen) = (form(Some("a/b")), form(None));
        for (framing, form, edits, expected) in [
            (Framing::Length(9), None, &rename[..], Framing::Length(9)),
            (Framing::Length(9), Some(&seen), &[], Framing::Length(9)),
            (Framing::Length(9), Some(&seen), &rename, Framing::Length(13)),
            (Framing::Length(9), Some(&unseen), &rename, Framing::Chunked),
            (Framing::Chunked, Some(&seen), &rename, Framing::Chunked),
            (Framing::Length(9), Some(&seen), &[set("x", "1")], Framing::Chunked),
        ] {
            assert_eq!(framing_after(framing, form, edits), expected);
        }
    }
}
