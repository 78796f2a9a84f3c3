//! What the gateway knows of the JSON that clients and providers exchange, in two forms.
//!
//! The outline: one pass over a body finds what the pipeline needs, and edits are spliced into the
//! original bytes. The body itself is never changed or re-serialized, so that what the gateway has no
//! opinion on (order, spacing, number formats, unknown members) reaches the other side byte for byte.
//!
//! The canonical form: [`ChatRequest`], [`Answer`] and the [`Chunk`]s of a stream, which are what all
//! dialects are translated through. They carry everything that any of them can say.
//!
//! Promises: nothing here does I/O, reads a clock or panics on what a peer sends. Errors never carry
//! prompt text. Absent: the dialects themselves, which are `dialects/`', and endpoints.

mod answer;
mod answer_outline;
mod base64;
mod catalog;
mod chat_request;
mod chunk;
mod content;
mod conversation;
mod cost;
mod dialect;
mod edit;
mod embeddings;
mod error;
mod estimate;
mod json;
mod json_value;
mod members;
mod model_names;
mod model_rules;
mod node;
mod openai_tool;
mod outline;
mod peek;
mod price;
mod raw_value;
mod replay;
mod rerank;
mod scanner;
mod unsupported_input;
mod usage;
mod walk;

pub use answer::{Answer, ApiError, Choice, StopReason, TokenLogprob};
pub use answer_outline::{AnswerOutline, ChunkOutline, is_error_answer, is_error_event};
pub use base64::{decode_base64, encode_base64};
pub use catalog::{
    Abilities, Ability, Catalog, CatalogSource, Factor, Mode, ModelCard, ModelSettings,
    PriceSettings, PricedTier,
};
pub use chat_request::{
    ChatRequest, Format, Function, ReasoningSettings, Sampling, Tool, ToolChoice, WebSearch,
};
pub use chunk::{Chunk, ChunkAssembler, Delta, Start, chunks_of, chunks_of_known, deltas_of};
pub use content::{
    CachePoint, Citation, Content, DialectJson, File, Image, Media, MediaSource, Part, Reasoning,
    Role, Signature, Text, ToolCall, ToolResult, Turn,
};
pub use conversation::{LastTurn, without_history};
pub use cost::{PricingTerms, cost, cost_of_units};
pub use dialect::Dialect;
pub use edit::{
    Edit, edit_members, hide_usage, member_text, quote, remove_members, with_include_usage,
};
pub use embeddings::{
    EmbeddingsAnswer, EmbeddingsInput, EmbeddingsRequest, Purpose, VectorEncoding,
};
pub use error::JsonError;
pub use estimate::estimate_request_tokens;
pub use json::{ArrayWriter, Json, ObjectWriter, write_array, write_object, write_text};
pub use json_value::JsonValue;
pub use model_names::{each_model, each_model_of_member, is_model_member};
pub use model_rules::{
    CachePointUse, CallIds, EarlierReasoning, MaxTokensName, ModelFields, ModelRule, ModelRules,
    Prefill, RefusedSetting, ResponsesForTools, ResponsesUse, ThinkingForm, find_rules,
};
pub use node::{Malformed, Node, Within};
pub use openai_tool::{Grammar, Namespace, OpenaiTool, OpenaiToolKind};
pub use outline::Outline;
pub use peek::{may_carry_error, may_carry_usage};
pub use price::{PicoUsd, Prices, Rate, RateKind, Tier};
pub use replay::{StreamAccumulator, answer_text, is_replayable, replay};
pub use rerank::{RerankAnswer, RerankDocument, RerankRequest, RerankResult};
pub use scanner::Scanner;
pub use unsupported_input::unsupported_input;
pub use usage::{Usage, estimate_tokens};
