//! A value of a JSON document, however it was parsed: what reads usage and errors works on both kinds.

use std::borrow::Cow;

/// A value: a [`Node`](super::Node) of a parsed document, or a [`RawValue`](super::raw_value::RawValue) in
/// the text of one.
pub trait JsonValue<'a>: Copy {
    /// True for null.
    fn is_null(self) -> bool;
    /// True for an object.
    fn is_object(self) -> bool;
    /// True for an array.
    fn is_array(self) -> bool;
    /// The text of a string, unescaped.
    fn text(self) -> Option<Cow<'a, str>>;
    /// True or false.
    fn flag(self) -> Option<bool>;
    /// A whole number of 0 or more that is written as one.
    fn integer(self) -> Option<u64>;
    /// Any number.
    fn float(self) -> Option<f64>;
    /// The members of an object, in order and with those that are null; none of anything else.
    fn members(self) -> impl Iterator<Item = (Cow<'a, str>, Self)>;
    /// The elements of an array; none of anything else.
    fn items(self) -> impl Iterator<Item = Self>;

    /// The member `key` of an object, also if it is null. Of several the first.
    fn member(self, key: &str) -> Option<Self> {
        self.members().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// True for a string, array or object that is not empty.
    fn is_filled(self) -> bool {
        self.text().is_some_and(|text| !text.is_empty())
            || self.items().next().is_some()
            || self.members().next().is_some()
    }

    /// True for this string.
    fn is_text(self, text: &str) -> bool {
        self.text().is_some_and(|it| it == text)
    }
}
