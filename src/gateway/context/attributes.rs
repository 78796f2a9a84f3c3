//! The attributes of a request, for the strategies of its route.

use std::cell::OnceCell;

use serde_json::Value;

use super::grant::Grant;
use super::request::{Body, Request, requested_model_text};
use super::request_context::RequestContext;
use crate::base::unix_now;
use crate::llm::{
    Ability, ModelCard, Outline, PicoUsd, PricingTerms, Usage, cost, estimate_tokens,
};
use crate::routing::{Attributes, BodyFields, Field, Target};

/// Tokens of an answer whose request sets no limit: what a price is worked out for.
const OUTPUT_TOKENS: u64 = 500;

/// Longest value that a strategy sees, in bytes; a longer one counts as absent. Conditions and sessions look
/// at names and choices, not at texts, and may look hundreds of times.
const VALUE_BYTES_MAX: usize = 16 * 1024;

/// Longest name of a model that is looked for in the catalogue, in bytes.
const MODEL_BYTES_MAX: usize = 512;

/// The attributes of one request, each read when a strategy first wants it.
pub(crate) struct RequestAttributes<'r> {
    context: &'r RequestContext<'r>,
    grant: &'r Grant,
    request: &'r Request,
    metadata: OnceCell<Option<Value>>,
    /// What the route looks at in the body, in the order of its [`BodyFields`].
    body_values: OnceCell<Vec<Option<Value>>>,
    wants_json_schema: OnceCell<bool>,
    has_images: OnceCell<bool>,
}

impl<'r> RequestAttributes<'r> {
    pub(crate) fn new(
        context: &'r RequestContext<'r>,
        grant: &'r Grant,
        request: &'r Request,
    ) -> Self {
        Self {
            context,
            grant,
            request,
            metadata: OnceCell::new(),
            body_values: OnceCell::new(),
            wants_json_schema: OnceCell::new(),
            has_images: OnceCell::new(),
        }
    }

    fn body(&self) -> Option<(&'r [u8], &'r Outline)> {
        match &self.request.body {
            Body::Json { bytes, outline } => Some((bytes, outline)),
            _ => None,
        }
    }

    fn metadata(&self, key: &str) -> Option<Value> {
        let read = || serde_json::from_str(self.context.gateway_header("metadata")?).ok();
        // The key's wins: a client does not choose who pays.
        let of_request = || {
            let own = self.metadata.get_or_init(read).as_ref()?.get(key);
            own.filter(|value| is_short(value)).cloned()
        };
        self.key_metadata(key).or_else(of_request)
    }

    fn key_metadata(&self, key: &str) -> Option<Value> {
        let value = self.grant.key.as_ref()?.metadata.as_ref()?.get(key)?;
        Some(Value::String(value.clone()))
    }

    fn params(&self, names: &[String]) -> Option<Value> {
        if matches!(names, [only] if only == "model") {
            return self.model();
        }
        if let Some(route) = self.grant.route()
            && let Some(place) = route.body_fields.place(names)
        {
            let values = self.body_values.get_or_init(|| self.read(&route.body_fields));
            return values.get(place)?.clone();
        }
        let field = Field::Params(names.to_vec());
        self.read(&BodyFields::of([&field])).pop()?
    }

    /// The plain values of fields of the body, found in one pass over it.
    fn read(&self, fields: &BodyFields) -> Vec<Option<Value>> {
        let Some((bytes, outline)) = self.body() else { return Vec::new() };
        let plain = |json: &[u8]| {
            let value: Value = serde_json::from_slice(json).ok()?;
            let is_plain = value.is_string() || value.is_number() || value.is_boolean();
            is_plain.then_some(value)
        };
        let found = fields.values(|member| outline.value(bytes, member)).into_iter();
        found.map(|json| plain(json.filter(|json| json.len() <= VALUE_BYTES_MAX)?)).collect()
    }

    fn model(&self) -> Option<Value> {
        let model = self.request.model().filter(|model| model.len() <= VALUE_BYTES_MAX);
        model.map(Value::from)
    }

