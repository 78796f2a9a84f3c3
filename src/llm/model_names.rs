//! The models that JSON names besides the member `model`: alternatives, models of tools, and what
//! vendors nest deeper.
//!
//! Names of members decide, in any case and with or without `_` and `-`, so that a vendor's new member
//! is found without being known here. What a conversation says and what describes a schema is not
//! looked at. A member that stands twice is looked at twice. Nothing is kept; the depth is bounded.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::outline::Outline;

/// Endings of members whose texts are names of models.
const MODEL_ENDINGS: [&str; 9] = [
    "model",
    "models",
    "modelid",
    "modelids",
    "modelname",
    "modelnames",
    "modellist",
    "fallback",
    "fallbacks",
];

/// Members of a body that name a model in another way: Azure's deployments, OpenRouter's presets.
const BODY_MEMBERS: [&str; 5] =
    ["engine", "deployment", "deploymentid", "deploymentname", "preset"];

/// Members that hold a conversation, a schema or the client's own labels.
const SKIPPED: [&str; 22] = [
    "messages",
    "contents",
    "system",
    "systeminstruction",
    "documents",
    "metadata",
    "labels",
    "variables",
    "arguments",
    "properties",
    "schema",
    "jsonschema",
    "inputschema",
    "responseschema",
    "responsejsonschema",
    "responseformat",
    "outputformat",
    "text",
    "format",
    "guidedjson",
    "structuredoutputs",
    "functions",
];

/// The same for the members of a body, where they are the conversation itself.
const SKIPPED_IN_BODY: [&str; 4] = ["input", "prompt", "instructions", "query"];

/// The same inside `tools`.
const SKIPPED_IN_TOOLS: [&str; 5] =
    ["function", "parameters", "functiondeclarations", "toolspec", "examples"];

/// Members of an object that stands where a model is named.
const NAMES_OF_MODELS: [&str; 3] = ["id", "name", "slug"];

/// True if a member of that name holds names of models.
#[must_use]
pub fn is_model_member(name: &str) -> bool {
    names_models(&plain(name))
}

/// Visits each model that a JSON document names.
///
/// # Errors
/// When it is no JSON, or nested deeper than 128 levels.
pub fn each_model(json: &[u8], visit: &mut dyn FnMut(&str)) -> Result<(), serde_json::Error> {
    walk(json, Traversal::Members, visit)
}

/// The same for the value of a member of that name.
///
/// # Errors
/// As [`each_model`].
pub fn each_model_of_member(
    name: &str,
    json: &[u8],
    visit: &mut dyn FnMut(&str),
) -> Result<(), serde_json::Error> {
    let name = plain(name);
    let names_model = BODY_MEMBERS.contains(&name.as_str());
    match Traversal::Members.within(&name) {
        _ if SKIPPED_IN_BODY.contains(&name.as_str()) => Ok(()),
        _ if names_model => walk(json, Traversal::Models, visit),
        Some(within) => walk(json, within, visit),
        None => Ok(()),
    }
}

impl Outline {
    /// Visits each model that `body` names elsewhere than in its member `model`.
    ///
    /// # Errors
    /// As [`each_model`].
    pub fn each_other_model(
        &self,
        body: &[u8],
        visit: &mut dyn FnMut(&str),
    ) -> Result<(), serde_json::Error> {
        for (name, value) in self.members(body) {
            // Numbers and the like name nothing, and the model itself is the gateway's to choose.
            let holds_text = matches!(value.first(), Some(b'"' | b'[' | b'{'));
            if holds_text && name.as_ref() != b"model" {
                each_model_of_member(&String::from_utf8_lossy(&name), value, visit)?;
            }
        }
        Ok(())
    }
}

/// In lower case and without the signs that some spell names with.
fn plain(name: &str) -> String {
    name.chars().filter(|it| !matches!(it, '_' | '-')).map(|it| it.to_ascii_lowercase()).collect()
}

fn names_models(plain: &str) -> bool {
    MODEL_ENDINGS.iter().any(|ending| plain.ends_with(ending))
}

fn walk(
    json: &[u8],
    walk: Traversal,
    visit: &mut dyn FnMut(&str),
) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    NameVisitor { walk, visit }.deserialize(&mut deserializer)?;
    deserializer.end()
}

/// How a value is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Traversal {
    /// Its members by their names.
    Members,
    /// The same, of tools.
    Tools,
    /// Its texts are models.
    Models,
    /// Its lists hold models, as in LiteLLM's `{"model": ["alternative"]}`.
    Lists,
}

