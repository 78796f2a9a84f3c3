//! A form (`multipart/form-data`) on its way: the model that it names, and the edits of a target, made
//! while it passes.
//!
//! The part `model` is found before anything is sent. Where it stands before the file, nothing of the
//! file is kept; where it stands behind it, the file is, up to `server.body_bytes_max`. Besides its edits
//! the form goes out as the client sent it, to the byte.

use super::endpoint::percent_decoded;
use super::error::GatewayError;
use super::text::bounded;
use crate::http::{FormEvent, FormReader, PartHead};
use crate::llm::is_model_member;

/// The member that names the model.
pub(crate) const MODEL: &str = "model";

/// The longest name of a model in a form.
const MODEL_BYTES_MAX: usize = 512;

/// A form as far as it has been looked at.
#[derive(Clone)]
pub(crate) struct Form {
    pub boundary: Vec<u8>,
    /// As the client wrote it.
    pub model: Option<String>,
    /// No other part may name a model, since it would not be checked.
    pub is_limited: bool,
}

/// Looks for the model in what comes.
pub(crate) struct FormPeek {
    walk: FormWalk,
    has_file: bool,
    form: Form,
}

impl FormPeek {
    /// Begins; `is_limited` is true for a key with a list of models.
    pub(crate) fn new(boundary: Vec<u8>, is_limited: bool) -> Self {
        let form = Form { boundary, model: None, is_limited };
        Self { walk: FormWalk::new(&form), has_file: false, form }
    }

    /// Takes the next bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), GatewayError> {
        let has_file = &mut self.has_file;
        self.walk.push(bytes, &mut |event| {
            *has_file |= matches!(&event, FormEvent::Begin(head) if head.is_file);
        })
    }

    /// The body has ended.
    pub(crate) fn finish(&mut self) -> Result<(), GatewayError> {
        self.walk.finish(&mut |_| {})
    }

    /// True once the model is known.
    pub(crate) fn has_model(&self) -> bool {
        self.walk.model.is_whole
    }

    /// True once a file has begun.
    pub(crate) fn has_file(&self) -> bool {
        self.has_file
    }

    /// What was found.
    pub(crate) fn form(self) -> Form {
        let model = self.walk.model;
        let text = model.is_whole.then(|| String::from_utf8(model.text).ok()).flatten();
        Form { model: text, ..self.form }
    }
}

/// Reads a form and checks its part `model`.
pub(crate) struct FormWalk {
    reader: FormReader,
    model: ModelPart,
    pub is_limited: bool,
}

#[derive(Default)]
struct ModelPart {
    text: Vec<u8>,
    is_open: bool,
    is_whole: bool,
}

impl FormWalk {
    pub(crate) fn new(form: &Form) -> Self {
        let reader = FormReader::new(&form.boundary);
        Self { reader, model: ModelPart::default(), is_limited: form.is_limited }
    }

    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        sink: &mut dyn FnMut(FormEvent<'_>),
    ) -> Result<(), GatewayError> {
        let (model, is_limited) = (&mut self.model, self.is_limited);
        let mut refusal = Ok(());
        let read = self.reader.push(bytes, &mut |event| {
            if refusal.is_ok() {
                refusal = model.take(&event, is_limited);
                sink(event);
            }
        });
        refusal.and(read.map_err(GatewayError::Form))
    }

    pub(crate) fn finish(
        &mut self,
        sink: &mut dyn FnMut(FormEvent<'_>),
    ) -> Result<(), GatewayError> {
        let (model, is_limited) = (&mut self.model, self.is_limited);
        let mut refusal = Ok(());
        let read = self.reader.finish(&mut |event| {
            if refusal.is_ok() {
                refusal = model.take(&event, is_limited);
                sink(event);
            }
        });
        refusal.and(read.map_err(GatewayError::Form))
    }
}

impl ModelPart {
    fn take(&mut self, event: &FormEvent<'_>, is_limited: bool) -> Result<(), GatewayError> {
        let refused = |text: &'static str| Err(GatewayError::Invalid(text.into()));
        match event {
            FormEvent::Begin(head) => {
                self.is_open = is_model(head)?;
                if self.is_open && (self.is_whole || head.is_file || !head.is_text) {
                    return refused("expected one part `model` in the form, a plain text");
                }
                if is_limited && !self.is_open && may_name_model(&head.name) {
                    return Err(GatewayError::ModelDenied(format!(
                        "(part `{}`)",
                        bounded(&head.name)
                    )));
                }
            }
            FormEvent::Data(piece) if self.is_open => {
                self.text.extend_from_slice(piece);
                if self.text.len() > MODEL_BYTES_MAX {
                    return refused("the part `model` of the form is over 512 bytes");
                }
            }
            FormEvent::End if self.is_open => {
                (self.is_open, self.is_whole) = (false, true);
                let text = std::str::from_utf8(&self.text);
                if !text.is_ok_and(|text| !text.contains(char::is_control)) {
                    return refused("the part `model` of the form is no plain text");
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// True for the part that names the model; one that some readers take for it is refused.
fn is_model(head: &PartHead) -> Result<bool, GatewayError> {
    let is_model = head.name == MODEL && head.is_literal;
    let decoded = percent_decoded(&head.name);
    if !is_model && !head.is_literal && is_model_member(&decoded) {
        let text = "expected the name of a part that names a model to be written without escapes";
        return Err(GatewayError::Invalid(text.into()));
    }
    Ok(is_model)
}

/// True for another part that may name a model, or hold members that do.
fn may_name_model(name: &str) -> bool {
    const HOLDERS: [&str; 3] = ["extra_body", "session", "tools"];
    let bare = name.split('[').next().unwrap_or(name);
    is_model_member(bare) || HOLDERS.contains(&bare)
}
