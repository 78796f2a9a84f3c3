//! Paths of `drop_params`: `a`, `a.b`, `messages[0].name`, `tools[*].function.strict`.
//!
//! What a path names is cut out of the JSON text, and all other bytes stay as they are: order,
//! numbers, white space and escapes.

use std::ops::Range;

use serde::de::IgnoredAny;

/// Steps of a path, the first member included.
const STEPS_MAX: usize = 16;

/// What to take out of a request body. Of members of one name all go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropPath {
    member: String,
    rest: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// `.name`, of an object.
    Member(String),
    /// `[3]`, of an array; counted from 0.
    Element(usize),
    /// `[*]`, of an array.
    EveryElement,
}

impl DropPath {
    /// Reads a path that begins with a name and has at most 16 steps. Names are any text without
    /// `.`, `[` and `]`; none has an escape.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (member, mut left) = name(text)?;
        let mut rest = Vec::new();
        while !left.is_empty() {
            let step;
            (step, left) = Step::parse(left)?;
            rest.push(step);
        }
        (rest.len() < STEPS_MAX).then(|| Self { member: member.to_owned(), rest })
    }

    /// The member of the body that the path leads to, or into.
    #[must_use]
    pub fn member(&self) -> &str {
        &self.member
    }

    /// True if the whole member goes.
    #[must_use]
    pub fn is_whole_member(&self) -> bool {
        self.rest.is_empty()
    }

    /// The value of [`DropPath::member`], given as JSON text, without what the rest of the path
    /// names. None where it has no such thing, or is no JSON, or the whole member goes.
    #[must_use]
    pub fn remove_from(&self, member_json: &[u8]) -> Option<Vec<u8>> {
        let mut cuts = Vec::new();
        if !self.is_whole_member() {
            Cursor { text: member_json, at: 0 }.cut(&self.rest, &mut cuts)?;
        }
        if cuts.is_empty() {
            return None;
        }
        // The cursor takes the text to be JSON. Otherwise its cuts would be wrong.
        serde_json::from_slice::<IgnoredAny>(member_json).ok()?;
        let mut out = Vec::with_capacity(member_json.len());
        let mut copied = 0;
        for cut in cuts {
            out.extend_from_slice(member_json.get(copied..cut.start)?);
            copied = cut.end;
        }
        out.extend_from_slice(member_json.get(copied..)?);
        Some(out)
    }
}

impl Step {
    /// The step that `text` begins with, and what is behind it.
    fn parse(text: &str) -> Option<(Self, &str)> {
        if let Some(text) = text.strip_prefix('.') {
            let (name, behind) = name(text)?;
            return Some((Self::Member(name.to_owned()), behind));
        }
        let (index, behind) = text.strip_prefix('[')?.split_once(']')?;
        if index == "*" {
            return Some((Self::EveryElement, behind));
        }
        // `parse` would take a sign.
        let is_number = index.bytes().all(|byte| byte.is_ascii_digit());
        Some((Self::Element(index.parse().ok().filter(|_| is_number)?), behind))
    }
}

/// The name that `text` begins with, and what is behind it.
fn name(text: &str) -> Option<(&str, &str)> {
    let end = text.find(['.', '[', ']']).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(name, _)| !name.is_empty())
}

