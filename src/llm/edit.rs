//! Edits of the top-level members of a JSON object, spliced into its text.
//!
//! The time taken is linear in the text, its members and the edits: a target may bring hundreds.
//!
//! What is not edited is copied byte for byte, in as few runs as possible. The text has been accepted
//! by a parser before; if it is another text than the one the members were found in, the result is
//! wrong but nothing panics.

use std::collections::HashMap;

use super::members::{Member, Members, slice};

/// So many edits are looked through for each member; more are put into a table first.
const FEW: usize = 8;

/// A change of one top-level member. Of several edits of one key the later wins, except that a
/// default never undoes a `Set`, and after a `Remove` acts as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// Replaces the value, or appends the member. `json` is JSON text and is not checked.
    Set {
        /// Unescaped name.
        key: &'a str,
        /// JSON text of the value.
        json: &'a [u8],
    },
    /// Appends the member where it is absent; null counts as present.
    Default {
        /// Unescaped name.
        key: &'a str,
        /// JSON text of the value.
        json: &'a [u8],
    },
    /// Takes the member out, if it is there.
    Remove {
        /// Unescaped name.
        key: &'a str,
    },
}

impl<'a> Edit<'a> {
    fn key(&self) -> &'a str {
        match self {
            Self::Set { key, .. } | Self::Default { key, .. } | Self::Remove { key } => key,
        }
    }

    /// What is left to do for a key when this edit follows `before`.
    fn after(self, before: Option<Self>) -> Self {
        match (before, self) {
            (Some(before @ Self::Set { .. }), Self::Default { .. }) => before,
            (Some(Self::Remove { .. }), Self::Default { key, json }) => Self::Set { key, json },
            (_, edit) => edit,
        }
    }

    /// Appends the member this edit adds where its key is absent; true if it did.
    fn append(&self, comma: bool, out: &mut Vec<u8>) -> bool {
        let (Self::Set { key, json } | Self::Default { key, json }) = self else { return false };
        if comma {
            out.push(b',');
        }
        out.extend_from_slice(&quote(key));
        out.push(b':');
        out.extend_from_slice(json);
        true
    }

    /// Bytes this edit adds at most, unless its key needs escapes.
    fn bytes_max(&self) -> usize {
        match self {
            Self::Set { key, json } | Self::Default { key, json } => key.len() + json.len() + 4,
            Self::Remove { .. } => 0,
        }
    }
}

/// What is left to do for each key when all edits are taken together.
enum Outcomes<'e, 'a> {
    Few(&'e [Edit<'a>]),
    /// With the place of the first edit of each key, and whether the text has it.
    Many(HashMap<&'a [u8], (Edit<'a>, usize, bool)>),
}

