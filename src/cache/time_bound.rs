//! Questions whose answer is soon another one.

/// Words that bind an answer to the hour it was given in. English first; of other languages the
/// commonest, where they are no English words.
const WORDS: [&str; 34] = [
    "today",
    "today's",
    "tonight",
    "tonight's",
    "tomorrow",
    "tomorrow's",
    "yesterday",
    "yesterday's",
    "now",
    "nowadays",
    "current",
    "currently",
    "latest",
    "newest",
    "recent",
    "recently",
    "upcoming",
    "weather",
    "forecast",
    "news",
    "headlines",
    "heute",
    "morgen",
    "gestern",
    "jetzt",
    "aktuell",
    "aktuelle",
    "aktuellen",
    "aujourd'hui",
    "maintenant",
    "demain",
    "hoy",
    "ahora",
    "mañana",
];

/// Before a span of time these do the same.
const BEFORE: [&str; 4] = ["this", "next", "last", "past"];

/// Spans of time.
const SPANS: [&str; 20] = [
    "second",
    "minute",
    "hour",
    "morning",
    "afternoon",
    "evening",
    "night",
    "day",
    "week",
    "weekend",
    "month",
    "quarter",
    "season",
    "year",
    "decade",
    "monday",
    "friday",
    "saturday",
    "sunday",
    "game",
];

/// True for a question such as `What is the latest version?` or `Is it open this week?`.
#[must_use]
pub fn is_time_bound(text: &str) -> bool {
    let is_word = |it: char| it.is_alphanumeric() || it == '\'' || it == '’';
    let is_one_of = |list: &[&str], word: &str| {
        list.iter().any(|it| word.replace('’', "'").eq_ignore_ascii_case(it))
    };
    let mut before = "";
    text.split(|it: char| !is_word(it)).filter(|word| !word.is_empty()).any(|word| {
        let singular = word.strip_suffix('s').unwrap_or(word);
        let is_span = is_one_of(&SPANS, word) || is_one_of(&SPANS, singular);
        let found = is_one_of(&WORDS, word) || is_one_of(&BEFORE, before) && is_span;
        before = word;
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_bound_questions_are_recognized() {
        for text in [
            "What is the weather like?",
            "Who is the CURRENT president?",
            "latest version of Rust",
            "Is it open this week?",
            "What happened over the last days?",
            "What’s today’s rate?",
            "Ist heute offen?",
        ] {
            assert!(is_time_bound(text), "{text}");
        }
        for text in [
            "What is the capital of Australia?",
            "How do I know?",
            "What is the electrical currency of this country?",
            "How long is a week?",
            "",
        ] {
            assert!(!is_time_bound(text), "{text}");
        }
    }
}
