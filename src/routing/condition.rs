//! Conditions of a conditional route, tested on a request's attributes.
//!
//! A condition is written as a Portkey query, `{"metadata.plan": {"$in": ["pro", "team"]}}`, and
//! compiled when it is read. Semantics are Portkey's (a field missing from the request fails every
//! test except `$ne` and `$nin`), except that
//! - a text of the request equals the number or bool that it spells.
//!
//! Patterns use the crate `regex`, whose time is linear in the text, so look-around and
//! back-references are not supported; nor is `$length`, since no field is a list.
//!
//! Parsing and testing are bounded, since a config may come in a request header. So is memory: the
//! engine's caches may be many times the size of its pattern, so patterns from a header keep none.

use std::cmp::Ordering;

use regex_automata::Input;
use regex_automata::meta::Regex;
use regex_automata::nfa::thompson::WhichCaptures;
use serde_json::Value;

use super::field::{Attributes, FIELD_RULE, Field};
use super::limits::LimitUsage;
use crate::base::{Diagnostics, did_you_mean, member_path};

/// Nesting depth of queries.
const DEPTH_MAX: usize = 16;

/// Operators in a query, including bare values.
const TESTS_MAX: usize = 256;

/// Values in one `$in` or `$nin`.
const VALUES_MAX: usize = 1024;

/// `$regex` in a query: compiling takes up to 0.7 ms (2 vCPU, release build, an alternation of 200
/// names).
const PATTERNS_MAX: usize = 16;

/// Size of a compiled pattern, in bytes. Allows `^.{1,100}$` and an alternation of two hundred
/// names.
const PATTERN_BYTES_MAX: usize = 128 * 1024;

/// Size of the engine's state cache, in bytes, for each pattern and thread. The worst pattern of
/// [`PATTERN_BYTES_MAX`], `(a|b)*a(a|b){500}c`, takes 6 µs per byte of text (same machine).
const ENGINE_CACHE_BYTES_MAX: usize = 128 * 1024;

const OPERATORS: [&str; 9] = ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$regex"];

/// A checked query.
#[derive(Clone, Debug)]
pub struct Condition(ConditionRule);

impl Condition {
    /// Compiles a query; `None` after a problem.
    pub(super) fn read(
        query: &Value,
        path: &str,
        usage: &LimitUsage,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let (tests, patterns, has_problem) = (0, 0, false);
        let mut reader =
            ConditionReader { root: path, usage, diagnostics, tests, patterns, has_problem };
        let rule = reader.query(query, path, 1)?;
        (!reader.has_problem).then_some(Self(rule))
    }

    /// The fields that it reads.
    pub(super) fn fields(&self) -> Vec<&Field> {
        self.0.fields()
    }

    /// True if the request with these attributes meets the condition.
    #[must_use]
    pub fn holds(&self, attributes: &dyn Attributes) -> bool {
        self.0.holds(attributes)
    }
}

#[derive(Clone, Debug)]
enum ConditionRule {
    All(Vec<ConditionRule>),
    Any(Vec<ConditionRule>),
    Field { field: Field, tests: Vec<ConditionTest> },
}

impl ConditionRule {
    fn fields(&self) -> Vec<&Field> {
        match self {
            Self::All(rules) | Self::Any(rules) => rules.iter().flat_map(Self::fields).collect(),
            Self::Field { field, .. } => vec![field],
        }
    }

    fn holds(&self, attributes: &dyn Attributes) -> bool {
        match self {
            Self::All(rules) => rules.iter().all(|rule| rule.holds(attributes)),
            Self::Any(rules) => rules.iter().any(|rule| rule.holds(attributes)),
            Self::Field { field, tests } => match attributes.value(field).and_then(Primitive::of) {
                Some(value) => tests.iter().all(|test| test.holds(&value)),
                // A missing field is not equal to any value.
                None => tests.iter().all(|test| matches!(test, ConditionTest::NoneOf(_))),
            },
        }
    }
}

