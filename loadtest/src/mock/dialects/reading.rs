//! Reading of a request's JSON with a path to whatever is wrong in it.
//!
//! A [`Refusal`] names no dialect; each dialect puts it into its own words, status and shape.

use serde_json::Value;

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub status: u16,
    /// Members and indices from the body's top, joined by dots; empty for the body as a whole.
    pub path: String,
    pub flaw: Flaw,
}

/// What is wrong at a path.
#[derive(Clone, Debug, PartialEq)]
pub enum Flaw {
    /// A required member is absent.
    Missing,
    /// A member that the vendor does not know.
    Unknown,
    /// Another type of value was wanted: "a string", "an object".
    Type(&'static str),
    /// A rule of the vendor, with its whole text.
    Rule(String),
    /// The request carries no credential.
    Unauthenticated,
    /// The body is no JSON.
    InvalidJson(String),
    /// The request itself named this status.
    Scripted,
}

impl Refusal {
    /// A rule that names its place itself.
    pub fn rule(message: impl Into<String>) -> Self {
        Self { status: 400, path: String::new(), flaw: Flaw::Rule(message.into()) }
    }

    /// A failure that the request named.
    pub fn scripted(status: u16) -> Self {
        Self { status, path: String::new(), flaw: Flaw::Scripted }
    }

    /// No credential; `status` is the vendor's.
    pub fn unauthenticated(status: u16) -> Self {
        Self { status, path: String::new(), flaw: Flaw::Unauthenticated }
    }

    /// The path as JavaScript writes it: `messages[0].content`.
    pub fn bracketed_path(&self) -> String {
        let mut written = String::new();
        for step in self.path.split('.') {
            if step.bytes().all(|byte| byte.is_ascii_digit()) && !step.is_empty() {
                written.push_str(&format!("[{step}]"));
            } else {
                written.push_str(if written.is_empty() { "" } else { "." });
                written.push_str(step);
            }
        }
        written
    }
}

/// A value in a request and where it stands.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    pub value: &'a Value,
    pub path: String,
}

impl<'a> Node<'a> {
    pub fn root(value: &'a Value) -> Self {
        Self { value, path: String::new() }
    }

    fn step(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A member that is there and not null.
    pub fn get(&self, name: &str) -> Option<Node<'a>> {
        let value = self.value.get(name).filter(|value| !value.is_null())?;
        Some(Node { value, path: self.step(name) })
    }

    /// A member that must be there.
    pub fn need(&self, name: &str) -> Result<Node<'a>, Refusal> {
        self.get(name).ok_or_else(|| Refusal {
            status: 400,
            path: self.step(name),
            flaw: Flaw::Missing,
        })
    }

    pub fn text(&self) -> Result<&'a str, Refusal> {
        self.value.as_str().ok_or_else(|| self.wrong("a string"))
    }

    pub fn number(&self) -> Result<f64, Refusal> {
        self.value.as_f64().ok_or_else(|| self.wrong("a number"))
    }

    pub fn integer(&self) -> Result<i64, Refusal> {
        self.value.as_i64().ok_or_else(|| self.wrong("an integer"))
    }

    pub fn flag(&self) -> Result<bool, Refusal> {
        self.value.as_bool().ok_or_else(|| self.wrong("a boolean"))
    }

    /// Refuses what is not an object.
    pub fn object(&self) -> Result<&'a serde_json::Map<String, Value>, Refusal> {
        self.value.as_object().ok_or_else(|| self.wrong("an object"))
    }

    /// The elements of an array.
    pub fn items(&self) -> Result<Vec<Node<'a>>, Refusal> {
        let items = self.value.as_array().ok_or_else(|| self.wrong("an array"))?;
        let place = |(index, value)| Node { value, path: self.step(&usize::to_string(&index)) };
        Ok(items.iter().enumerate().map(place).collect())
    }

    /// The elements of a member, none if it is absent.
    pub fn list(&self, name: &str) -> Result<Vec<Node<'a>>, Refusal> {
        self.get(name).map_or(Ok(Vec::new()), |node| node.items())
    }

    /// Refuses members beside these.
    pub fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.object()?.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(Refusal { status: 400, path: self.step(name), flaw: Flaw::Unknown }),
            None => Ok(()),
        }
    }

    /// The value if it is one of these strings.
    pub fn one_of(&self, known: &[&str]) -> Result<&'a str, Refusal> {
        let text = self.text()?;
        if known.contains(&text) {
            return Ok(text);
        }
        let list: Vec<_> = known.iter().map(|name| format!("'{name}'")).collect();
        let list = list.join(", ");
        Err(self.broken(format!("Invalid value: '{text}'. Supported values are: {list}.")))
    }

    /// Refuses a number outside `least..=most`; absent members pass.
    pub fn range(&self, name: &str, least: f64, most: f64) -> Result<(), Refusal> {
        let Some(node) = self.get(name) else { return Ok(()) };
        let number = node.number()?;
        if (least..=most).contains(&number) {
            return Ok(());
        }
        Err(node.broken(format!("expected a value from {least} to {most}, got {number}")))
    }

    /// This value is of the wrong type.
    pub fn wrong(&self, expected: &'static str) -> Refusal {
        Refusal { status: 400, path: self.path.clone(), flaw: Flaw::Type(expected) }
    }

    /// This value breaks a rule.
    pub fn broken(&self, rule: impl Into<String>) -> Refusal {
        Refusal { status: 400, path: self.path.clone(), flaw: Flaw::Rule(rule.into()) }
    }
}

/// True for names of 1 to `most` ASCII letters, digits and `extra` characters.
pub fn is_name(name: &str, most: usize, extra: &str) -> bool {
    let fits = |character: char| character.is_ascii_alphanumeric() || extra.contains(character);
    (1..=most).contains(&name.len()) && name.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn refusal_names_the_path() {
        let body = json!({"messages": [{"content": [{"text": 5, "extra": 1}]}], "n": 9});
        let root = Node::root(&body);
        let messages = root.list("messages").unwrap();
        let block = messages[0].list("content").unwrap().remove(0);
        let cases = [
            (root.need("model").unwrap_err(), "model", Flaw::Missing),
            (
                block.need("text").unwrap().text().unwrap_err(),
                "messages[0].content[0].text",
                Flaw::Type("a string"),
            ),
            (block.only(&["text"]).unwrap_err(), "messages[0].content[0].extra", Flaw::Unknown),
            (
                root.range("n", 0.0, 2.0).unwrap_err(),
                "n",
                Flaw::Rule("expected a value from 0 to 2, got 9".to_owned()),
            ),
        ];
        for (refusal, path, flaw) in cases {
            assert_eq!((refusal.bracketed_path().as_str(), &refusal.flaw), (path, &flaw));
        }
        assert!(root.get("absent").is_none() && root.range("absent", 0.0, 1.0).is_ok());
    }

    #[test]
    fn names_are_validated() {
        assert!(is_name("get_weather-2", 64, "_-"));
        for bad in ["", "a b", "é", &"a".repeat(65)] {
            assert!(!is_name(bad, 64, "_-"), "{bad}");
        }
    }
}
