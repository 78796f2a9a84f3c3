//! Errors inside of a stream, or of a response whose status is success.
//!
//! Relays send status 200 as soon as they have selected a model, and report its failure in the body.
//! The status of such an error is the one in the error itself, or follows from its code or type, by the
//! vendors' names.

use super::error_text::message_of;
use crate::llm::{ApiError, Node};

/// The status of an error without one.
pub(super) const UNKNOWN_STATUS: u16 = 502;

/// Members of an error that may have its status, as a number or in digits.
const NUMBERS: [&str; 5] = ["code", "status", "status_code", "statusCode", "http_status"];

/// Members of an error that may have its type.
const NAMES: [&str; 4] = ["code", "type", "status", "__type"];

/// Statuses and the error names for them, in lower case and without `_`, of OpenAI, Anthropic, Google
/// (google.rpc.Code), Amazon (`Converse`, "Errors") and vLLM (their references, read November 2026).
const STATUSES: [(u16, &[&str]); 18] = [
    (
        400,
        &[
            "invalidrequest",
            "invalidrequesterror",
            "badrequest",
            "badrequesterror",
            "invalidprompt",
            "contextlengthexceeded",
            "contentpolicyviolation",
            "contentfilter",
            "invalidargument",
            "failedprecondition",
            "outofrange",
            "validationexception",
        ],
    ),
    (401, &["authenticationerror", "invalidapikey", "unauthenticated", "unauthorized"]),
    (402, &["billingerror", "insufficientcredits", "paymentrequired"]),
    (
        403,
        &["permissionerror", "permissiondenied", "permissiondeniederror", "accessdeniedexception"],
    ),
    (404, &["notfound", "notfounderror", "modelnotfound", "resourcenotfoundexception"]),
    (408, &["modeltimeoutexception"]),
    (409, &["conflicterror", "aborted", "alreadyexists"]),
    (413, &["requesttoolarge"]),
    (422, &["unprocessableentity", "unprocessableentityerror"]),
    (424, &["modelstreamerrorexception", "modelerrorexception"]),
    (
        429,
        &[
            "insufficientquota",
            "ratelimitexceeded",
            "ratelimiterror",
            "ratelimit",
            "quotaexceeded",
            "resourceexhausted",
            "toomanyrequests",
            "throttlingexception",
            "modelnotreadyexception",
            "servicequotaexceededexception",
        ],
    ),
    (499, &["cancelled"]),
    (
        500,
        &[
            "servererror",
            "apierror",
            "internal",
            "internalerror",
            "internalservererror",
            "internalserverexception",
            "internalfailure",
            "unknown",
            "dataloss",
        ],
    ),
    (501, &["unimplemented"]),
    (
        503,
        &["unavailable", "serviceunavailable", "serviceunavailableexception", "engineoverloaded"],
    ),
    (504, &["timeout", "timeouterror", "deadlineexceeded"]),
    (529, &["overloadederror", "overloaded"]),
    (UNKNOWN_STATUS, &["badgateway"]),
];

/// Reads the error inside a response, with the status that it would have had. `read` reads the error of
/// a dialect from a status and the object that contains it.
pub(super) fn read_embedded(
    root: Node<'_>,
    read: impl FnOnce(u16, Node<'_>) -> ApiError,
) -> ApiError {
    let mut choices = root.get("choices").into_iter().flat_map(Node::items);
    let of_choice = choices.find(|choice| choice.get("error").is_some());
    let holder = match (root.get("error"), root.get("Output")) {
        (Some(_), _) => root,
        (None, Some(output)) => output,
        (None, None) => of_choice.unwrap_or(root),
    };
    let error = read(error_status(holder), holder);
    if holder.get("error").is_some() || message_of(holder).is_some() {
        return error;
    }
    // Other members do not explain the failure.
    let message = "the provider could not finish its answer".to_owned();
    ApiError { message, ..error }
}

/// The status of the error that `root` contains in `error`, or is.
pub(super) fn error_status(root: Node<'_>) -> u16 {
    let places = [root.get("error"), Some(root)];
    let values_of =
        |key: &'static str| places.into_iter().flatten().filter_map(move |it| it.get(key));
    let number = NUMBERS.into_iter().flat_map(values_of).find_map(number);
    let names = NAMES.into_iter().flat_map(values_of).filter_map(Node::text);
    let name = || names.map(plain).find_map(|name| status_of(&name));
    number.or_else(name).unwrap_or(UNKNOWN_STATUS)
}

/// A failure status, as a number or in digits.
fn number(value: Node<'_>) -> Option<u16> {
    let number = value.u64().or_else(|| value.text()?.trim().parse().ok())?;
    u16::try_from(number).ok().filter(|status| (400..600).contains(status))
}

/// A name without namespace, in lower case and without separators:
/// `com.amazon.coral.service#ThrottlingException:http://…` is `throttlingexception`.
fn plain(name: &str) -> String {
    let name = name.rsplit('#').next().unwrap_or_default();
    let name = name.split(':').next().unwrap_or_default();
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|letter| letter.to_ascii_lowercase()).collect()
}

fn status_of(name: &str) -> Option<u16> {
    let known = STATUSES.iter().find(|(_, names)| names.contains(&name));
    // OpenAI has a dozen codes for images that it cannot read.
    known.map(|(status, _)| *status).or_else(|| name.contains("image").then_some(400))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::Scanner;

    #[test]
    fn status_follows_number_code_and_type() {
        for (body, status) in [
            (r#"{"error":{"code":429}}"#, 429),
            (r#"{"error":{"code":"503"}}"#, 503),
            (r#"{"error":{"status":529,"type":"server_error"}}"#, 529),
            (r#"{"error":{"code":1302,"type":"rate_limit_error"}}"#, 429),
            (r#"{"error":{"type":"insufficient_quota","code":"insufficient_quota"}}"#, 429),
            (r#"{"error":{"type":"invalid_request_error","code":"invalid_api_key"}}"#, 401),
            (r#"{"error":{"type":"invalid_request_error","code":"model_not_found"}}"#, 404),
            (r#"{"error":{"type":"overloaded_error"}}"#, 529),
            (r#"{"error":{"status":"RESOURCE_EXHAUSTED"}}"#, 429),
            (r#"{"error":"no","code":402}"#, 402),
            (r#"{"__type":"com.amazon.coral.service#ThrottlingException:http://x"}"#, 429),
            (r#"{"object":"error","type":"NotFoundError","message":"m"}"#, 404),
            (r#"{"error":{"code":"image_too_small"}}"#, 400),
            (r#"{"error":{"code":200,"message":"m"}}"#, UNKNOWN_STATUS),
            (r#"{"error":{"message":"m"}}"#, UNKNOWN_STATUS),
            (r#"{"error":"m"}"#, UNKNOWN_STATUS),
            (r#"{"status":"failed","error":null}"#, UNKNOWN_STATUS),
            (r#"{"type":"error"}"#, UNKNOWN_STATUS),
        ] {
            let found = Scanner::default().read(body.as_bytes(), error_status);
            assert_eq!(found, Ok(status), "{body}");
        }
    }
}