#[derive(Clone, Debug)]
enum ConditionTest {
    /// `$eq` has one value.
    OneOf(Vec<Primitive>),
    /// `$ne` has one value.
    NoneOf(Vec<Primitive>),
    /// Accepted orderings of the request's number relative to this one.
    Compare(&'static [Ordering], f64),
    Matches(ConditionPattern),
}

/// A compiled pattern.
#[derive(Clone, Debug)]
struct ConditionPattern {
    engine: Regex,
    /// Longest text that it is tested on, in bytes; a longer one does not match.
    matched_bytes_max: usize,
    /// False: the engine's cache is released after each text.
    keeps_cache: bool,
}

impl ConditionPattern {
    fn is_match(&self, text: &str) -> bool {
        if text.len() > self.matched_bytes_max {
            return false;
        }
        if self.keeps_cache {
            return self.engine.is_match(text);
        }
        let input = Input::new(text).earliest(true);
        self.engine.search_half_with(&mut self.engine.create_cache(), &input).is_some()
    }
}

impl ConditionTest {
    fn holds(&self, value: &Primitive) -> bool {
        match self {
            Self::OneOf(list) => list.iter().any(|item| value.equals(item)),
            Self::NoneOf(list) => !list.iter().any(|item| value.equals(item)),
            Self::Compare(allowed, bound) => {
                value.number().partial_cmp(bound).is_some_and(|found| allowed.contains(&found))
            }
            Self::Matches(pattern) => pattern.is_match(&value.text),
        }
    }
}

/// A text, number or bool, and the text that spells it.
#[derive(Clone, Debug)]
struct Primitive {
    kind: PrimitiveKind,
    text: String,
}

#[derive(Clone, Copy, Debug)]
enum PrimitiveKind {
    Text,
    Number(f64),
    Bool,
}

impl Primitive {
    fn of(value: Value) -> Option<Self> {
        let (kind, text) = match value {
            Value::String(text) => (PrimitiveKind::Text, text),
            Value::Bool(bool) => (PrimitiveKind::Bool, bool.to_string()),
            Value::Number(number) => {
                let value = number.as_f64()?;
                // A float without a fraction is spelled without `.0`, as in JavaScript.
                let text = if number.is_f64() { value.to_string() } else { number.to_string() };
                (PrimitiveKind::Number(value), text)
            }
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        Some(Self { kind, text })
    }

    /// Equality of JSON values, numbers as f64. Additionally, a text of the request equals the
    /// number or bool that it spells, since metadata and headers contain only text.
    fn equals(&self, expected: &Self) -> bool {
        match (self.kind, expected.kind) {
            (PrimitiveKind::Number(value), PrimitiveKind::Number(expected)) => value == expected,
            (PrimitiveKind::Text, _) | (PrimitiveKind::Bool, PrimitiveKind::Bool) => {
                self.text == expected.text
            }
            (PrimitiveKind::Number(_) | PrimitiveKind::Bool, _) => false,
        }
    }

    fn number(&self) -> f64 {
        match self.kind {
            PrimitiveKind::Text => parse_float(&self.text),
            PrimitiveKind::Number(value) => value,
            PrimitiveKind::Bool => f64::NAN,
        }
    }
}

/// Compiles a query, and continues after a diagnostic to find the others.
struct ConditionReader<'a> {
    root: &'a str,
    usage: &'a LimitUsage,
    diagnostics: &'a mut Diagnostics,
    tests: usize,
    patterns: usize,
    has_problem: bool,
}

impl ConditionReader<'_> {
    fn query(&mut self, query: &Value, path: &str, depth: usize) -> Option<ConditionRule> {
        if depth > DEPTH_MAX {
            let message =
                format!("expected at most {DEPTH_MAX} queries inside each other, got more");
            return self.refuse(path, message, "");
        }
        let Some(members) = query.as_object().filter(|members| !members.is_empty()) else {
            let message = format!("expected a table of tests, got {}", name_of(query));
            return self.refuse(path, message, "the target for all other requests is `default`");
        };
        let rules = members.iter().filter_map(|(name, value)| {
            if self.diagnostics.is_full() {
                self.has_problem = true;
                return None;
            }
            let path = member_path(path, name);
            match name.as_str() {
                "$and" => Some(ConditionRule::All(self.queries(value, &path, depth)?)),
                "$or" => Some(ConditionRule::Any(self.queries(value, &path, depth)?)),
                _ => self.field(name, value, &path),
            }
        });
        Some(ConditionRule::All(rules.collect()))
    }