    fn wants_json_schema(&self) -> bool {
        let wants = || {
            let kind = self.params(&["response_format".to_owned(), "type".to_owned()]);
            kind == Some("json_schema".into())
        };
        *self.wants_json_schema.get_or_init(wants)
    }

    fn input_tokens(&self) -> u64 {
        estimate_tokens(self.body().map_or(0, |(bytes, _)| bytes.len()))
    }

    fn output_tokens_max(&self) -> Option<u64> {
        self.body().and_then(|(_, outline)| outline.max_tokens)
    }

    /// What is known of the model that `target` would be called with.
    fn card(&self, target: &Target) -> Option<std::rc::Rc<ModelCard>> {
        let provider = target.provider.as_deref()?;
        let model = requested_model_text(self.request, Some(target))?;
        let snapshot = &self.context.snapshot;
        if model.len() > MODEL_BYTES_MAX {
            return None;
        }
        snapshot.model_info.find(&snapshot.settings.providers, provider, model)
    }

    fn has(&self, member: &str) -> bool {
        let value = self.body().and_then(|(bytes, outline)| outline.value(bytes, member));
        value.is_some_and(|value| value != b"null" && value != b"[]")
    }

    /// True if the request seems to carry anything but text. A text that contains such members is taken
    /// for one, which only makes a target that reads text alone come later.
    fn has_images(&self) -> bool {
        const SIGNS: [&[u8]; 5] = [
            b"\"image_url\"",
            b"\"input_image\"",
            b"\"image\"",
            b"\"inlineData\"",
            b"\"input_audio\"",
        ];
        let look = || {
            let bytes = self.body().map_or(&[][..], |(bytes, _)| bytes);
            SIGNS.iter().any(|sign| memchr::memmem::find(bytes, sign).is_some())
        };
        *self.has_images.get_or_init(look)
    }
}

fn is_short(value: &Value) -> bool {
    value.as_str().is_none_or(|text| text.len() <= VALUE_BYTES_MAX)
}

impl Attributes for RequestAttributes<'_> {
    fn value(&self, field: &Field) -> Option<Value> {
        match field {
            Field::Metadata(key) => self.metadata(key),
            Field::Params(names) => self.params(names),
            Field::UrlPathname => Some(self.context.head.path().into()),
            Field::Header(name) => {
                let value = self.context.head.get(name)?;
                let value = Some(value).filter(|value| value.len() <= VALUE_BYTES_MAX)?;
                std::str::from_utf8(value).ok().map(Value::from)
            }
            Field::Model => self.model(),
            Field::KeyName => self.grant.key.as_ref().map(|key| (&*key.name).into()),
            Field::KeyMetadata(key) => self.key_metadata(key),
            Field::TokensEstimate => Some(self.input_tokens().into()),
        }
    }

    fn is_able(&self, target: &Target) -> bool {
        let Some(card) = self.card(target) else { return true };
        let output = self.output_tokens_max();
        let needed = self.input_tokens().saturating_add(output.unwrap_or(0));
        let has_room = card.context_tokens().is_none_or(|most| needed <= most)
            && card.output_tokens_max().zip(output).is_none_or(|(most, wanted)| wanted <= most);
        // Few lists of abilities are complete; an empty one means unknown.
        let abilities = card.abilities();
        let may = |ability| abilities.names().next().is_none() || abilities.has(ability);
        has_room
            && !(card.reads_text_only() && self.has_images())
            && (!self.has("tools") || may(Ability::Tools))
            && (!self.wants_json_schema() || may(Ability::JsonSchema))
    }

    fn price(&self, target: &Target) -> Option<u64> {
        let usage = Usage {
            input_tokens: self.input_tokens(),
            output_tokens: self.output_tokens_max().unwrap_or(OUTPUT_TOKENS),
            ..Usage::default()
        };
        let terms = PricingTerms { at_unix_s: unix_now().as_secs(), ..PricingTerms::default() };
        cost(&usage, &*self.card(target)?, terms).map(PicoUsd::get)
    }
}
