//! Ids of responses and items.
//!
//! Clients expect the prefix `resp_`. The id of another vendor gets the prefix `resp_rg_`, which is
//! removed again; one with `resp_` is unchanged. The id of an item consists of a marker, its index and
//! the response's id, `msg_rg0_answer-1`, so that it is the same with and without streaming. A client
//! sends these ids back, and they are dropped then, since no provider knows them.

/// The marker of ids that the gateway made, after the type's prefix.
const MARK: &str = "rg";

/// The id for clients of the response `id`. Without one, it is made from the time `created`.
pub(super) fn of_answer(id: &str, created: u64) -> String {
    if id.is_empty() {
        return format!("resp_{MARK}_{created}");
    }
    if id.starts_with("resp_") { id.to_owned() } else { format!("resp_{MARK}_{id}") }
}

/// The provider's id of the response that clients know as `id`.
pub(super) fn answer_id(id: &str) -> &str {
    let ours = id.strip_prefix("resp_").and_then(|rest| rest.strip_prefix(MARK));
    ours.and_then(|rest| rest.strip_prefix('_')).unwrap_or(id)
}

/// The part of a response's id that the ids of its items contain.
#[must_use]
pub fn response_name(id: &str) -> &str {
    let tail = answer_id(id);
    tail.strip_prefix("resp_").unwrap_or(tail)
}

/// The same, from the id of an item that the gateway made.
#[must_use]
pub fn response_name_of_item(id: &str) -> Option<&str> {
    let rest = id.split_once('_')?.1.strip_prefix(MARK)?;
    rest.split_once('_').filter(|_| is_ours(id)).map(|(_, name)| name)
}

/// The id of item `index` of the response that clients know as `answer`. `kind` is the prefix of such
/// items: `msg`, `fc`, `rs`, `ig`.
pub(super) fn of_item(kind: &str, index: usize, answer: &str) -> String {
    format!("{kind}_{MARK}{index}_{}", response_name(answer))
}

/// True for an id that [`of_item`] made.
pub(in crate::dialects) fn is_ours(id: &str) -> bool {
    let rest = id.split_once('_').and_then(|(_, rest)| rest.strip_prefix(MARK));
    let place = rest.and_then(|rest| rest.split_once('_')).map(|(place, _)| place);
    place.is_some_and(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip() {
        for (id, client_id) in [
            ("resp_1a2b", "resp_1a2b"),
            ("chatcmpl-7", "resp_rg_chatcmpl-7"),
            ("resp-7", "resp_rg_resp-7"),
            ("7", "resp_rg_7"),
        ] {
            assert_eq!(of_answer(id, 5), client_id);
            assert_eq!(answer_id(client_id), id);
        }
        assert_eq!(of_answer("", 5), "resp_rg_5");
    }

    #[test]
    fn items_are_recognized_by_their_mark() {
        assert_eq!(of_item("msg", 0, "resp_rg_chatcmpl-7"), "msg_rg0_chatcmpl-7");
        assert_eq!(of_item("fc", 12, "resp_1a2b"), "fc_rg12_1a2b");
        for (id, ours) in [
            ("msg_rg0_chatcmpl-7", true),
            ("fc_rg12_1a2b", true),
            ("rs_rg_7", false),
            ("rs_rgb_7", false),
            ("rs_68b14140c", false),
            ("rg0_7", false),
            ("", false),
        ] {
            assert_eq!(is_ours(id), ours, "{id}");
        }
        for answer in ["resp_1a2b", "resp_rg_chatcmpl-7_x", "resp_rg_7"] {
            let item = of_item("fc", 12, answer);
            assert_eq!(response_name_of_item(&item), Some(response_name(answer)));
        }
        assert_eq!(response_name_of_item("msg_68b1"), None);
    }
}