    fn queries(&mut self, value: &Value, path: &str, depth: usize) -> Option<Vec<ConditionRule>> {
        let Some(list) = value.as_array().filter(|list| !list.is_empty()) else {
            let message = format!("expected a list of queries, got {}", name_of(value));
            return self.refuse(path, message, "");
        };
        let rules = list.iter().enumerate().filter_map(|(index, query)| {
            if self.diagnostics.is_full() {
                self.has_problem = true;
                return None;
            }
            self.query(query, &format!("{path}[{index}]"), depth + 1)
        });
        Some(rules.collect())
    }

    fn field(&mut self, name: &str, value: &Value, path: &str) -> Option<ConditionRule> {
        let Some(field) = Field::parse(name) else {
            let quoted = self.diagnostics.quote(path, name);
            let message = format!("expected a field, `$and` or `$or`, got {quoted}");
            return self.refuse(path, message, format!("a field is {FIELD_RULE}"));
        };
        let tests = match value {
            Value::Object(operators) if operators.is_empty() => {
                let message = "expected a value or operators, got an empty table";
                return self.refuse(path, message, "");
            }
            Value::Object(operators) => {
                let tests = operators.iter().filter_map(|(operator, operand)| {
                    self.test(operator, operand, &member_path(path, operator))
                });
                tests.collect()
            }
            bare => vec![self.test("$eq", bare, path)?],
        };
        Some(ConditionRule::Field { field, tests })
    }

    fn test(&mut self, operator: &str, operand: &Value, path: &str) -> Option<ConditionTest> {
        self.tests += 1;
        if self.tests > TESTS_MAX {
            let message = format!("expected at most {TESTS_MAX} tests, got more");
            return self.refuse(self.root, message, "");
        }
        if !self.usage.add_test(self.root, self.diagnostics) {
            self.has_problem = true;
            return None;
        }
        match operator {
            "$eq" => Some(ConditionTest::OneOf(vec![self.primitive(operand, path)?])),
            "$ne" => Some(ConditionTest::NoneOf(vec![self.primitive(operand, path)?])),
            "$gt" => self.compare(&[Ordering::Greater], operand, path),
            "$gte" => self.compare(&[Ordering::Greater, Ordering::Equal], operand, path),
            "$lt" => self.compare(&[Ordering::Less], operand, path),
            "$lte" => self.compare(&[Ordering::Less, Ordering::Equal], operand, path),
            "$in" => Some(ConditionTest::OneOf(self.primitives(operand, path)?)),
            "$nin" => Some(ConditionTest::NoneOf(self.primitives(operand, path)?)),
            "$regex" => self.pattern(operand, path),
            _ => {
                let known = OPERATORS.map(|known| format!("`{known}`")).join(", ");
                let quoted = self.diagnostics.quote(path, operator);
                let message = format!("expected one of {known}, got {quoted}");
                self.refuse(path, message, did_you_mean(operator, OPERATORS))
            }
        }
    }

    fn primitive(&mut self, operand: &Value, path: &str) -> Option<Primitive> {
        let primitive = Primitive::of(operand.clone());
        if primitive.is_none() {
            let got = name_of(operand);
            let message = format!("expected a text, a number, true or false, got {got}");
            let hint = if operand.is_array() { "`$in` and `$nin` take lists" } else { "" };
            self.refuse::<()>(path, message, hint);
        }
        primitive
    }