impl<'e, 'a> Outcomes<'e, 'a> {
    fn new(edits: &'e [Edit<'a>]) -> Self {
        if edits.len() <= FEW {
            return Self::Few(edits);
        }
        let mut table = HashMap::<_, (Edit<'a>, usize, bool)>::with_capacity(edits.len());
        for (place, edit) in edits.iter().enumerate() {
            let slot = table.entry(edit.key().as_bytes()).or_insert((*edit, place, false));
            slot.0 = edit.after(Some(slot.0));
        }
        Self::Many(table)
    }

    /// For a key that the text has.
    fn of_member(&mut self, key: &[u8]) -> Option<Edit<'a>> {
        match self {
            Self::Few(edits) => Self::all(edits, key),
            Self::Many(table) => {
                let (outcome, _, is_present) = table.get_mut(key)?;
                *is_present = true;
                Some(*outcome)
            }
        }
    }

    /// For the key of the edit at `place`, where that is its first and the text has no such member.
    fn of_absent(
        &self,
        place: usize,
        edit: &Edit<'a>,
        is_absent: impl Fn() -> bool,
    ) -> Option<Edit<'a>> {
        match self {
            Self::Few(edits) => {
                let is_first = !edits.iter().take(place).any(|other| other.key() == edit.key());
                let is_addition = is_first && is_absent();
                if is_addition { Self::all(edits, edit.key().as_bytes()) } else { None }
            }
            Self::Many(table) => {
                let (outcome, first, is_present) = table.get(edit.key().as_bytes())?;
                (*first == place && !is_present).then_some(*outcome)
            }
        }
    }

    fn all(edits: &[Edit<'a>], key: &[u8]) -> Option<Edit<'a>> {
        let same = edits.iter().filter(|edit| edit.key().as_bytes() == key);
        same.fold(None, |before, edit| Some(edit.after(before)))
    }
}

/// Appends `text`, whose members are `members`, to `out` with `edits` made.
pub(super) fn splice(members: &Members, text: &[u8], edits: &[Edit<'_>], out: &mut Vec<u8>) {
    let added: usize = edits.iter().map(Edit::bytes_max).sum();
    out.reserve(text.len() + added);
    // `copied` is where the run of bytes begins that is to be copied next. `kept` says that a member
    // stands in front of that run, so that the next one brings its comma.
    let (mut copied, mut kept) = (0, false);
    let mut outcomes = Outcomes::new(edits);
    let mut before: Option<&Member> = None;
    let mut rest = members.iter().peekable();
    while let Some(member) = rest.next() {
        match outcomes.of_member(&member.key(text)) {
            Some(Edit::Set { json, .. }) => {
                out.extend_from_slice(slice(text, copied..member.value().start));
                out.extend_from_slice(json);
                copied = member.value().end;
                kept = true;
            }
            // Goes with the comma before it or, as first member, with the one behind it.
            Some(Edit::Remove { .. }) => match before.filter(|_| kept) {
                Some(before) => {
                    out.extend_from_slice(slice(text, copied..before.value().end));
                    copied = member.value().end;
                }
                None => {
                    out.extend_from_slice(slice(text, copied..member.start()));
                    copied = rest.peek().map_or(member.value().end, |next| next.start());
                }
            },
            Some(Edit::Default { .. }) | None => kept = true,
        }
        before = Some(member);
    }
    let end = members.end(text);
    out.extend_from_slice(slice(text, copied..end));
    for (place, edit) in edits.iter().enumerate() {
        let is_absent = || members.find(text, edit.key()).is_none();
        let outcome = outcomes.of_absent(place, edit, is_absent);
        kept |= outcome.is_some_and(|edit| edit.append(kept, out));
    }
    out.extend_from_slice(slice(text, end..text.len()));
}

/// The value of `stream_options` with `include_usage` true and its other members kept.
#[must_use]
pub fn with_include_usage(stream_options: Option<&[u8]>) -> Vec<u8> {
    let object =
        stream_options.filter(|text| text.trim_ascii_start().starts_with(b"{")).unwrap_or(b"{}");
    let mut out = Vec::new();
    splice(
        &Members::scan(object),
        object,
        &[Edit::Set { key: "include_usage", json: b"true" }],
        &mut out,
    );
    out
}

/// Appends the data of a stream event to `out` without its `usage` member: for providers that put the
/// usage into a chunk with choices when the client did not ask for it. `data` has passed
/// [`super::ChunkOutline::read`].
pub fn hide_usage(data: &[u8], out: &mut Vec<u8>) {
    splice(&Members::scan(data), data, &[Edit::Remove { key: "usage" }], out);
}

/// The JSON object `text` without its members of those names.
#[must_use]
pub fn remove_members(text: &str, names: &[&str]) -> String {
    let edits: Vec<Edit<'_>> = names.iter().map(|key| Edit::Remove { key }).collect();
    let mut out = Vec::with_capacity(text.len());
    splice(&Members::scan(text.as_bytes()), text.as_bytes(), &edits, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// The JSON object `text`, which a parser has accepted, with `edits` made to its members.
#[must_use]
pub fn edit_members(text: &[u8], edits: &[Edit<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    splice(&Members::scan(text), text, edits, &mut out);
    out
}

/// JSON text of the member `key` of the JSON object `text`, which a parser has accepted.
#[must_use]
pub fn member_text<'t>(text: &'t [u8], key: &str) -> Option<&'t [u8]> {
    let members = Members::scan(text);
    members.find(text, key).and_then(|member| text.get(member.value()))
}

/// `text` as a JSON string literal, quotes included.
#[must_use]
pub fn quote(text: &str) -> Vec<u8> {
    serde_json::to_vec(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::super::Outline;
    use super::*;

    const SET: Edit<'static> = Edit::Set { key: "a", json: b"9" };
    const DEFAULT: Edit<'static> = Edit::Default { key: "a", json: b"8" };
    const REMOVE: Edit<'static> = Edit::Remove { key: "a" };

    fn check(text: &str, edits: &[Edit<'_>], expected: &str) {
        let outline = Outline::read(text.as_bytes()).unwrap();
        let mut out = b"head ".to_vec();
        outline.splice(text.as_bytes(), edits, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("head {expected}"), "{text} {edits:?}");
    }

    #[test]
    fn single_edit_is_applied() {
        for (text, set, default, remove) in [
            ("{}", r#"{"a":9}"#, r#"{"a":8}"#, "{}"),
            (" { } ", r#" {"a":9 } "#, r#" {"a":8 } "#, " { } "),
            (r#"{"a":1}"#, r#"{"a":9}"#, r#"{"a":1}"#, "{}"),
            (r#"{ "a" : [1, "}"] }"#, r#"{ "a" : 9 }"#, r#"{ "a" : [1, "}"] }"#, "{  }"),
            (r#"{"b":1}"#, r#"{"b":1,"a":9}"#, r#"{"b":1,"a":8}"#, r#"{"b":1}"#),
            (
                r#"{"a":1 , "b":"x,\"}" }"#,
                r#"{"a":9 , "b":"x,\"}" }"#,
                r#"{"a":1 , "b":"x,\"}" }"#,
                r#"{"b":"x,\"}" }"#,
            ),
            (
                "{\"b\":1 ,\n\t\"a\":{\"a\":2},\"c\":3}",
                "{\"b\":1 ,\n\t\"a\":9,\"c\":3}",
                "{\"b\":1 ,\n\t\"a\":{\"a\":2},\"c\":3}",
                r#"{"b":1,"c":3}"#,
            ),
            (r#"{"b":1, "a":null}"#, r#"{"b":1, "a":9}"#, r#"{"b":1, "a":null}"#, r#"{"b":1}"#),
            (
                r#"{"\u0061":1,"b":2}"#,
                r#"{"\u0061":9,"b":2}"#,
                r#"{"\u0061":1,"b":2}"#,
                r#"{"b":2}"#,
            ),
        ] {
            check(text, &[], text);
            check(text, &[SET], set);
            check(text, &[DEFAULT], default);
            check(text, &[REMOVE], remove);
        }
    }

    #[test]
    fn edits_of_one_key_combine() {
        let other = Edit::Set { key: "a", json: b"7" };
        let default = Edit::Default { key: "a", json: b"6" };
        for (edits, present, absent) in [
            (&[SET, other][..], r#"{"a":7}"#, r#"{"a":7}"#),
            (&[SET, DEFAULT], r#"{"a":9}"#, r#"{"a":9}"#),
            (&[DEFAULT, SET], r#"{"a":9}"#, r#"{"a":9}"#),
            (&[DEFAULT, default], r#"{"a":1}"#, r#"{"a":6}"#),
            (&[SET, REMOVE], "{}", "{}"),
            (&[REMOVE, SET], r#"{"a":9}"#, r#"{"a":9}"#),
            (&[REMOVE, DEFAULT], r#"{"a":8}"#, r#"{"a":8}"#),
        ] {
            check(r#"{"a":1}"#, edits, present);
            check("{}", edits, absent);
            // The same where a table is made of them.
            let mut many = edits.to_vec();
            many.resize(edits.len() + FEW, Edit::Remove { key: "none" });
            check(r#"{"a":1}"#, &many, present);
            check("{}", &many, absent);
        }
    }

    #[test]
    fn adjacent_members_are_removed() {
        let remove = |key| Edit::Remove { key };
        let text = r#"{ "a":1, "b":2 ,"c":3 }"#;
        check(text, &[remove("a"), remove("b")], r#"{ "c":3 }"#);
        check(text, &[remove("b"), remove("c")], r#"{ "a":1 }"#);
        check(text, &[remove("a"), remove("c")], r#"{ "b":2 }"#);
        check(text, &[remove("a"), remove("b"), remove("c")], "{  }");
        let all = [remove("a"), remove("b"), remove("c"), Edit::Set { key: "\"\n", json: b"4" }];
        check(text, &all, r#"{ "\"\n":4 }"#);
        check(text, &[remove("a"), Edit::Set { key: "b", json: b"5" }], r#"{ "b":5 ,"c":3 }"#);
    }

    #[test]
    fn include_usage_is_injected() {
        for (options, expected) in [
            (None, r#"{"include_usage":true}"#),
            (Some("null"), r#"{"include_usage":true}"#),
            (Some(r#"{"include_usage":false}"#), r#"{"include_usage":true}"#),
            (Some(r#"{ "x": [1,{"y":2}] }"#), r#"{ "x": [1,{"y":2}],"include_usage":true }"#),
        ] {
            let found = with_include_usage(options.map(str::as_bytes));
            assert_eq!(String::from_utf8(found).unwrap(), expected);
        }
        let mut out = Vec::new();
        hide_usage(br#"{"choices":[{"usage":1}], "usage":{"prompt_tokens":1},"x":"y"}"#, &mut out);
        assert_eq!(out, br#"{"choices":[{"usage":1}],"x":"y"}"#);
        out.clear();
        hide_usage(br#"{"choices":[]}"#, &mut out);
        assert_eq!(out, br#"{"choices":[]}"#);
    }

    #[test]
    fn strings_are_quoted() {
        assert_eq!(quote("a\"\\\n\u{1}é"), "\"a\\\"\\\\\\n\\u0001é\"".as_bytes());
    }

    /// Writes JSON with white space and escapes chosen by a seed.
    struct Writer {
        seed: u64,
        text: String,
    }

    impl Writer {
        fn draw(&mut self, below: u64) -> u64 {
            self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.seed >> 33) % below
        }

        fn token(&mut self, token: &str) {
            self.space();
            self.text.push_str(token);
            self.space();
        }

        fn space(&mut self) {
            for _ in 0..self.draw(8).saturating_sub(4) {
                let space = [" ", "\n", "\t", "\r"][self.draw(4) as usize];
                self.text.push_str(space);
            }
        }

        fn string(&mut self, string: &str) {
            self.space();
            self.text.push('"');
            for unit in string.chars() {
                if self.draw(4) == 0 {
                    let mut units = [0; 2];
                    for unit in unit.encode_utf16(&mut units) {
                        self.text.push_str(&format!("\\u{unit:04x}"));
                    }
                } else {
                    let literal = String::from_utf8(quote(&unit.to_string())).unwrap();
                    self.text.push_str(&literal[1..literal.len() - 1]);
                }
            }
            self.text.push('"');
            self.space();
        }

        fn value(&mut self, value: &Value) {
            match value {
                Value::String(string) => self.string(string),
                Value::Array(items) => {
                    self.token("[");
                    for (index, item) in items.iter().enumerate() {
                        self.token(if index == 0 { "" } else { "," });
                        self.value(item);
                    }
                    self.token("]");
                }
                Value::Object(members) => self.members(members.iter()),
                other => self.token(&other.to_string()),
            }
        }

        fn members<'a>(&mut self, members: impl Iterator<Item = (&'a String, &'a Value)>) {
            self.token("{");
            for (index, (key, value)) in members.enumerate() {
                self.token(if index == 0 { "" } else { "," });
                self.string(key);
                self.token(":");
                self.value(value);
            }
            self.token("}");
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<i32>().prop_map(|number| json!(f64::from(number) / 4.0)),
            ".{0,12}".prop_map(Value::from),
            "[\\\\\",:{}\\[\\]]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c]{1,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn keys() -> impl Strategy<Value = String> {
        prop_oneof!["[ab]{0,2}", "[\\\\\"\n,}é😀]{1,2}", ".{0,40}"]
    }

    fn edits() -> impl Strategy<Value = Vec<(u8, String, Value)>> {
        prop::collection::vec((0..3_u8, keys(), values()), 0..3 * FEW)
    }

    /// What `edits`, one a key, make of `members`.
    fn edited(mut members: Map<String, Value>, edits: &[Edit<'_>]) -> Map<String, Value> {
        for edit in edits {
            let key = edit.key().to_owned();
            match edit {
                Edit::Set { json, .. } => {
                    members.insert(key, serde_json::from_slice(json).unwrap());
                }
                Edit::Default { json, .. } => {
                    members.entry(key).or_insert_with(|| serde_json::from_slice(json).unwrap());
                }
                Edit::Remove { .. } => {
                    members.remove(&key);
                }
            }
        }
        members
    }

    proptest! {
        #[test]
        fn splicing_agrees_with_parsed_editing(
            members in prop::collection::hash_map(keys(), values(), 0..40),
            edits in edits(),
            seed: u64,
        ) {
            let mut writer = Writer { seed, text: String::new() };
            writer.members(members.iter());
            let text = writer.text.as_bytes();
            let outline = Outline::read(text).unwrap();
            for (key, value) in &members {
                let raw = outline.value(text, key).unwrap();
                prop_assert_eq!(&serde_json::from_slice::<Value>(raw).unwrap(), value);
                prop_assert_eq!(raw.trim_ascii(), raw);
            }

            // One edit a key; several of one key have their own table.
            let jsons: Vec<Vec<u8>> = edits.iter().map(|edit| edit.2.to_string().into_bytes()).collect();
            let mut seen = std::collections::HashSet::new();
            let edits: Vec<Edit<'_>> = edits
                .iter()
                .zip(&jsons)
                .filter(|((_, key, _), _)| seen.insert(key))
                .map(|((kind, key, _), json)| match kind {
                    0 => Edit::Set { key, json },
                    1 => Edit::Default { key, json },
                    _ => Edit::Remove { key },
                })
                .collect();
            let mut out = Vec::new();
            outline.splice(text, &edits, &mut out);
            let expected = edited(members.clone().into_iter().collect(), &edits);
            prop_assert_eq!(serde_json::from_slice::<Map<String, Value>>(&out).unwrap(), expected);
            let spliced = Outline::read(&out).unwrap();
            for key in members.keys().filter(|key| !edits.iter().any(|edit| edit.key() == *key)) {
                prop_assert_eq!(spliced.value(&out, key), outline.value(text, key));
            }
        }

        #[test]
        fn spliced_offsets_agree_with_scan(
            members in prop::collection::hash_map(keys(), values(), 0..60),
            seed: u64,
        ) {
            let mut writer = Writer { seed, text: String::new() };
            writer.members(members.iter());
            let text = writer.text.as_bytes();
            let outline = Outline::read(text).unwrap();
            prop_assert_eq!(&outline.members, &Members::scan(text));
        }

        #[test]
        fn mismatched_text_never_panics(text in prop::collection::vec(any::<u8>(), 0..60), other in ".{0,60}") {
            let outline = Outline::read(br#"{"a" : 1, "\u0062" : [ 2 ], "c":{}}"#).unwrap();
            for text in [&text[..], other.as_bytes()] {
                let edits = [SET, Edit::Remove { key: "b" }, Edit::Default { key: "", json: b"1" }];
                let mut out = Vec::new();
                outline.splice(text, &edits, &mut out);
                splice(&Members::scan(text), text, &edits, &mut out);
                hide_usage(text, &mut out);
                let _ = (with_include_usage(Some(text)), outline.value(text, "c"));
            }
        }
    }
}
