//! What is reported of one exchange that has ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::RequestId;
use crate::llm::{PicoUsd, Usage};

/// How an exchange ended, and whose fault it was if it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RequestOutcome {
    /// The client has its response.
    Success,
    /// The request could not be served as it was.
    ClientError,
    /// The gateway could not serve it.
    GatewayError,
    /// The provider could not.
    UpstreamError,
    /// The client did not wait for the end.
    ClientLeft,
}

impl RequestOutcome {
    /// Label in metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::ClientError => "client",
            Self::GatewayError => "gateway",
            Self::UpstreamError => "upstream",
            Self::ClientLeft => "client_left",
        }
    }
}

/// What the cache had to do with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheStatus {
    /// Nothing.
    #[default]
    Disabled,
    /// It answered.
    Hit,
    /// It had no response.
    Miss,
    /// It answered a question of the same meaning.
    SemanticHit,
    /// It had no response, and none to a question of the same meaning.
    SemanticMiss,
    /// The client bypassed it.
    Refresh,
}

impl CacheStatus {
    /// As the header `cache-status` and the request log spell it, which is Portkey's way.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Disabled => "DISABLED",
            Self::Hit => "HIT",
            Self::Miss => "MISS",
            Self::SemanticHit => "SEMANTIC HIT",
            Self::SemanticMiss => "SEMANTIC MISS",
            Self::Refresh => "REFRESH",
        }
    }
}

/// What a call cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// So much, by the prices of the catalogue.
    Known(PicoUsd),
    /// So much, as its vendor reports.
    Reported(PicoUsd),
    /// The price is not known.
    Unknown,
}

impl Cost {
    /// The amount, if it is known.
    #[must_use]
    pub fn amount(self) -> Option<PicoUsd> {
        match self {
            Self::Known(amount) | Self::Reported(amount) => Some(amount),
            Self::Unknown => None,
        }
    }

    /// Its source, as the request log has it.
    #[must_use]
    pub fn source(self) -> Option<&'static str> {
        match self {
            Self::Known(_) => Some("catalogue"),
            Self::Reported(_) => Some("provider"),
            Self::Unknown => None,
        }
    }
}

/// Who knows the name of a model, which decides whether it becomes a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelOrigin {
    /// The settings name it.
    Settings,
    /// The catalogue does.
    Catalog,
    /// Only the request does.
    Request,
}

/// One attempt of a route.
#[derive(Clone, Debug)]
pub struct AttemptSummary {
    /// Its target, as `config.targets[0]`.
    pub target: Arc<str>,
    /// The provider, if it came to one.
    pub provider: Option<Arc<str>>,
    /// The model that was requested.
    pub model: Option<String>,
    /// How it ended: the provider's status, or the gateway's; 0: it was cut off.
    pub status: u16,
    /// From its beginning to its end, or to the first content of its response.
    pub took: Duration,
    /// What one that was cut off had used, by our estimate; none for the others.
    pub usage: Option<Usage>,
    /// What that cost.
    pub cost: Option<Cost>,
}

/// One finished exchange, reported once by the last stage of the pipeline.
#[derive(Clone, Debug)]
pub struct RequestEvent {
    /// Name of the request.
    pub id: RequestId,
    /// Wall clock at receipt, since the Unix epoch.
    pub at_unix: Duration,
    /// Shard that served it.
    pub shard: u16,
    /// Endpoint: an index into the names that the metrics were made with.
    pub endpoint: u8,
    /// Name of the virtual key.
    pub key: Option<Arc<str>>,
    /// Name of the provider that was chosen.
    pub provider: Option<Arc<str>>,
    /// Model as sent to the provider: text of the client.
    pub model: Option<String>,
    /// Name of the route.
    pub route: Option<Arc<str>>,
    /// Status sent to the client; 0: none was sent.
    pub status: u16,
    /// How it ended.
    pub outcome: RequestOutcome,
    /// The gateway's error code.
    pub code: Option<&'static str>,
    /// True for an event stream.
    pub stream: bool,
    /// What the cache had to do with it.
    pub cache: CacheStatus,
    /// Cosine of the nearest stored question, where one was looked for and there is one.
    pub cache_similarity: Option<f32>,
    /// Tokens, if the endpoint has any.
    pub usage: Option<Usage>,
    /// What they cost, if anything was requested that does.
    pub cost: Option<Cost>,
    /// What was lost in translation, in the words of the header `warnings`.
    pub warnings: Option<Arc<str>>,
    /// From the first byte of the head to the last of the response.
    pub latency: Duration,
    /// From the first byte of the head to the first of the response.
    pub first_byte: Option<Duration>,
    /// Time spent waiting for the provider.
    pub upstream: Duration,
    /// Body bytes received.
    pub request_bytes: u64,
    /// Bytes sent, heads and framing included.
    pub answer_bytes: u64,
    /// Calls made to providers.
    pub attempts: u32,
    /// The attempts of a route, in the order of their beginning.
    pub tried: Vec<AttemptSummary>,
    /// The request of which this is a copy.
    pub copy_of: Option<RequestId>,
    /// True if the last call went over a connection that had served before.
    pub reused_connection: bool,
    /// Labels of the key.
    pub metadata: Option<Arc<BTreeMap<String, String>>>,
    /// Trace id of the client.
    pub trace_id: Option<String>,
}
