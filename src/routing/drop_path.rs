//! Paths of `drop_params`: `a`, `a.b`, `messages[0].name`, `tools[*].function.strict`.
//!
//! The named values are cut out of the JSON text in one pass; all other bytes are kept: order,
//! numbers, white space and escapes. All paths refer to the original body.

use std::sync::Arc;

use serde::de::IgnoredAny;

use super::path_set::{Bits, PathSet, PathStep, STEPS_MAX};

/// One path as written. Matches all members of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DropPath(Vec<PathStep>);

impl DropPath {
    /// Parses a path that begins with a name and has at most 16 steps. Names are any text without
    /// `.`, `[` and `]`; there are no escapes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (member, mut left) = name(text)?;
        let mut steps = vec![PathStep::Member(member.to_owned())];
        while !left.is_empty() {
            let step;
            (step, left) = parse_step(left)?;
            steps.push(step);
            if steps.len() > STEPS_MAX {
                return None;
            }
        }
        Some(Self(steps))
    }

    /// The steps from the outermost member inwards; never empty.
    pub(super) fn steps(&self) -> &[PathStep] {
        &self.0
    }
}

/// The values that one target removes from a request body: a subset of the paths of its route,
/// which all its targets share.
#[derive(Clone, Debug, Default)]
pub struct DropParams {
    pub(super) paths: Arc<PathSet>,
    pub(super) chosen: Bits,
}

impl DropParams {
    /// True if nothing is removed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chosen == 0
    }

    /// The members of the body that are removed whole or in part.
    pub fn members(&self) -> impl Iterator<Item = DropMember<'_>> {
        let members = self.paths.members(self.chosen);
        members.map(|(name, chosen)| DropMember { name, paths: &self.paths, chosen })
    }
}

/// The part of one member that is removed.
#[derive(Clone, Copy, Debug)]
pub struct DropMember<'d> {
    /// Its name.
    pub name: &'d str,
    paths: &'d PathSet,
    chosen: Bits,
}

impl DropMember<'_> {
    /// True if the whole member is removed.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.paths.is_whole_member(self.chosen)
    }

    /// The value of the member, given as JSON text, without the named values. `None` if it contains
    /// none of them, is not JSON, or the whole member is removed. Takes one pass over the text.
    #[must_use]
    pub fn remove_from(&self, json: &[u8]) -> Option<Vec<u8>> {
        if self.is_whole() {
            return None;
        }
        let cuts = self.paths.cuts(json, self.chosen);
        if cuts.is_empty() {
            return None;
        }
        // The cuts assume valid JSON and would be wrong otherwise.
        serde_json::from_slice::<IgnoredAny>(json).ok()?;
        let mut out = Vec::with_capacity(json.len());
        let mut copied = 0;
        for cut in cuts {
            out.extend_from_slice(json.get(copied..cut.start)?);
            copied = cut.end;
        }
        out.extend_from_slice(json.get(copied..)?);
        Some(out)
    }
}

/// The first step of `text`, and the rest.
fn parse_step(text: &str) -> Option<(PathStep, &str)> {
    if let Some(text) = text.strip_prefix('.') {
        let (name, behind) = name(text)?;
        return Some((PathStep::Member(name.to_owned()), behind));
    }
    let (index, behind) = text.strip_prefix('[')?.split_once(']')?;
    if index == "*" {
        return Some((PathStep::EveryElement, behind));
    }
    // `parse` would accept a sign.
    let is_number = index.bytes().all(|byte| byte.is_ascii_digit());
    Some((PathStep::Element(index.parse().ok().filter(|_| is_number)?), behind))
}

