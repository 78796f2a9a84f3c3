//! Fields of a request that conditions and sticky sessions read.
//!
//! A field is written as text, such as `metadata.plan`. The first part is Portkey's (`metadata`,
//! `params`, `url`, and `headers` of its sticky sessions) or Ringgate's. The gateway finds the
//! values, through [`Attributes`].

use super::path_set::{Bits, PathSet, PathStep, STEPS_MAX};
use super::target::Target;
use crate::base::{FieldNameError, field_name};

/// The syntax of [`Field::parse`], for messages.
pub const FIELD_RULE: &str = "`metadata.KEY`, `params.KEY`, `url.pathname`, `headers.NAME`, \
                              `model`, `key.name`, `key.metadata.KEY` or `tokens.estimate`";

/// One attribute of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// `metadata.KEY`: a member of the request's metadata. Dots are part of the key.
    Metadata(String),
    /// `params.KEY`: a member of the request body. The names from the outermost member inwards,
    /// never empty and at most 16; Portkey supports only one.
    Params(Vec<String>),
    /// `url.pathname`: the path of the client's request, without the query.
    UrlPathname,
    /// `headers.NAME`: a request header; the name is in lower case.
    Header(String),
    /// `model`: the requested model.
    Model,
    /// `key.name`: the name of the virtual key.
    KeyName,
    /// `key.metadata.KEY`: a member of the virtual key's metadata. Dots are part of the key.
    KeyMetadata(String),
    /// `tokens.estimate`: the estimated input tokens, a number.
    TokensEstimate,
}

impl Field {
    /// The field that `text` names; `None` if it does not follow `FIELD_RULE`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let field = match text {
            "url.pathname" => Self::UrlPathname,
            "model" => Self::Model,
            "key.name" => Self::KeyName,
            "tokens.estimate" => Self::TokensEstimate,
            _ => {
                let (group, rest) = text.split_once('.').filter(|(_, rest)| !rest.is_empty())?;
                match group {
                    "metadata" => Self::Metadata(rest.to_owned()),
                    "params" => Self::Params(names(rest)?),
                    "headers" => Self::Header(header(rest)?),
                    "key" => {
                        let key = rest.strip_prefix("metadata.").filter(|key| !key.is_empty())?;
                        Self::KeyMetadata(key.to_owned())
                    }
                    _ => return None,
                }
            }
        };
        Some(field)
    }
}

/// Body members that a route reads, found together in one pass.
#[derive(Debug, Default)]
pub struct BodyFields {
    names: Vec<Vec<String>>,
    paths: PathSet,
}

impl BodyFields {
    /// The body fields among `fields`, the first 128.
    #[must_use]
    pub fn of<'f>(fields: impl IntoIterator<Item = &'f Field>) -> Self {
        let mut names: Vec<Vec<String>> = Vec::new();
        for field in fields {
            if let Field::Params(its) = field
                && !names.contains(its)
            {
                names.push(its.clone());
            }
        }
        let step = |name: &String| PathStep::Member(name.clone());
        let steps: Vec<Vec<PathStep>> =
            names.iter().map(|names| names.iter().map(step).collect()).collect();
        Self { names, paths: PathSet::new(steps.iter().map(Vec::as_slice)) }
    }

    /// The index of a field in [`BodyFields::values`].
    #[must_use]
    pub fn place(&self, names: &[String]) -> Option<usize> {
        self.names.iter().position(|its| its == names)
    }

    /// The JSON text of each field in the body. `member` returns the text of a member of the body.
    pub fn values<'b>(&self, member: impl Fn(&str) -> Option<&'b [u8]>) -> Vec<Option<&'b [u8]>> {
        let mut found = vec![None; self.names.len()];
        for (name, paths) in self.paths.members(Bits::MAX) {
            if let Some(json) = member(name) {
                self.paths.values(json, paths, &mut found);
            }
        }
        found
    }
}

/// The attributes of a request; the gateway reads them from the request, tests provide their own.
pub trait Attributes {
    /// The value of a field: text, number or bool. `None` if the request lacks it or it has another
    /// type.
    fn value(&self, field: &Field) -> Option<serde_json::Value>;

    /// True unless the target's model is known to be unsuitable: its context is too small for the
    /// request, or it lacks a feature that the request needs.
    fn is_able(&self, target: &Target) -> bool;

    /// The target's price for this request, in pico-dollars; `None` if unknown.
    fn price(&self, target: &Target) -> Option<u64>;
}

fn names(text: &str) -> Option<Vec<String>> {
    let names: Option<Vec<String>> =
        text.split('.').map(|name| (!name.is_empty()).then(|| name.to_owned())).collect();
    names.filter(|names| names.len() <= STEPS_MAX)
}

/// Reading a header that is reserved for the gateway is harmless; only the name must be valid.
fn header(text: &str) -> Option<String> {
    let is_name = !matches!(field_name(text), Err(FieldNameError::NotAToken));
    is_name.then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_parsed() {
        let params = |names: &[&str]| {
            Some(Field::Params(names.iter().map(|name| (*name).to_owned()).collect()))
        };
        for (text, expected) in [
            ("metadata.plan", Some(Field::Metadata("plan".to_owned()))),
            ("metadata._user", Some(Field::Metadata("_user".to_owned()))),
            ("metadata.a.b", Some(Field::Metadata("a.b".to_owned()))),
            ("params.model", params(&["model"])),
            ("params.response_format.type", params(&["response_format", "type"])),
            ("url.pathname", Some(Field::UrlPathname)),
            ("headers.X-Team", Some(Field::Header("x-team".to_owned()))),
            ("headers.Content-Type", Some(Field::Header("content-type".to_owned()))),
            ("model", Some(Field::Model)),
            ("key.name", Some(Field::KeyName)),
            ("key.metadata.team", Some(Field::KeyMetadata("team".to_owned()))),
            ("tokens.estimate", Some(Field::TokensEstimate)),
            ("", None),
            (".", None),
            ("metadata", None),
            ("metadata.", None),
            ("Metadata.plan", None),
            ("params.", None),
            ("params.a..b", None),
            ("params.a.", None),
            ("url", None),
            ("url.host", None),
            ("headers.", None),
            ("headers.a b", None),
            ("models", None),
            ("model.x", None),
            ("key", None),
            ("key.secret", None),
            ("key.metadata", None),
            ("key.metadata.", None),
            ("tokens", None),
            ("$and", None),
        ] {
            assert_eq!(Field::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn rule_text_matches_parser() {
        let forms: Vec<&str> = FIELD_RULE.split('`').skip(1).step_by(2).collect();
        assert_eq!(forms.len(), 8);
        for form in forms {
            assert!(Field::parse(form).is_some(), "{form}");
        }
    }
}
