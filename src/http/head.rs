//! The words that request and response heads share: method, version, framing, limits and errors.
//!
//! All lengths are bytes.

/// A request method that the gateway serves; every other one is refused by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Read something.
    Get,
    /// As `Get`, without the body of the answer.
    Head,
    /// Send something to be worked on: nearly every call to a model.
    Post,
    /// Replace something.
    Put,
    /// Change a part of something.
    Patch,
    /// Remove something.
    Delete,
    /// Ask what is allowed; browsers send it before a call from another origin.
    Options,
}

impl Method {
    /// The method as it stands on the request line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }

    /// The method with this exact (case-sensitive) name, if it is served.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"PATCH" => Self::Patch,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            _ => return None,
        })
    }
}

/// A protocol version that the codec speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunks, no `100 Continue`, closes unless asked to stay.
    Http10,
    /// HTTP/1.1.
    Http11,
}

impl Version {
    /// Reads the version text of a start line; `HTTP/` with any other number is
    /// `UnsupportedVersion`.
    pub(super) fn read(text: &[u8]) -> Result<Self, HeadError> {
        match text {
            b"HTTP/1.1" => Ok(Self::Http11),
            b"HTTP/1.0" => Ok(Self::Http10),
            [b'H', b'T', b'T', b'P', b'/', digit] if digit.is_ascii_digit() => {
                Err(HeadError::UnsupportedVersion)
            }
            [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit() =>
            {
                Err(HeadError::UnsupportedVersion)
            }
            _ => Err(HeadError::Malformed("version (HTTP/1.1 or HTTP/1.0)")),
        }
    }
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// This many bytes follow; at most 18 decimal digits.
    Length(u64),
    /// Chunks follow, up to one of size zero.
    Chunked,
    /// The body ends when the peer closes. Responses only.
    UntilClose,
}

/// Fields that one head can hold at most, whatever `fields_max` says.
pub(super) const FIELDS_CEILING: usize = 128;

/// Fields that nearly every head stays within.
pub(super) const FIELDS_USUAL: usize = 32;

/// What a head may cost before it is refused.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// The whole head with its last empty line. Default 32 KiB.
    pub head_bytes_max: usize,
    /// Path and query together. Default 8 KiB.
    pub target_bytes_max: usize,
    /// Number of field lines. Default 100; more than 128 counts as 128.
    pub fields_max: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { head_bytes_max: 32 * 1024, target_bytes_max: 8 * 1024, fields_max: 100 }
    }
}

/// Why a head was refused. The connection must be closed after any of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// A rule of the protocol, or a stricter one of ours, was broken; the text names what was
    /// looked for. `Malformed("expectation")` is the one that may be answered with 417 instead of
    /// 400.
    #[error("malformed head: expected a valid {0}")]
    Malformed(&'static str),
    /// Path and query are longer than `target_bytes_max`.
    #[error("request target too long: expected at most `target_bytes_max` bytes")]
    TargetTooLong,
    /// The head is longer than `head_bytes_max` or has more than `fields_max` fields.
    #[error("head too large: expected at most `head_bytes_max` bytes and `fields_max` fields")]
    HeadTooLarge,
    /// A well-formed method that is not one of `Method`.
    #[error(
        "method not allowed: expected GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS in upper case"
    )]
    MethodNotAllowed,
    /// HTTP, but neither 1.0 nor 1.1.
    #[error("unsupported version: expected HTTP/1.1 or HTTP/1.0")]
    UnsupportedVersion,
}