    fn primitives(&mut self, operand: &Value, path: &str) -> Option<Vec<Primitive>> {
        let Some(list) = operand.as_array() else {
            let message = format!("expected a list of values, got {}", name_of(operand));
            return self.refuse(path, message, "");
        };
        if list.len() > VALUES_MAX {
            let message = format!("expected at most {VALUES_MAX} values, got {}", list.len());
            return self.refuse(path, message, "");
        }
        let values = list
            .iter()
            .enumerate()
            .filter_map(|(index, item)| self.primitive(item, &format!("{path}[{index}]")));
        Some(values.collect())
    }

    fn compare(
        &mut self,
        allowed: &'static [Ordering],
        operand: &Value,
        path: &str,
    ) -> Option<ConditionTest> {
        let bound = Primitive::of(operand.clone()).map_or(f64::NAN, |bound| bound.number());
        if bound.is_nan() {
            let message = format!("expected a number, got {}", name_of(operand));
            return self.refuse(path, message, "");
        }
        Some(ConditionTest::Compare(allowed, bound))
    }

    fn pattern(&mut self, operand: &Value, path: &str) -> Option<ConditionTest> {
        let Some(pattern) = operand.as_str() else {
            let message = format!("expected a regular expression, got {}", name_of(operand));
            return self.refuse(path, message, "");
        };
        self.patterns += 1;
        if self.patterns > PATTERNS_MAX {
            let message = format!("expected at most {PATTERNS_MAX} `$regex`, got more");
            return self.refuse(self.root, message, "join patterns by `|`");
        }
        let limits = self.usage.limits;
        let Some(left) = self.usage.pattern_bytes_left() else {
            let most = limits.patterns.unwrap_or(PATTERNS_MAX);
            let message = format!("expected at most {most} `$regex` in all conditions, got more");
            return self.refuse(self.root, message, "join patterns by `|`");
        };
        let config = Regex::config()
            .nfa_size_limit(Some(left.min(PATTERN_BYTES_MAX)))
            .hybrid_cache_capacity(ENGINE_CACHE_BYTES_MAX)
            .which_captures(WhichCaptures::Implicit);
        // The error text quotes the pattern, so it is not shown.
        match Regex::builder().configure(config).build(&with_ascii_classes(pattern)) {
            Ok(engine) => {
                self.usage.add_pattern(engine.memory_usage());
                let keeps_cache = limits.pattern_bytes.is_none();
                let matched_bytes_max = limits.matched_bytes;
                Some(ConditionTest::Matches(ConditionPattern {
                    engine,
                    matched_bytes_max,
                    keeps_cache,
                }))
            }
            Err(error) if error.size_limit().is_some() => {
                let message = "expected a shorter regular expression";
                self.refuse(path, message, "repeat less, or name fewer alternatives")
            }
            Err(_) => {
                let hint = "look-around and back-references are not supported";
                self.refuse(path, "expected a regular expression, got another text", hint)
            }
        }
    }

    fn refuse<T>(
        &mut self,
        path: &str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Option<T> {
        self.has_problem = true;
        self.diagnostics.add(path, message, hint);
        None
    }
}

/// The pattern with JavaScript's `\d` and `\w` written out. In `regex` they cover all of Unicode,
/// which has another meaning and makes `^[\w.-]{1,64}$` too large to compile. (`\s` means the same
/// in both; `\b` differs next to letters outside ASCII, and is not changed.)
fn with_ascii_classes(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        match (char, if char == '\\' { chars.next() } else { None }) {
            (_, Some('d')) => out.push_str("[0-9]"),
            (_, Some('D')) => out.push_str("[^0-9]"),
            (_, Some('w')) => out.push_str("[0-9A-Za-z_]"),
            (_, Some('W')) => out.push_str("[^0-9A-Za-z_]"),
            (char, escaped) => out.extend([Some(char), escaped].into_iter().flatten()),
        }
    }
    out
}

