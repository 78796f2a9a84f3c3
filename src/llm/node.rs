//! A value of a parsed document, and how a dialect reads it.
//!
//! Two manners: what a client sends is checked (`expect_…`, and the `…_at` built on it), and a wrong
//! type is an error that names the path to it; what a provider sends is taken as far as it goes
//! (`text`, `u64`, …). In both, a member that is null counts as absent: clients and providers send
//! null for what they leave out.

use std::borrow::Cow;

use simd_json::prelude::*;
use simd_json::tape::Value;

use super::json::Json;
use super::json_value::JsonValue;

/// Numbers of a JSON document up to here are exact as floats.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// One value of a document, valid while the document is being read.
#[derive(Clone, Copy)]
pub struct Node<'a>(Value<'a, 'a>);

/// What was expected, and where. Never holds a value that was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `{path}` to be {expected}")]
pub struct Malformed {
    /// As in `messages[2].content`; empty at the root.
    pub path: String,
    /// With its article.
    pub expected: &'static str,
}

impl Malformed {
    /// An error at the node at hand; [`Within`] adds the path while it travels up.
    #[must_use]
    pub fn new(expected: &'static str) -> Self {
        Self { path: String::new(), expected }
    }
}

/// Adds to an error where it happened, on its way up.
pub trait Within<T> {
    /// Inside the member `key`.
    fn within(self, key: &str) -> Result<T, Malformed>;
    /// Inside the element `index` of an array.
    fn within_item(self, index: usize) -> Result<T, Malformed>;
}

impl<T> Within<T> for Result<T, Malformed> {
    fn within(self, key: &str) -> Self {
        self.map_err(|error| {
            let dot = if error.path.is_empty() || error.path.starts_with('[') { "" } else { "." };
            Malformed { path: format!("{key}{dot}{}", error.path), ..error }
        })
    }

    fn within_item(self, index: usize) -> Self {
        self.map_err(|error| {
            let dot = if error.path.is_empty() || error.path.starts_with('[') { "" } else { "." };
            Malformed { path: format!("[{index}]{dot}{}", error.path), ..error }
        })
    }
}

impl<'a> JsonValue<'a> for Node<'a> {
    fn is_null(self) -> bool {
        self.0.is_null()
    }

    fn is_object(self) -> bool {
        self.0.is_object()
    }

    fn is_array(self) -> bool {
        self.0.is_array()
    }

    fn text(self) -> Option<Cow<'a, str>> {
        self.0.into_string().map(Cow::Borrowed)
    }

    fn flag(self) -> Option<bool> {
        self.0.as_bool()
    }

    fn integer(self) -> Option<u64> {
        self.0.as_u64()
    }

    fn float(self) -> Option<f64> {
        self.0.cast_f64()
    }

    fn members(self) -> impl Iterator<Item = (Cow<'a, str>, Self)> {
        Node::members(self).map(|(key, value)| (Cow::Borrowed(key), value))
    }

    fn items(self) -> impl Iterator<Item = Self> {
        Node::items(self)
    }
}

impl<'a> Node<'a> {
    pub(super) fn new(value: Value<'a, 'a>) -> Self {
        Self(value)
    }

    /// True for null.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// True for an object.
    #[must_use]
    pub fn is_object(self) -> bool {
        self.0.is_object()
    }

    /// True for an array.
    #[must_use]
    pub fn is_array(self) -> bool {
        self.0.is_array()
    }

