//! Client text in messages and events.

/// Client text as it may stand in a message or an event: at most 128 characters.
pub(crate) fn bounded(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(128).collect()
}