/// The name at the start of `text`, and the rest.
fn name(text: &str) -> Option<(&str, &str)> {
    let end = text.find(['.', '[', ']']).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(name, _)| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn paths_are_parsed() {
        let member = |name: &str| PathStep::Member(name.to_owned());
        for (text, expected) in [
            ("a", Some(("a", vec![]))),
            ("a.b", Some(("a", vec![member("b")]))),
            ("x[0].y", Some(("x", vec![PathStep::Element(0), member("y")]))),
            ("x[*].y-z", Some(("x", vec![PathStep::EveryElement, member("y-z")]))),
            ("a[*]", Some(("a", vec![PathStep::EveryElement]))),
            ("a[1][23]", Some(("a", vec![PathStep::Element(1), PathStep::Element(23)]))),
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
            let expected = expected.map(|(first, mut rest)| {
                rest.insert(0, member(first));
                DropPath(rest)
            });
            assert_eq!(DropPath::parse(text), expected, "{text}");
        }
        let long = |steps| DropPath::parse(&vec!["a"; steps].join("."));
        assert!(long(STEPS_MAX).is_some() && long(STEPS_MAX + 1).is_none());
    }

    fn drops(paths: &[DropPath]) -> DropParams {
        let paths = Arc::new(PathSet::new(paths.iter().map(DropPath::steps)));
        DropParams { paths, chosen: Bits::MAX }
    }

    /// The value of the member `x` without what `paths` name in it.
    fn remove_from(paths: &[DropPath], json: &[u8]) -> Option<Vec<u8>> {
        drops(paths).members().find(|member| member.name == "x")?.remove_from(json)
    }

    #[test]
    fn members_and_nested_values_are_removed() {
        let paths = ["a", "a.b", "c[0]", "c[0]"].map(|text| DropPath::parse(text).unwrap());
        let mut drops = drops(&paths);
        let members: Vec<_> = drops.members().map(|it| (it.name, it.is_whole())).collect();
        assert_eq!(members, [("a", true), ("c", false)]);
        assert!(drops.members().all(|it| it.name != "a" || it.remove_from(b"{}").is_none()));
        drops.chosen = 0b110;
        let members: Vec<_> = drops.members().map(|it| (it.name, it.is_whole())).collect();
        assert_eq!(members, [("a", false), ("c", false)]);
        drops.chosen = 0;
        assert!(drops.is_empty() && drops.members().next().is_none());
    }

    /// `path` cuts `expected` out of `json`; an empty text means no match.
    fn check(path: &str, json: &str, expected: &str) {
        check_all(&[path], json, expected);
    }

    fn check_all(paths: &[&str], json: &str, expected: &str) {
        let parsed: Vec<DropPath> = paths.iter().map(|it| DropPath::parse(it).unwrap()).collect();
        let cut = remove_from(&parsed, json.as_bytes());
        let cut = cut.map(|cut| String::from_utf8(cut).unwrap()).unwrap_or_default();
        assert_eq!(cut, expected, "{paths:?} of {json}");
    }

    #[test]
    fn all_paths_refer_to_original_body() {
        for (paths, json, expected) in [
            (&["x[0]", "x[1]"][..], "[1,2,3]", "[3]"),
            (&["x[0]", "x[0]"], "[1,2,3]", "[2,3]"),
            (&["x[*].a", "x[1]"], r#"[{"a":1},{"a":2},{"a":3}]"#, "[{},{}]"),
            (&["x.a.b", "x.a"], r#"{"a":{"b":1},"c":2}"#, r#"{"c":2}"#),
            (&["x.a.b", "x.a.c", "x.d"], r#"{"a":{"b":1,"c":2,"e":3},"d":4}"#, r#"{"a":{"e":3}}"#),
            (&["x[0][*]", "x[*][1]"], "[[1,2],[3,4]]", "[[],[3]]"),
            (&["y", "x[2]"], "[1,2,3]", "[1,2]"),
        ] {
            check_all(paths, json, expected);
        }
    }

    #[test]
    fn commas_are_removed_with_values() {
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
    fn invalid_json_is_not_changed() {
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
    fn depth_uses_no_stack() {
        let deep = format!("[{}{},2]", "[".repeat(100_000), "]".repeat(100_000));
        check("x[0]", &deep, "[2]");
        check("x[1]", &"[".repeat(100_000), "");
    }

    /// [`DropMember::remove_from`] for one path, implemented on a tree.
    fn remove(value: &mut Value, steps: &[PathStep]) {
        let Some((step, rest)) = steps.split_first() else { return };
        match (step, value) {
            (PathStep::Member(name), Value::Object(members)) if rest.is_empty() => {
                members.remove(name);
            }
            (PathStep::Element(index), Value::Array(items)) if rest.is_empty() => {
                items.splice((*index).min(items.len())..(index + 1).min(items.len()), []);
            }
            (PathStep::EveryElement, Value::Array(items)) if rest.is_empty() => items.clear(),
            (PathStep::Member(name), Value::Object(members)) => {
                members.get_mut(name).into_iter().for_each(|value| remove(value, rest));
            }
            (PathStep::Element(index), Value::Array(items)) => {
                items.get_mut(*index).into_iter().for_each(|value| remove(value, rest));
            }
            (PathStep::EveryElement, Value::Array(items)) => {
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
            remove(&mut expected, &path.steps()[1..]);
            for json in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                match remove_from(std::slice::from_ref(&path), json.as_bytes()) {
                    None => prop_assert_eq!(&expected, &value),
                    Some(cut) => {
                        prop_assert_ne!(&expected, &value);
                        prop_assert_eq!(&expected, &serde_json::from_slice::<Value>(&cut).unwrap());
                    }
                }
            }
        }

        #[test]
        fn arbitrary_text_never_panics(text in r#"[\[{]([ab1,:\[\]{} ]|"a"|\\){0,12}"#, path in path()) {
            if let Some(cut) = remove_from(&[path], text.as_bytes()) {
                prop_assert!(serde_json::from_slice::<Value>(&cut).is_ok(), "{text}");
            }
        }

        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..60), path in path()) {
            let _ = remove_from(&[path], &bytes);
        }
    }
}