impl Traversal {
    /// How the value of a member is looked at; none if it is not.
    fn within(self, plain: &str) -> Option<Self> {
        if SKIPPED.contains(&plain) || self == Self::Tools && SKIPPED_IN_TOOLS.contains(&plain) {
            return None;
        }
        let names_models = names_models(plain);
        Some(match self {
            _ if names_models => Self::Models,
            Self::Models if NAMES_OF_MODELS.contains(&plain) => Self::Models,
            Self::Models | Self::Lists => Self::Lists,
            _ if plain == "tools" => Self::Tools,
            other => other,
        })
    }
}

struct NameVisitor<'v> {
    walk: Traversal,
    visit: &'v mut dyn FnMut(&str),
}

impl<'de> DeserializeSeed<'de> for NameVisitor<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NameVisitor<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if self.walk == Traversal::Models && !text.is_empty() {
            (self.visit)(text);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let walk = if self.walk == Traversal::Lists { Traversal::Models } else { self.walk };
        let visit = self.visit;
        while items.next_element_seed(NameVisitor { walk, visit: &mut *visit })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let visit = self.visit;
        while let Some(name) = members.next_key::<String>()? {
            match self.walk.within(&plain(&name)) {
                Some(walk) => members.next_value_seed(NameVisitor { walk, visit: &mut *visit })?,
                None => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(body: &str) -> Vec<String> {
        let outline = Outline::read(body.as_bytes()).expect("an object");
        let mut found = Vec::new();
        outline
            .each_other_model(body.as_bytes(), &mut |model| found.push(model.to_owned()))
            .expect("not too deep");
        found
    }

    #[test]
    fn all_model_names_of_a_body_are_found() {
        for (body, expected) in [
            (r#"{"model":"m","messages":[]}"#, &[][..]),
            (r#"{"model":"m","models":["a","b"],"route":"fallback"}"#, &["a", "b"]),
            (r#"{"fallbacks":["a"]}"#, &["a"]),
            (r#"{"fallbacks":[{"m":["a","b"]}]}"#, &["a", "b"]),
            (r#"{"fallbacks":[{"model":"a","messages":[{"model":"x"}]}]}"#, &["a"]),
            (r#"{"context_window_fallbacks":[{"m":["a"]}]}"#, &["a"]),
            (r#"{"tools":[{"type":"image_generation","model":"a"}]}"#, &["a"]),
            (r#"{"extra_body":{"models":["a"],"extra_body":{"model":"b"}}}"#, &["a", "b"]),
            (r#"{"providerOptions":{"gateway":{"models":["a"]}}}"#, &["a"]),
            (r#"{"compound_custom":{"models":{"reasoning_model":"a"}}}"#, &["a"]),
            (r#"{"requests":[{"params":{"model":"a","messages":[{"model":"x"}]}}]}"#, &["a"]),
            (r#"{"session":{"audio":{"input":{"transcription":{"model":"a"}}}}}"#, &["a"]),
            (
                r#"{"MODEL":"a","Models":["b"],"modelId":"c","base-model":"d"}"#,
                &["a", "b", "c", "d"],
            ),
            (r#"{"x":{"model":{"id":"a","kind":"x"}}}"#, &["a"]),
            (r#"{"x":{"model":"a","model":"b"}}"#, &["a", "b"]),
            (r#"{"x":{"mod\u0065l":"a"}}"#, &["a"]),
            (r#"{"preset":"a","engine":"b"}"#, &["a", "b"]),
            (r#"{"x":{"preset":"a"},"model_x":"b","plugins":[{"engine":"exa"}]}"#, &[]),
            (r#"{"models":[1,null,true,""],"provider":{"allow_fallbacks":true}}"#, &[]),
            (r#"{"messages":[{"content":[{"type":"tool_use","input":{"model":"x"}}]}]}"#, &[]),
            (r#"{"input":[{"model":"x"}],"metadata":{"model":"x"}}"#, &[]),
            (
                r#"{"tools":[{"function":{"parameters":{"properties":{"model":{"type":"x"}}}}}]}"#,
                &[],
            ),
            (
                r#"{"tools":[{"name":"f","input_schema":{"properties":{"model":{"type":"x"}}}}]}"#,
                &[],
            ),
            (
                r#"{"response_format":{"json_schema":{"schema":{"properties":{"model":{"a":"x"}}}}}}"#,
                &[],
            ),
        ] {
            assert_eq!(found(body), expected, "{body}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(each_model(deep(100).as_bytes(), &mut |_| {}).is_ok());
        assert!(each_model(deep(200).as_bytes(), &mut |_| {}).is_err());
        assert!(each_model(b"{\"a\":1} x", &mut |_| {}).is_err());
        // What is not looked at may be as deep as it likes.
        let skipped = format!(r#"{{"messages":{}}}"#, deep(10_000));
        assert!(each_model(skipped.as_bytes(), &mut |_| {}).is_ok());
    }
}