/// The number at the start of `text`, NaN if there is none: JavaScript's `parseFloat`.
fn parse_float(text: &str) -> f64 {
    let text = text.trim_start();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.starts_with("Infinity") {
        return if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let without_digits = |text| str::trim_start_matches(text, |char: char| char.is_ascii_digit());
    let mut rest: &str = without_digits(unsigned);
    rest = rest.strip_prefix('.').map_or(rest, without_digits);
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let behind = without_digits(digits);
        // Without digits, the letter is not part of the number.
        rest = if behind.len() < digits.len() { behind } else { rest };
    }
    let number = text.get(..text.len() - rest.len()).unwrap_or_default();
    number.parse().unwrap_or(f64::NAN)
}

/// The type of a value, for messages.
fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(list) if list.is_empty() => "an empty list",
        Value::Array(_) => "a list",
        Value::Object(members) if members.is_empty() => "an empty table",
        Value::Object(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits;
    use super::super::target::Target;
    use serde_json::json;

    use super::*;

    /// A request with the given fields.
    struct TestRequest(Vec<(Field, Value)>);

    impl TestRequest {
        fn new(fields: &Value) -> Self {
            let fields = fields.as_object().unwrap().iter();
            Self(fields.map(|(name, value)| (Field::parse(name).unwrap(), value.clone())).collect())
        }
    }

    impl Attributes for TestRequest {
        fn value(&self, field: &Field) -> Option<Value> {
            Some(self.0.iter().find(|(name, _)| name == field)?.1.clone())
        }

        fn is_able(&self, _: &Target) -> bool {
            true
        }

        fn price(&self, _: &Target) -> Option<u64> {
            None
        }
    }

    fn holds(query: &Value, attributes: &dyn Attributes) -> bool {
        let mut diagnostics = Diagnostics::default();
        let usage = LimitUsage::new(&limits::SETTINGS);
        let condition = Condition::read(query, "query", &usage, &mut diagnostics);
        condition.unwrap_or_else(|| panic!("{query}: {diagnostics:?}")).holds(attributes)
    }

    /// The diagnostics of a query, each as its path and message.
    fn refusals(query: &Value) -> Vec<(String, String)> {
        let mut diagnostics = Diagnostics::bounded(8);
        let usage = LimitUsage::new(&limits::SETTINGS);
        assert!(Condition::read(query, "query", &usage, &mut diagnostics).is_none(), "{query}");
        diagnostics
            .into_vec()
            .into_iter()
            .map(|diagnostic| (diagnostic.path, diagnostic.message))
            .collect()
    }

    #[test]
    fn operators_compare_values() {
        for (value, test, expected) in [
            (json!("pro"), json!("pro"), true),
            (json!("pro"), json!("Pro"), false),
            (json!("pro"), json!({"$eq": "pro"}), true),
            (json!("5"), json!(5), true),
            (json!("5"), json!(5.0), true),
            (json!("5.0"), json!(5), false),
            (json!("1.10"), json!(1.1), false),
            (json!("18446744073709551615"), json!(u64::MAX), true),
            (json!(5), json!("5"), false),
            (json!(5), json!(5.0), true),
            (json!("true"), json!(true), true),
            (json!("1"), json!(true), false),
            (json!(true), json!(true), true),
            (json!(true), json!(false), false),
            (json!(true), json!("true"), false),
            (json!("pro"), json!({"$ne": "free"}), true),
            (json!("pro"), json!({"$ne": "pro"}), false),
            (json!("5"), json!({"$ne": 5}), false),
            (json!(5), json!({"$gt": 4}), true),
            (json!(5), json!({"$gt": 5}), false),
            (json!(5), json!({"$gte": 5}), true),
            (json!(5), json!({"$gte": 5.5}), false),
            (json!(5), json!({"$lt": 5}), false),
            (json!(5), json!({"$lt": "5.5"}), true),
            (json!(5), json!({"$lte": 5}), true),
            (json!("12abc"), json!({"$gt": 11}), true),
            (json!("abc"), json!({"$gt": 0}), false),
            (json!("abc"), json!({"$lte": 0}), false),
            (json!(true), json!({"$gte": 0}), false),
            (json!("b"), json!({"$in": ["a", "b"]}), true),
            (json!("c"), json!({"$in": ["a", "b"]}), false),
            (json!("7"), json!({"$in": [6, 7]}), true),
            (json!("a"), json!({"$in": []}), false),
            (json!("c"), json!({"$nin": ["a", "b"]}), true),
            (json!("b"), json!({"$nin": ["a", "b"]}), false),
            (json!("a"), json!({"$nin": []}), true),
            (json!("gpt-4o-mini"), json!({"$regex": "4o"}), true),
            (json!("gpt-4o-mini"), json!({"$regex": "^4o"}), false),
            (json!("gpt-4o-mini"), json!({"$regex": "4O"}), false),
            (json!("GPT"), json!({"$regex": "(?i)^gpt$"}), true),
            (json!(404), json!({"$regex": r"^4\d\d$"}), true),
            (json!("a_1.b-2"), json!({"$regex": r"^[\w.-]{1,64}$"}), true),
            (json!("é٣"), json!({"$regex": r"\w|\d"}), false),
            (json!("é"), json!({"$regex": r"^\W\D?$"}), true),
            (json!(r"\d"), json!({"$regex": r"^\\d$"}), true),
            (json!("a/b\u{a0}c"), json!({"$regex": r"^a\/b\sc$"}), true),
            (json!("5"), json!({"$gt": 1, "$lt": 9}), true),
            (json!("5"), json!({"$gt": 1, "$lt": 5}), false),
            (json!("abc"), json!({"$regex": "b", "$ne": "abc"}), false),
            (json!(null), json!({"$ne": "a"}), true),
            (json!(["a"]), json!({"$nin": ["b"]}), true),
        ] {
            let attributes = TestRequest::new(&json!({"metadata.x": value}));
            assert_eq!(
                holds(&json!({"metadata.x": test}), &attributes),
                expected,
                "{value} {test}"
            );
        }
    }

    #[test]
    fn queries_combine_members_and_lists() {
        let attributes = TestRequest::new(&json!({
            "metadata.plan": "pro", "params.n": 2, "params.response_format.type": "json_object",
            "url.pathname": "/v1/messages", "headers.x-team": "blue", "model": "gpt-4o",
            "key.name": "web", "key.metadata.tier": "gold", "tokens.estimate": 900,
        }));
        for (query, expected) in [
            (json!({"metadata.plan": "pro", "params.n": 2}), true),
            (json!({"metadata.plan": "pro", "params.n": 3}), false),
            (json!({"headers.X-Team": "blue", "key.metadata.tier": "gold"}), true),
            (json!({"tokens.estimate": {"$gte": 900}, "url.pathname": "/v1/messages"}), true),
            (json!({"$and": [{"model": "gpt-4o"}, {"key.name": "web"}]}), true),
            (json!({"$and": [{"model": "gpt-4o"}, {"key.name": "app"}]}), false),
            (json!({"$or": [{"model": "x"}, {"key.name": "web"}]}), true),
            (json!({"$or": [{"model": "x"}, {"key.name": "app"}]}), false),
            (json!({"$or": [{"key.name": "web"}], "model": "x"}), false),
            (json!({"$or": [{"key.name": "x"}], "$and": [{"model": "gpt-4o"}]}), false),
            (json!({"$and": [{"$or": [{"params.n": 1}, {"params.n": 2}]}]}), true),
            (json!({"params.response_format.type": "json_object"}), true),
            (json!({"metadata.none": {"$ne": "x"}}), true),
            (json!({"metadata.none": {"$nin": ["x"]}}), true),
            (json!({"metadata.none": {"$lt": 1}}), false),
            (json!({"$or": [{"metadata.none": {"$regex": ""}}, {"params.n": 2}]}), true),
        ] {
            assert_eq!(holds(&query, &attributes), expected, "{query}");
        }
    }

    #[test]
    fn invalid_queries_are_rejected() {
        for (query, path, message) in [
            (json!({}), "", "expected a table of tests, got an empty table"),
            (json!([]), "", "expected a table of tests, got an empty list"),
            (json!("x"), "", "expected a table of tests, got a text"),
            (json!({"plan": 1}), ".plan", "expected a field, `$and` or `$or`, got `plan`"),
            (json!({"$nor": []}), ".\"$nor\"", "expected a field, `$and` or `$or`, got `$nor`"),
            (json!({"$or": []}), ".\"$or\"", "expected a list of queries, got an empty list"),
            (json!({"$and": {}}), ".\"$and\"", "expected a list of queries, got an empty table"),
            (json!({"$or": [{}]}), ".\"$or\"[0]", "expected a table of tests, got an empty table"),
            (json!({"model": {}}), ".model", "expected a value or operators, got an empty table"),
            (
                json!({"model": ["a"]}),
                ".model",
                "expected a text, a number, true or false, got a list",
            ),
            (
                json!({"model": null}),
                ".model",
                "expected a text, a number, true or false, got null",
            ),
            (
                json!({"metadata.plan": {"$gtt": 1}}),
                ".\"metadata.plan\".\"$gtt\"",
                "expected one of `$eq`, `$ne`, `$gt`, `$gte`, `$lt`, `$lte`, `$in`, `$nin`, \
                 `$regex`, got `$gtt`",
            ),
            (json!({"model": {"$gt": "many"}}), ".model.\"$gt\"", "expected a number, got a text"),
            (
                json!({"model": {"$lt": true}}),
                ".model.\"$lt\"",
                "expected a number, got true or false",
            ),
            (
                json!({"model": {"$in": "a"}}),
                ".model.\"$in\"",
                "expected a list of values, got a text",
            ),
            (
                json!({"model": {"$nin": ["a", {}]}}),
                ".model.\"$nin\"[1]",
                "expected a text, a number, true or false, got an empty table",
            ),
            (
                json!({"model": {"$in": vec![1; VALUES_MAX + 1]}}),
                ".model.\"$in\"",
                "expected at most 1024 values, got 1025",
            ),
            (
                json!({"model": {"$regex": 1}}),
                ".model.\"$regex\"",
                "expected a regular expression, got a number",
            ),
            (
                json!({"model": {"$regex": "(?!x)"}}),
                ".model.\"$regex\"",
                "expected a regular expression, got another text",
            ),
            (
                json!({"model": {"$regex": "(a{100}){100}{100}"}}),
                ".model.\"$regex\"",
                "expected a shorter regular expression",
            ),
        ] {
            assert_eq!(refusals(&query), [(format!("query{path}"), message.to_owned())], "{query}");
        }
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let query = json!({
            "$or": [{"x": 1}, {"model": {"$eq": [], "$lt": {}}}], "model": "good", "y.z": 1,
        });
        let found = refusals(&query);
        let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "query.\"$or\"[0].x",
                "query.\"$or\"[1].model.\"$eq\"",
                "query.\"$or\"[1].model.\"$lt\"",
                "query.\"y.z\""
            ]
        );
    }

    #[test]
    fn full_diagnostic_list_rejects_the_query() {
        let mut diagnostics = Diagnostics::bounded(0);
        let (query, usage) = (json!({"model": {"$gtt": 1}}), LimitUsage::new(&limits::SETTINGS));
        assert!(Condition::read(&query, "", &usage, &mut diagnostics).is_none());
    }

    #[test]
    fn size_is_bounded() {
        let nested = |levels: usize| {
            (1..levels).fold(json!({"model": "a"}), |query, _| json!({"$and": [query]}))
        };
        let tests = |count: usize| json!({"$or": vec![json!({"model": "a"}); count]});
        let patterns =
            |count: usize| json!({"$or": vec![json!({"model": {"$regex": "a"}}); count]});
        let attributes = TestRequest::new(&json!({"model": "a"}));
        for good in [nested(DEPTH_MAX), tests(TESTS_MAX), patterns(PATTERNS_MAX)] {
            assert!(holds(&good, &attributes));
        }
        for (bad, message) in [
            (nested(DEPTH_MAX + 1), "expected at most 16 queries inside each other, got more"),
            (tests(TESTS_MAX + 9), "expected at most 256 tests, got more"),
            (patterns(PATTERNS_MAX + 9), "expected at most 16 `$regex`, got more"),
        ] {
            let found = refusals(&bad);
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].1, message);
        }
        let query = json!({"model": {"$regex": "a"}});
        let most = limits::SETTINGS.matched_bytes;
        for (length, expected) in [(most, true), (most + 1, false)] {
            let attributes = TestRequest::new(&json!({"model": "a".repeat(length)}));
            assert_eq!(holds(&query, &attributes), expected);
        }
    }

    #[test]
    fn inline_conditions_share_limits() {
        let read = |queries: &[Value]| {
            let (usage, mut diagnostics) =
                (LimitUsage::new(&limits::INLINE), Diagnostics::bounded(8));
            for query in queries {
                Condition::read(query, "query", &usage, &mut diagnostics);
            }
            assert!(usage.pattern_bytes() <= 512 * 1024, "{}", usage.pattern_bytes());
            diagnostics.into_vec().into_iter().map(|it| it.message).collect::<Vec<_>>()
        };
        let tests = |count: usize| json!({"$or": vec![json!({"model": "a"}); count]});
        assert!(read(&[tests(128), tests(128)]).is_empty());
        let messages = read(&[tests(128), tests(128), tests(1)]);
        assert_eq!(messages, ["expected at most 256 tests in all conditions, got more"]);
        let pattern = |text: &str| json!({"model": {"$regex": text}});
        assert!(read(&vec![pattern(r"^(gpt|claude)-[\w.-]+$"); 16]).is_empty());
        assert!(read(&[pattern("^.{1,100}$")]).is_empty());
        let messages = read(&vec![pattern("(a|b)*a(a|b){500}c"); 16]);
        assert_eq!(messages, ["expected a shorter regular expression"]);
        let query = pattern("a");
        let (usage, mut diagnostics) = (LimitUsage::new(&limits::INLINE), Diagnostics::bounded(8));
        let condition = Condition::read(&query, "query", &usage, &mut diagnostics).expect("good");
        let most = limits::INLINE.matched_bytes;
        for (length, expected) in [(most, true), (most + 1, false)] {
            let attributes = TestRequest::new(&json!({"model": "a".repeat(length)}));
            assert_eq!(condition.holds(&attributes), expected);
        }
    }

    #[test]
    fn leading_floats_are_parsed() {
        for (text, expected) in [
            ("12", 12.0),
            ("12abc", 12.0),
            (" \n-1.5e3x", -1_500.0),
            ("+.5", 0.5),
            ("5.", 5.0),
            ("5..2", 5.0),
            ("1e", 1.0),
            ("1e+", 1.0),
            ("1e-2.5", 0.01),
            ("0x10", 0.0),
            ("1_000", 1.0),
            ("1,5", 1.0),
            ("1e999", f64::INFINITY),
            ("Infinity", f64::INFINITY),
            ("-Infinityx", f64::NEG_INFINITY),
            ("1é", 1.0),
        ] {
            assert_eq!(parse_float(text), expected, "{text}");
        }
        for text in ["", " ", "abc", ".", "-", "+-1", ".e5", "e5", "inf", "nan", "NaN", "é", "٣"]
        {
            assert!(parse_float(text).is_nan(), "{text}");
        }
    }
}
