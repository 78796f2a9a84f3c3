//! What the stages of the pipeline share: the exchange, its request and record, the client, errors.

mod attempt_log;
mod attributes;
mod body_reader;
mod client;
mod endpoint;
mod error;
mod exchange;
mod fields;
mod form;
mod grant;
pub(crate) mod message_framing;
mod record;
mod request;
mod request_context;
mod text;
mod websocket_frame;

pub(crate) use attempt_log::{AttemptEntry, AttemptGuard, CallStats};
pub(crate) use attributes::RequestAttributes;
pub(crate) use body_reader::{BodyReader, MinimumRate};
pub(crate) use client::{Client, SharedDeadline};
pub use endpoint::ENDPOINT_NAMES;
pub(crate) use endpoint::{
    Endpoint, MIRROR_ENDPOINT, NO_ENDPOINT, behind_version, converse_call, dialect_of_path,
    gemini_call, percent_decoded,
};
pub(crate) use error::{GatewayError, outcome_of_status};
pub(crate) use exchange::{ConnectionReuse, Exchange, own_id};
pub(crate) use fields::{
    ClientField, client_fields, client_path, client_query, goes_downstream, goes_to_any_dialect,
    goes_upstream, key_in_subprotocol, may_be_forwarded, presented_keys, query_parameters,
    subprotocols, vendor_keys, without_parameters, without_scheme,
};
pub(crate) use form::{Form, FormPeek, FormWalk, MODEL};
pub(crate) use grant::{
    Grant, ModelList, check_endpoint, check_inline_route, check_no_route, is_inference,
};
pub(crate) use message_framing::{Lane, MessageFraming};
pub(crate) use request::{
    Body, FetchedImages, Request, each_image, is_json, media_type_is, requested_model,
};
pub(crate) use request_context::{MemoryReservation, RequestContext};
pub(crate) use text::bounded;
pub(crate) use websocket_frame::{FrameHead, Opcode, write_frame};
