//! Tools that OpenAI's dialects have beside plain functions, and that other vendors know as functions.
//!
//! A [`Function`](super::Function) that is one of them has the name, the description and the parameters
//! for everybody else, and here what OpenAI's dialects say instead. A call of it has that same name and
//! JSON arguments, whoever made it.

/// What OpenAI's dialects say of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenaiTool {
    /// Its name, inside of its namespace.
    pub name: String,
    /// Its description, without what is added for models that know no such tools.
    pub description: Option<String>,
    /// The group it belongs to.
    pub namespace: Option<Namespace>,
    /// How it is called.
    pub kind: OpenaiToolKind,
}

/// A group of functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// What its functions have in common.
    pub description: Option<String>,
}

/// How a tool of OpenAI's dialects is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenaiToolKind {
    /// With JSON arguments.
    Function,
    /// With one text, which is the argument `input` elsewhere.
    Custom(Option<Grammar>),
    /// With JSON arguments; the client answers with more tools.
    ToolSearch,
}

/// The form of the text that a custom tool takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grammar {
    /// `lark` or `regex`.
    pub syntax: String,
    /// The grammar, in that syntax.
    pub definition: String,
}
