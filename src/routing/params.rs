//! Body members that a route sets: `override_params` or `default_params`, with those of the groups
//! around it. Targets share what they inherit, so each value is stored once.

use std::sync::Arc;

use serde_json::{Map, Value};

/// The members set by one target or group, and those it inherits.
#[derive(Debug)]
pub struct Params {
    around: Option<Arc<Params>>,
    /// Names and JSON text.
    own: Vec<(String, Vec<u8>)>,
}

impl Params {
    /// `around` extended by `own`, which takes precedence.
    pub(super) fn within(
        around: Option<&Arc<Self>>,
        own: &Map<String, Value>,
    ) -> Option<Arc<Self>> {
        if own.is_empty() {
            return around.map(Arc::clone);
        }
        let raw = |(name, value): (&String, &Value)| (name.clone(), value.to_string().into_bytes());
        Some(Arc::new(Self { around: around.map(Arc::clone), own: own.iter().map(raw).collect() }))
    }

    /// Members as names and JSON text, for tests.
    #[cfg(test)]
    pub(crate) fn from_pairs(pairs: &[(&str, &str)]) -> Self {
        let own = pairs.iter().map(|(name, json)| ((*name).to_owned(), json.as_bytes().to_vec()));
        Self { around: None, own: own.collect() }
    }

    #[cfg(test)]
    pub(super) fn around(&self) -> Option<&Arc<Self>> {
        self.around.as_ref()
    }

    /// The members in the order of the edits: the outermost first. Of several with one name the
    /// last one applies.
    pub fn members(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut layers: Vec<&Self> =
            std::iter::successors(Some(self), |it| it.around.as_deref()).collect();
        layers.reverse();
        let own = layers.into_iter().flat_map(|layer| &layer.own);
        own.map(|(name, json)| (name.as_str(), json.as_slice()))
    }

    /// The JSON text set for `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let mut layers = std::iter::successors(Some(self), |it| it.around.as_deref());
        layers.find_map(|it| it.own.iter().find(|it| it.0 == name)).map(|it| it.1.as_slice())
    }
}