/// A place in JSON text that moves over values. On other text it stops or strays, but it never goes
/// back, so it ends.
struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Moves over one value and adds what `steps` name in it to `cuts`, in order. Recursion is
    /// bounded by the number of steps.
    fn cut(&mut self, steps: &[Step], cuts: &mut Vec<Range<usize>>) -> Option<()> {
        let (closing, step, rest) = match (self.next()?, steps.split_first()) {
            (b'{', Some((step @ Step::Member(_), rest))) => (b'}', step, rest),
            (b'[', Some((step @ (Step::Element(_) | Step::EveryElement), rest))) => {
                (b']', step, rest)
            }
            _ => return self.skip(),
        };
        self.at += 1;
        let (mut index, mut previous_end, mut is_kept_before) = (0, self.at, false);
        while self.next()? != closing {
            let start = self.at;
            let is_meant = match step {
                Step::Member(name) => self.is_key(name)?,
                Step::Element(wanted) => index == *wanted,
                Step::EveryElement => true,
            };
            self.cut(if is_meant { rest } else { &[] }, cuts)?;
            let (end, mut next_start) = (self.at, self.at);
            if self.next()? == b',' {
                self.at += 1;
                self.next()?;
                next_start = self.at;
            }
            // It goes with the comma before it or, if nothing is kept before it, the one behind it.
            if !is_meant || !rest.is_empty() {
                is_kept_before = true;
            } else if is_kept_before {
                cuts.push(previous_end..end);
            } else {
                cuts.push(start..next_start);
            }
            (index, previous_end) = (index + 1, end);
        }
        self.at += 1;
        Some(())
    }

    /// Moves over a key and its colon, and tells if the key, unescaped, is `name`.
    fn is_key(&mut self, name: &str) -> Option<bool> {
        let literal = self.string()?;
        if self.next()? != b':' {
            return None;
        }
        self.at += 1;
        if memchr::memchr(b'\\', literal).is_some() {
            return Some(serde_json::from_slice::<String>(literal).is_ok_and(|key| key == name));
        }
        Some(literal.get(1..literal.len() - 1) == Some(name.as_bytes()))
    }

    /// Moves over one value. Brackets are counted, not matched, so that depth costs no stack.
    fn skip(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.next()? {
                b'"' => _ = self.string()?,
                byte => {
                    self.at += 1;
                    match byte {
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth = depth.checked_sub(1)?,
                        _ => self.skip_word()?,
                    }
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// Moves to where a number, `true`, `false` or `null` ends.
    fn skip_word(&mut self) -> Option<()> {
        let is_inside = |byte: &&u8| !b" \t\n\r,:\"[]{}".contains(byte);
        self.at += self.text.get(self.at..)?.iter().take_while(is_inside).count();
        Some(())
    }

    /// Moves over a string and gives its literal, quotes included.
    fn string(&mut self) -> Option<&'a [u8]> {
        if self.next()? != b'"' {
            return None;
        }
        let start = self.at;
        self.at += 1;
        loop {
            self.at += memchr::memchr2(b'"', b'\\', self.text.get(self.at..)?)?;
            if self.text.get(self.at) == Some(&b'"') {
                self.at += 1;
                return self.text.get(start..self.at);
            }
            self.at += 2;
        }
    }

    /// Moves over white space and tells the byte behind it.
    fn next(&mut self) -> Option<u8> {
        let behind = self.text.get(self.at..)?.trim_ascii_start();
        self.at = self.text.len() - behind.len();
        behind.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn paths() {
        let member = |name: &str| Step::Member(name.to_owned());
        for (text, expected) in [
            ("a", Some(("a", vec![]))),
            ("a.b", Some(("a", vec![member("b")]))),
            ("x[0].y", Some(("x", vec![Step::Element(0), member("y")]))),
            ("x[*].y-z", Some(("x", vec![Step::EveryElement, member("y-z")]))),
            ("a[*]", Some(("a", vec![Step::EveryElement]))),
            ("a[1][23]", Some(("a", vec![Step::Element(1), Step::Element(23)]))),
            ("a b.c", Some(("a b", vec![member("c")]))),
            ("", None),
            (".", None),
            (".a", None),
            ("a.", None),
            ("a..b", None),
            ("[0]", None),
            ("a[", None),
            ("a]", None),
            ("a[]", None),
            ("a[0", None),
            ("a[0]b", None),
            ("a.[0]", None),
            ("a[-1]", None),
            ("a[+1]", None),
            ("a[b]", None),
            ("a[**]", None),
            ("a[99999999999999999999]", None),
        ] {
            let expected =
                expected.map(|(first, rest)| DropPath { member: first.to_owned(), rest });
            assert_eq!(DropPath::parse(text), expected, "{text}");
        }
        let long = |steps| DropPath::parse(&vec!["a"; steps].join("."));
        assert!(long(STEPS_MAX).is_some() && long(STEPS_MAX + 1).is_none());
    }

    #[test]
    fn members_and_ways_into_them() {
        let path = DropPath::parse("a").unwrap();
        assert_eq!((path.member(), path.is_whole_member()), ("a", true));
        assert_eq!(path.remove_from(b"{}"), None);
        let path = DropPath::parse("a[0]").unwrap();
        assert_eq!((path.member(), path.is_whole_member()), ("a", false));
    }

    /// `path` cuts `expected` out of `json`; an empty text stands for none.
    fn check(path: &str, json: &str, expected: &str) {
        let cut = DropPath::parse(path).unwrap().remove_from(json.as_bytes());
        let cut = cut.map(|cut| String::from_utf8(cut).unwrap()).unwrap_or_default();
        assert_eq!(cut, expected, "{path} of {json}");
    }

    #[test]
    fn commas() {
        for (json, first, second, third, all) in [
            ("[1]", "[]", "", "", "[]"),
            ("[ 1 ]", "[  ]", "", "", "[  ]"),
            ("[1,2]", "[2]", "[1]", "", "[]"),
            ("[1,2,3]", "[2,3]", "[1,3]", "[1,2]", "[]"),
            (" [ 1 , 2 , 3 ] ", " [ 2 , 3 ] ", " [ 1 , 3 ] ", " [ 1 , 2 ] ", " [  ] "),
            (
                "[[1],{\"a\":[]},\"],\"]",
                "[{\"a\":[]},\"],\"]",
                "[[1],\"],\"]",
                "[[1],{\"a\":[]}]",
                "[]",
            ),
            ("[]", "", "", "", ""),
            ("{}", "", "", "", ""),
        ] {
            check("x[0]", json, first);
            check("x[1]", json, second);
            check("x[2]", json, third);
            check("x[*]", json, all);
        }
        for (json, expected) in [
            (r#"{"a":1}"#, "{}"),
            (r#"{"a":1,"b":2}"#, r#"{"b":2}"#),
            (r#"{"b":2,"a":1}"#, r#"{"b":2}"#),
            (r#"{"b":2 , "a" : 1 , "c":3}"#, r#"{"b":2 , "c":3}"#),
            (r#"{"a":1,"a":2}"#, "{}"),
            (r#"{"a":1,"b":2,"a":3,"a":4,"c":5}"#, r#"{"b":2,"c":5}"#),
            ("{\n\t\"a\": [\"}\"],\n\t\"b\": 2\n}", "{\n\t\"b\": 2\n}"),
            (r#"{"\u0061":1,"b":2}"#, r#"{"b":2}"#),
            (r#"{"\ud800":1,"a":2}"#, r#"{"\ud800":1}"#),
            (r#"{"b":{"a":1}}"#, ""),
            (r#"{"b":"a"}"#, ""),
            (r#"["a"]"#, ""),
            (r#""a""#, ""),
            ("1", ""),
            ("null", ""),
        ] {
            check("x.a", json, expected);
        }
    }

    #[test]
    fn deep_paths_keep_all_other_bytes() {
        for (path, json, expected) in [
            ("x[0].y", r#"[{"y":1},{"y":2}]"#, r#"[{},{"y":2}]"#),
            ("x[2].y", r#"[{"y":1},{"y":2}]"#, ""),
            ("x[*].y", r#"[{"y":1},{"z":2},3,{"a":0,"y":4}]"#, r#"[{},{"z":2},3,{"a":0}]"#),
            ("x.y.z", r#"{"y":{"z":1},"y":{"z":2,"w":3}}"#, r#"{"y":{},"y":{"w":3}}"#),
            ("x.y", r#"{"n":1.50e+03,"y":[[]],"\u00e9":"\/"}"#, r#"{"n":1.50e+03,"\u00e9":"\/"}"#),
            ("x[*][1]", "[[1,2],[3],[4,5,6]]", "[[1],[3],[4,6]]"),
            ("x[*][*]", "[[1,2],[ ],[3]]", "[[],[ ],[]]"),
            ("x.é", r#"{"\u00E9":1,"é":2,"e":3}"#, r#"{"e":3}"#),
        ] {
            check(path, json, expected);
        }
    }

    #[test]
    fn what_is_no_json_has_nothing_to_cut() {
        for json in [
            "",
            " ",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[1 2]",
            "[1}",
            "[1],",
            "[1]]",
            "[,1]",
            "[tru]",
            "[\"",
            "[\"\\\"]",
            "[\"\\x\"]",
            "[\"\n\"]",
            "]",
            "[:]",
            "[01]",
            "[1]x",
        ] {
            check("x[0]", json, "");
            check("x[*]", json, "");
        }
        for json in
            ["{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,}", "{\"a\" 1}", "{a:1}", "{\"a\":1]"]
        {
            check("x.a", json, "");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("[{}{},2]", "[".repeat(100_000), "]".repeat(100_000));
        check("x[0]", &deep, "[2]");
        check("x[1]", &"[".repeat(100_000), "");
    }

    /// The same as [`DropPath::remove_from`], on a tree.
    fn remove(value: &mut Value, steps: &[Step]) {
        let Some((step, rest)) = steps.split_first() else { return };
        match (step, value) {
            (Step::Member(name), Value::Object(members)) if rest.is_empty() => {
                members.remove(name);
            }
            (Step::Element(index), Value::Array(items)) if rest.is_empty() => {
                items.splice((*index).min(items.len())..(index + 1).min(items.len()), []);
            }
            (Step::EveryElement, Value::Array(items)) if rest.is_empty() => items.clear(),
            (Step::Member(name), Value::Object(members)) => {
                members.get_mut(name).into_iter().for_each(|value| remove(value, rest));
            }
            (Step::Element(index), Value::Array(items)) => {
                items.get_mut(*index).into_iter().for_each(|value| remove(value, rest));
            }
            (Step::EveryElement, Value::Array(items)) => {
                items.iter_mut().for_each(|value| remove(value, rest));
            }
            _ => {}
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            "[a\\\\\",:{}\\[\\]é]{0,5}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 48, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ab\"\n]", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn path() -> impl Strategy<Value = DropPath> {
        let text = r#"x(\.[ab"]|\[[012*]\]){1,3}"#;
        text.prop_map(|text| DropPath::parse(&text).unwrap())
    }

    proptest! {
        #[test]
        fn cutting_equals_removing(value in values(), path in path()) {
            let mut expected = value.clone();
            remove(&mut expected, &path.rest);
            for json in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                match path.remove_from(json.as_bytes()) {
                    None => prop_assert_eq!(&expected, &value),
                    Some(cut) => {
                        prop_assert_ne!(&expected, &value);
                        prop_assert_eq!(&expected, &serde_json::from_slice::<Value>(&cut).unwrap());
                    }
                }
            }
        }

        #[test]
        fn other_text_never_panics(text in r#"[\[{]([ab1,:\[\]{} ]|"a"|\\){0,12}"#, path in path()) {
            if let Some(cut) = path.remove_from(text.as_bytes()) {
                prop_assert!(serde_json::from_slice::<Value>(&cut).is_ok(), "{text}");
            }
        }

        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..60), path in path()) {
            let _ = path.remove_from(&bytes);
        }
    }
}
