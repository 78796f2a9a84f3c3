//! What a request says of itself, for the strategies of its route.

use std::cell::OnceCell;

use serde_json::Value;

use super::admit::Grant;
use super::asker::Asker;
use super::prepare::asked_model;
use super::receive::{Body, Request};
use crate::base::unix_now;
use crate::llm::{Ability, ModelCard, Outline, PicoUsd, Terms, Usage, cost, estimate_tokens};
use crate::routing::{Facts, Field, Target};

/// Tokens of an answer whose request sets no limit: what a price is worked out for.
const OUTPUT_TOKENS: u64 = 500;

/// The request, looked at only where a strategy asks.
pub(super) struct Told<'r> {
    asker: &'r Asker<'r>,
    grant: &'r Grant,
    request: &'r Request,
    metadata: OnceCell<Option<Value>>,
    has_pictures: OnceCell<bool>,
}

impl<'r> Told<'r> {
    pub(super) fn new(asker: &'r Asker<'r>, grant: &'r Grant, request: &'r Request) -> Self {
        let (metadata, has_pictures) = (OnceCell::new(), OnceCell::new());
        Self { asker, grant, request, metadata, has_pictures }
    }

    fn body(&self) -> Option<(&'r [u8], &'r Outline)> {
        match &self.request.body {
            Body::Json { bytes, outline } => Some((bytes, outline)),
            _ => None,
        }
    }

    fn metadata(&self, key: &str) -> Option<Value> {
        let read = || serde_json::from_str(self.asker.ours("metadata")?).ok();
        let own = self.metadata.get_or_init(read).as_ref();
        own.and_then(|own| own.get(key)).cloned().or_else(|| self.key_metadata(key))
    }

    fn key_metadata(&self, key: &str) -> Option<Value> {
        let value = self.grant.key.as_ref()?.metadata.get(key)?;
        Some(Value::String(value.clone()))
    }

    fn params(&self, names: &[String]) -> Option<Value> {
        let (first, rest) = names.split_first()?;
        if first == "model" && rest.is_empty() {
            return self.request.model().map(Value::from);
        }
        let (bytes, outline) = self.body()?;
        let mut value: Value = serde_json::from_slice(outline.value(bytes, first)?).ok()?;
        for name in rest {
            value = value.get_mut(name)?.take();
        }
        let is_plain = value.is_string() || value.is_number() || value.is_boolean();
        is_plain.then_some(value)
    }

    fn input_tokens(&self) -> u64 {
        estimate_tokens(self.body().map_or(0, |(bytes, _)| bytes.len()))
    }

    fn output_tokens_max(&self) -> Option<u64> {
        self.body().and_then(|(_, outline)| outline.max_tokens)
    }

    /// What is known of the model that `target` would be asked for.
    fn card(&self, target: &Target) -> Option<std::rc::Rc<ModelCard>> {
        let provider = target.provider.as_deref()?;
        let model = asked_model(self.request, Some(target))?;
        let snapshot = &self.asker.snapshot;
        snapshot.cards.find(&snapshot.settings, provider, &model)
    }

    fn has(&self, member: &str) -> bool {
        let value = self.body().and_then(|(bytes, outline)| outline.value(bytes, member));
        value.is_some_and(|value| value != b"null" && value != b"[]")
    }

    /// True if the request seems to carry anything but text. A text that speaks of such members is taken
    /// for one, which only makes a target that reads text alone come later.
    fn has_pictures(&self) -> bool {
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
        *self.has_pictures.get_or_init(look)
    }
}

impl Facts for Told<'_> {
    fn value(&self, field: &Field) -> Option<Value> {
        match field {
            Field::Metadata(key) => self.metadata(key),
            Field::Params(names) => self.params(names),
            Field::UrlPathname => Some(self.asker.head.path().into()),
            Field::Header(name) => {
                let value = self.asker.head.get(name)?;
                std::str::from_utf8(value).ok().map(Value::from)
            }
            Field::Model => self.request.model().map(Value::from),
            Field::KeyName => self.grant.key.as_ref().map(|key| key.name.as_str().into()),
            Field::KeyMetadata(key) => self.key_metadata(key),
            Field::TokensEstimate => Some(self.input_tokens().into()),
        }
    }

    fn is_able(&self, target: &Target) -> bool {
        let Some(card) = self.card(target) else { return true };
        let output = self.output_tokens_max();
        let needed = self.input_tokens().saturating_add(output.unwrap_or(0));
        let has_room = card.context_tokens().is_none_or(|most| needed <= most)
            && card.output_tokens_max().zip(output).is_none_or(|(most, asked)| asked <= most);
        // Few lists of abilities are complete; an empty one says nothing.
        let abilities = card.abilities();
        let may = |ability| abilities.names().next().is_none() || abilities.has(ability);
        has_room
            && !(card.reads_text_only() && self.has_pictures())
            && (!self.has("tools") || may(Ability::Tools))
            && (self.params(&["response_format".to_owned(), "type".to_owned()])
                != Some("json_schema".into())
                || may(Ability::JsonSchema))
    }

    fn price(&self, target: &Target) -> Option<u64> {
        let usage = Usage {
            input_tokens: self.input_tokens(),
            output_tokens: self.output_tokens_max().unwrap_or(OUTPUT_TOKENS),
            ..Usage::default()
        };
        let terms = Terms { at_unix_s: unix_now().as_secs(), ..Terms::default() };
        cost(&usage, &*self.card(target)?, terms).map(PicoUsd::get)
    }
}
