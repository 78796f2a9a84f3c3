//! Sticky sessions: requests with equal values of some fields go to one target.
//!
//! A weighted rendezvous hash of the fields selects the target (Thaler and Ravishankar 1998;
//! weights after Schindelhauer and Schomaker 2005), so nothing is stored, all shards and gateways
//! agree, and a session moves only when its target is unavailable or the weights change.

use super::field::{Attributes, Field};
use crate::base::{Diagnostics, member_path};

/// Fields that may identify a session.
const FIELDS_MAX: usize = 8;

/// Sticky sessions: related requests go to one target.
#[derive(Clone, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StickySettings {
    /// False disables sticky sessions. Default: true.
    pub enabled: Option<bool>,
    /// Fields that identify a session, `metadata.NAME`, `params.NAME` or `headers.NAME`, such as
    /// `["metadata.user_id"]`. A request that has none of them is not sticky.
    pub hash_fields: Vec<String>,
    /// Accepted for compatibility with Portkey: the lifetime of a session in seconds. It has no
    /// effect: only the fields select the target.
    #[schemars(range(min = 1))]
    pub ttl: Option<u64>,
}

/// The fields that identify a session.
#[derive(Debug)]
pub(super) struct Sticky {
    pub fields: Vec<Field>,
}

impl StickySettings {
    /// The checked settings; `None` if disabled.
    pub(super) fn check(&self, path: &str, diagnostics: &mut Diagnostics) -> Option<Sticky> {
        if self.enabled == Some(false) {
            return None;
        }
        let path = member_path(path, "hash_fields");
        if self.hash_fields.is_empty() || self.hash_fields.len() > FIELDS_MAX {
            let message = format!("expected 1 to {FIELDS_MAX} fields");
            diagnostics.add(&path, message, "as in [\"metadata.user_id\"]");
        }
        let mut fields = Vec::new();
        for (index, text) in self.hash_fields.iter().enumerate().take(FIELDS_MAX) {
            match Field::parse(text) {
                Some(field) => fields.push(field),
                None => {
                    let path = format!("{path}[{index}]");
                    let got = diagnostics.quote(&path, text);
                    let message = format!(
                        "expected `metadata.`, `params.` or `headers.` and a name, got {got}"
                    );
                    diagnostics.add(&path, message, "");
                }
            }
        }
        Some(Sticky { fields })
    }
}

impl Sticky {
    /// The hash of the session; `None` for a request without any of the fields.
    pub(super) fn session(&self, attributes: &dyn Attributes) -> Option<u64> {
        let mut hasher = blake3::Hasher::new();
        let mut has_any = false;
        for field in &self.fields {
            let value = attributes.value(field);
            has_any |= value.is_some();
            let text = value.unwrap_or_default().to_string();
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        }
        let mut bytes = [0; 8];
        hasher.finalize_xof().fill(&mut bytes);
        has_any.then(|| u64::from_le_bytes(bytes))
    }
}

/// A point in [0, 1).
pub(super) fn point(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

/// The finalizer of SplitMix64.
pub(super) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
