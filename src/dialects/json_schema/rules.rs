//! The subset of JSON Schema that each vendor supports, as data.

/// A vendor's subset.
pub(in crate::dialects) struct SchemaRules {
    /// Keywords that are kept; `type` and `enum` always are.
    pub(super) keywords: &'static [&'static str],
    /// Values of `format` that are supported.
    pub(super) formats: &'static [&'static str],
    /// How objects are closed.
    pub(super) closing: Closing,
    /// `anyOf` is supported, and a list of types.
    pub(super) takes_unions: bool,
    /// `$ref` and `$defs` are supported, without other members.
    pub(super) takes_references: bool,
    /// Recursive schemas are supported.
    pub(super) takes_recursion: bool,
    /// `minItems` is supported with 0 or 1 only.
    pub(super) least_items: bool,
    /// Each object needs a required member.
    pub(super) wants_required: bool,
}

/// How objects exclude members without a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// Each object gets `additionalProperties: false`.
    Always,
    /// Each object gets it, and requires all of its members; a schema with optional members is
    /// rejected.
    Strict,
    /// Unchanged.
    Free,
    /// The keyword is not supported.
    Unset,
}

impl SchemaRules {
    pub(super) fn keeps(&self, keyword: &str) -> bool {
        self.keywords.contains(&keyword)
    }
}

/// Anthropic's structured outputs and strict tools (its page "Structured outputs", and
/// `lib/_parse/_transform.py` of anthropic 2.14, which omits the same keywords).
pub(in crate::dialects) const CLAUDE: SchemaRules = SchemaRules {
    keywords: &["title", "default", "const"],
    formats: &[
        "date-time",
        "time",
        "date",
        "duration",
        "email",
        "hostname",
        "uri",
        "ipv4",
        "ipv6",
        "uuid",
    ],
    closing: Closing::Always,
    takes_unions: true,
    takes_references: true,
    takes_recursion: false,
    least_items: true,
    wants_required: false,
};

/// Amazon's, for all models (Bedrock user guide, "Get validated JSON results from models"): the same as
/// Claude's.
pub(in crate::dialects) const BEDROCK: SchemaRules = CLAUDE;

/// OpenAI's strict formats and functions (its guide "Structured model outputs", supported schemas).
pub(in crate::dialects) const OPENAI_STRICT: SchemaRules = SchemaRules {
    keywords: &[
        "title",
        "const",
        "pattern",
        "multipleOf",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "minItems",
        "maxItems",
    ],
    formats: &[
        "date-time",
        "time",
        "date",
        "duration",
        "email",
        "hostname",
        "ipv4",
        "ipv6",
        "uuid",
    ],
    closing: Closing::Strict,
    takes_unions: true,
    takes_references: true,
    takes_recursion: true,
    least_items: false,
    wants_required: false,
};

/// Google's (Gemini API, `GenerationConfig.responseJsonSchema`; Vertex has the same list).
pub(in crate::dialects) const GEMINI: SchemaRules = SchemaRules {
    keywords: &[
        "title",
        "enum",
        "format",
        "prefixItems",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "oneOf",
        "propertyOrdering",
    ],
    formats: &["date-time", "date", "time", "duration", "float", "double", "int32", "int64"],
    closing: Closing::Free,
    takes_unions: true,
    takes_references: true,
    takes_recursion: true,
    least_items: false,
    wants_required: false,
};

/// Cohere's (its page "Structured Outputs", version 2: schema constraints and unsupported features).
pub(in crate::dialects) const COHERE: SchemaRules = SchemaRules {
    keywords: &["title", "const"],
    formats: &["date-time", "uuid", "date", "time"],
    closing: Closing::Unset,
    takes_unions: false,
    takes_references: false,
    takes_recursion: false,
    least_items: false,
    wants_required: true,
};