    /// The text of a string, unescaped.
    #[must_use]
    pub fn text(self) -> Option<&'a str> {
        self.0.into_string()
    }

    /// A whole number of 0 or more, also where it is written as a float without a fraction.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the float is whole and in the range where floats are exact"
    )]
    pub fn u64(self) -> Option<u64> {
        let whole = |float: &f64| float.fract() == 0.0 && (0.0..=EXACT_MAX).contains(float);
        self.0.as_u64().or_else(|| self.0.as_f64().filter(whole).map(|float| float as u64))
    }

    /// A whole number.
    #[must_use]
    pub fn i64(self) -> Option<i64> {
        self.0.as_i64()
    }

    /// Any number.
    #[must_use]
    pub fn f64(self) -> Option<f64> {
        self.0.cast_f64()
    }

    /// True or false.
    #[must_use]
    pub fn flag(self) -> Option<bool> {
        self.0.as_bool()
    }

    /// The member `key` of an object, unless it is null. Of several the first.
    #[must_use]
    pub fn get(self, key: &str) -> Option<Self> {
        self.0.as_object()?.get(key).map(Self).filter(|node| !node.is_null())
    }

    /// The members of an object, in order and with those that are null; none of anything else.
    pub fn members(self) -> impl Iterator<Item = (&'a str, Self)> {
        self.0
            .as_object()
            .into_iter()
            .flat_map(|object| object.iter().map(|(key, value)| (key, Self(value))))
    }

    /// The elements of an array; none of anything else.
    pub fn items(self) -> impl Iterator<Item = Self> {
        self.0.as_array().into_iter().flat_map(|array| array.iter().map(Self))
    }

    /// Number of elements or members.
    #[must_use]
    pub fn count(self) -> usize {
        let items = self.0.as_array().map(|array| array.len());
        items.or_else(|| self.0.as_object().map(|object| object.len())).unwrap_or(0)
    }

    /// Its JSON text, without white space and with the members in their order.
    #[must_use]
    pub fn json(self) -> Json {
        Json::of_written(self.0.encode())
    }

    /// The text of the member `key`, empty where there is none: for what a provider sends.
    #[must_use]
    pub fn text_of(self, key: &str) -> &'a str {
        self.get(key).and_then(Self::text).unwrap_or_default()
    }

    /// A string.
    ///
    /// # Errors
    /// For anything else.
    pub fn expect_text(self) -> Result<&'a str, Malformed> {
        self.text().ok_or_else(|| Malformed::new("a string"))
    }

    /// An object, as it is.
    ///
    /// # Errors
    /// For anything else.
    pub fn expect_object(self) -> Result<Self, Malformed> {
        if self.is_object() { Ok(self) } else { Err(Malformed::new("an object")) }
    }

    /// An array, as it is.
    ///
    /// # Errors
    /// For anything else.
    pub fn expect_array(self) -> Result<Self, Malformed> {
        if self.is_array() { Ok(self) } else { Err(Malformed::new("an array")) }
    }

    /// A whole number of 0 or more.
    ///
    /// # Errors
    /// For anything else.
    pub fn expect_u64(self) -> Result<u64, Malformed> {
        self.u64().ok_or_else(|| Malformed::new("a whole number of 0 or more"))
    }

    /// A whole number.
    ///
    /// # Errors
    /// For anything else.
    pub fn expect_i64(self) -> Result<i64, Malformed> {
        self.i64().ok_or_else(|| Malformed::new("a whole number"))
    }

    /// A number.
    ///
    /// # Errors
    /// For anything else.
    pub fn expect_f64(self) -> Result<f64, Malformed> {
        self.f64().ok_or_else(|| Malformed::new("a number"))
    }

    /// True or false.
    ///
    /// # Errors
    /// For anything else.
    pub fn expect_flag(self) -> Result<bool, Malformed> {
        self.flag().ok_or_else(|| Malformed::new("true or false"))
    }

    /// The member `key`, which must be there.
    ///
    /// # Errors
    /// Where it is absent or null.
    pub fn expect(self, key: &str, expected: &'static str) -> Result<Self, Malformed> {
        self.get(key).ok_or_else(|| Malformed::new(expected)).within(key)
    }

    /// The text of the member `key`, which must be there.
    ///
    /// # Errors
    /// Where it is absent, null or no string.
    pub fn expect_text_at(self, key: &str) -> Result<&'a str, Malformed> {
        self.expect(key, "a string")?.expect_text().within(key)
    }

    /// The text of the member `key`, if it is there.
    ///
    /// # Errors
    /// For another type.
    pub fn text_at(self, key: &str) -> Result<Option<&'a str>, Malformed> {
        self.get(key).map(|node| node.expect_text().within(key)).transpose()
    }

    /// Each element of this array, read by `read`.
    ///
    /// # Errors
    /// If this is no array, and those of `read` with the element's place.
    pub fn read_items<T>(
        self,
        mut read: impl FnMut(Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let items = self.expect_array()?.items().enumerate();
        items.map(|(index, item)| read(item).within_item(index)).collect()
    }

    /// Hands each member of this object to `read`, except those that are null.
    ///
    /// # Errors
    /// Those of `read`, with the member's name.
    pub fn read_members(
        self,
        mut read: impl FnMut(&'a str, Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let mut members = self.members().filter(|(_, value)| !value.is_null());
        members.try_for_each(|(key, value)| read(key, value).within(key))
    }
}

impl std::fmt::Debug for Node<'_> {
    /// Its type only: it holds prompts.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Node({:?})", self.0.value_type())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Scanner;
    use super::*;

    #[test]
    fn errors_name_the_path() {
        let read = |body: &str| {
            Scanner::default().read(body.as_bytes(), |root| {
                root.expect("messages", "an array")?
                    .read_items(|item| item.expect_text_at("content"))
                    .within("messages")
                    .map(|items| items.len())
            })
        };
        let fault = |body: &str| read(body).expect("JSON").expect_err("a fault").to_string();
        assert_eq!(fault(r#"{"messages":null}"#), "expected `messages` to be an array");
        assert_eq!(fault(r#"{"messages":{}}"#), "expected `messages` to be an array");
        assert_eq!(
            fault(r#"{"messages":[{"content":"x"},{"content":["secret"]}]}"#),
            "expected `messages[1].content` to be a string"
        );
        assert_eq!(read(r#"{"messages":[{"content":"x"}]}"#), Ok(Ok(1)));
    }

    #[test]
    fn numbers_are_read_exactly() {
        for (text, whole, float) in [
            ("5", Some(5), Some(5.0)),
            ("5.0", Some(5), Some(5.0)),
            ("5.5", None, Some(5.5)),
            ("-1", None, Some(-1.0)),
            ("1e300", None, Some(1e300)),
            ("\"5\"", None, None),
        ] {
            let body = format!(r#"{{"n":{text}}}"#);
            let found = Scanner::default().read(body.as_bytes(), |root| {
                let number = root.get("n").expect("there");
                (number.u64(), number.f64())
            });
            assert_eq!(found, Ok((whole, float)), "{text}");
        }
    }

    #[test]
    fn extracted_json_keeps_order_and_meaning() {
        let body = r#"{"x": {"b": [1, 2.5, -3, true, null, "q\"\n\u00e9"], "a": {}}}"#;
        let text =
            Scanner::default().read(body.as_bytes(), |root| root.get("x").expect("x").json());
        assert_eq!(text.expect("JSON").text(), r#"{"b":[1,2.5,-3,true,null,"q\"\né"],"a":{}}"#);
    }
}
