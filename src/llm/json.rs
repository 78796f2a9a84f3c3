//! JSON text as it is written: one value kept as text, and writers that append to a buffer.
//!
//! What the gateway has no opinion on (a tool's schema, a call's arguments) is kept as its text and
//! never taken apart. Writers never fail and make no text that is not JSON, given that `raw` gets JSON.

/// The JSON text of one value, known to be well formed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Json(String);

impl Json {
    /// Takes text that this program has written itself.
    #[must_use]
    pub fn of_written(text: String) -> Self {
        Self(text)
    }

    /// Takes text from elsewhere. None if it is not one JSON value. Line ends, which can only be
    /// white space there, become spaces, so that the text fits into one line of an event.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let value: &serde_json::value::RawValue = serde_json::from_str(text).ok()?;
        Some(Self(value.get().replace(['\n', '\r'], " ")))
    }

    /// As [`Json::parse`], for objects only.
    #[must_use]
    pub fn parse_object(text: &str) -> Option<Self> {
        Self::parse(text).filter(|json| json.0.starts_with('{'))
    }

    /// The JSON text of a string.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        let mut out = Vec::with_capacity(text.len() + 2);
        write_text(&mut out, text);
        Self(String::from_utf8(out).unwrap_or_default())
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// Appends `text` as a JSON string.
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(out, text);
}

/// Appends one object, whose members `fill` writes.
pub fn write_object<T>(out: &mut Vec<u8>, fill: impl FnOnce(&mut ObjectWriter<'_>) -> T) -> T {
    out.push(b'{');
    let result = fill(&mut ObjectWriter { out, is_empty: true });
    out.push(b'}');
    result
}

/// Appends one array, whose elements `fill` writes.
pub fn write_array<T>(out: &mut Vec<u8>, fill: impl FnOnce(&mut ArrayWriter<'_>) -> T) -> T {
    out.push(b'[');
    let result = fill(&mut ArrayWriter { out, is_empty: true });
    out.push(b']');
    result
}

/// Writes the members of an object. Keys are the dialects' own names and need no escapes.
#[derive(Debug)]
pub struct ObjectWriter<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl ObjectWriter<'_> {
    /// Writes the key; the caller appends the value to what this gives.
    pub fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
        write_text(self.out, key);
        self.out.push(b':');
        self.out
    }

    /// A string.
    pub fn text(&mut self, key: &str, value: &str) {
        write_text(self.key(key), value);
    }

    /// A string, where there is one.
    pub fn optional_text(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    /// A whole number.
    pub fn number(&mut self, key: &str, value: u64) {
        let mut digits = itoa::Buffer::new();
        self.key(key).extend_from_slice(digits.format(value).as_bytes());
    }

    /// A whole number, where there is one.
    pub fn optional_number(&mut self, key: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.number(key, value);
        }
    }

    /// Any number; null for one that JSON cannot say.
    pub fn float(&mut self, key: &str, value: f64) {
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(self.key(key), &value);
    }

    /// Any number, where there is one.
    pub fn optional_float(&mut self, key: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.float(key, value);
        }
    }

    /// True or false.
    pub fn flag(&mut self, key: &str, value: bool) {
        self.key(key).extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// True or false, where it is there.
    pub fn optional_flag(&mut self, key: &str, value: Option<bool>) {
        if let Some(value) = value {
            self.flag(key, value);
        }
    }

    /// Null.
    pub fn null(&mut self, key: &str) {
        self.key(key).extend_from_slice(b"null");
    }

    /// JSON text as it is.
    pub fn raw(&mut self, key: &str, value: &Json) {
        self.key(key).extend_from_slice(value.text().as_bytes());
    }

    /// Members as they are, with the commas between them; at least one.
    pub fn raw_members(&mut self, members: &[u8]) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
        self.out.extend_from_slice(members);
    }

    /// JSON text as it is, where there is some.
    pub fn optional_raw(&mut self, key: &str, value: Option<&Json>) {
        if let Some(value) = value {
            self.raw(key, value);
        }
    }

    /// An object.
    pub fn object<T>(&mut self, key: &str, fill: impl FnOnce(&mut ObjectWriter<'_>) -> T) -> T {
        write_object(self.key(key), fill)
    }

    /// An array.
    pub fn array<T>(&mut self, key: &str, fill: impl FnOnce(&mut ArrayWriter<'_>) -> T) -> T {
        write_array(self.key(key), fill)
    }

    /// An array of strings.
    pub fn texts<'t>(&mut self, key: &str, values: impl IntoIterator<Item = &'t str>) {
        self.array(key, |array| values.into_iter().for_each(|value| array.text(value)));
    }
}

/// Writes the elements of an array.
#[derive(Debug)]
pub struct ArrayWriter<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl ArrayWriter<'_> {
    /// Begins an element; the caller appends it to what this gives.
    pub fn item(&mut self) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_empty) {
            self.out.push(b',');
        }
        self.out
    }

    /// A string.
    pub fn text(&mut self, value: &str) {
        write_text(self.item(), value);
    }

    /// JSON text as it is.
    pub fn raw(&mut self, value: &Json) {
        self.item().extend_from_slice(value.text().as_bytes());
    }

    /// An object.
    pub fn object<T>(&mut self, fill: impl FnOnce(&mut ObjectWriter<'_>) -> T) -> T {
        write_object(self.item(), fill)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_values_are_valid_json() {
        let mut out = Vec::new();
        write_object(&mut out, |root| {
            root.text("t", "a\"\\\n\u{1}é");
            root.number("n", u64::MAX);
            root.float("f", 0.7);
            root.float("nan", f64::NAN);
            root.flag("y", true);
            root.null("z");
            root.optional_text("absent", None);
            root.raw("r", &Json::parse(" {\"k\" : 1e2} ").expect("JSON"));
            root.array("a", |array| {
                array.text("x");
                array.object(|_| {});
            });
            root.texts("s", ["u", "v"]);
            root.raw_members(b"\"m\":1,\"o\":2");
        });
        let expected = "{\"t\":\"a\\\"\\\\\\n\\u0001é\",\"n\":18446744073709551615,\"f\":0.7,\
            \"nan\":null,\"y\":true,\"z\":null,\"r\":{\"k\" : 1e2},\"a\":[\"x\",{}],\"s\":[\"u\",\"v\"],\
            \"m\":1,\"o\":2}";
        assert_eq!(String::from_utf8_lossy(&out), expected);
        assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok());
    }

    #[test]
    fn invalid_json_is_rejected() {
        for text in ["", "{", "{} x", "nope", "\"\u{1}\""] {
            assert_eq!(Json::parse(text), None, "{text}");
        }
        assert_eq!(Json::parse_object("[1]"), None);
        assert!(Json::parse_object(" {} ").is_some());
    }
}
