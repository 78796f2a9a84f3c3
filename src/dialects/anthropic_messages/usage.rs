//! Token counts. In this dialect `input_tokens` excludes what was read from or written to a cache; in
//! the canonical form it includes both.

use crate::llm::{Node, ObjectWriter, Usage};

/// The counts after another report of the same stream: each count in `value` replaces the earlier one,
/// and the others stay.
pub(super) fn after(before: Option<Usage>, value: Node<'_>) -> Option<Usage> {
    let Some(reported) = Usage::read(value) else { return before };
    let Some(before) = before else { return Some(reported) };
    if value.get("iterations").is_some_and(|runs| runs.count() > 0) {
        // The report of model iterations is complete.
        return Some(before.then(reported));
    }
    let number = |key: &str| value.get(key).and_then(Node::u64);
    let apart = |usage: Usage| {
        let written = usage.cache_write_tokens.saturating_add(usage.cache_write_1h_tokens);
        usage.cached_tokens.saturating_add(written)
    };
    let uncached = if value.get("input_tokens").is_some() { reported } else { before };
    let uncached = uncached.input_tokens.saturating_sub(apart(uncached));
    let mut now = reported;
    now.cached_tokens = number("cache_read_input_tokens").unwrap_or(before.cached_tokens);
    let written = number("cache_creation_input_tokens")
        .unwrap_or_else(|| before.cache_write_tokens.saturating_add(before.cache_write_1h_tokens));
    // The split by cache lifetime is sent at the start, and not always again.
    let creation = value.get("cache_creation").and_then(|it| it.get("ephemeral_1h_input_tokens"));
    let hour = creation.and_then(Node::u64).unwrap_or(before.cache_write_1h_tokens);
    now.cache_write_1h_tokens = hour.min(written);
    now.cache_write_tokens = written - now.cache_write_1h_tokens;
    now.input_tokens = uncached.saturating_add(apart(now));
    Some(before.then(now))
}

/// Writes the members of `usage`.
pub(super) fn write(object: &mut ObjectWriter<'_>, usage: &Usage, service_tier: Option<&str>) {
    write_counts(object, usage);
    object.object("cache_creation", |creation| {
        creation.number("ephemeral_5m_input_tokens", usage.cache_write_tokens);
        creation.number("ephemeral_1h_input_tokens", usage.cache_write_1h_tokens);
    });
    // OpenAI's name for the default.
    match service_tier {
        Some("default" | "standard") => object.text("service_tier", "standard"),
        Some(known @ ("priority" | "batch")) => object.text("service_tier", known),
        _ => {}
    }
}

/// Writes the usage of the last event: all counts once more, since most providers report the input
/// tokens only at the end.
pub(super) fn write_last(object: &mut ObjectWriter<'_>, usage: &Usage) {
    write_counts(object, usage);
    if usage.cache_write_1h_tokens > 0 {
        object.object("cache_creation", |creation| {
            creation.number("ephemeral_5m_input_tokens", usage.cache_write_tokens);
            creation.number("ephemeral_1h_input_tokens", usage.cache_write_1h_tokens);
        });
    }
}

fn write_counts(object: &mut ObjectWriter<'_>, usage: &Usage) {
    let written = usage.cache_write_tokens.saturating_add(usage.cache_write_1h_tokens);
    let apart = usage.cached_tokens.saturating_add(written);
    object.number("input_tokens", usage.input_tokens.saturating_sub(apart));
    object.number("cache_creation_input_tokens", written);
    object.number("cache_read_input_tokens", usage.cached_tokens);
    object.number("output_tokens", usage.output_tokens);
    if usage.reasoning_tokens > 0 {
        object.object("output_tokens_details", |details| {
            details.number("thinking_tokens", usage.reasoning_tokens);
        });
    }
    if usage.web_searches > 0 {
        object.object("server_tool_use", |searches| {
            searches.number("web_search_requests", usage.web_searches);
            searches.number("web_fetch_requests", 0);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{Scanner, write_object};

    fn reports(reports: &[&str]) -> Usage {
        let mut usage = None;
        for report in reports {
            usage = Scanner::default()
                .read(report.as_bytes(), |root| after(usage, root))
                .expect("JSON");
        }
        usage.expect("counts")
    }

    #[test]
    fn later_usage_keeps_missing_members() {
        let start = r#"{"input_tokens":5,"cache_creation_input_tokens":100,
            "cache_creation":{"ephemeral_5m_input_tokens":60,"ephemeral_1h_input_tokens":40},
            "cache_read_input_tokens":1000,"output_tokens":1}"#;
        for (end, input, five, hour, cached, output) in [
            (r#"{"output_tokens":9}"#, 1105, 60, 40, 1000, 9),
            (r#"{"input_tokens":5,"output_tokens":9}"#, 1105, 60, 40, 1000, 9),
            (r#"{"input_tokens":7,"output_tokens":9}"#, 1107, 60, 40, 1000, 9),
            (
                r#"{"input_tokens":5,"cache_creation_input_tokens":100,
                    "cache_read_input_tokens":1000,"output_tokens":9}"#,
                1105,
                60,
                40,
                1000,
                9,
            ),
            (r#"{"cache_creation_input_tokens":150,"output_tokens":9}"#, 1155, 110, 40, 1000, 9),
            (r#"{"cache_read_input_tokens":2000,"output_tokens":9}"#, 2105, 60, 40, 2000, 9),
            ("{}", 1105, 60, 40, 1000, 1),
        ] {
            let usage = reports(&[start, end]);
            assert_eq!(
                (usage.input_tokens, usage.cache_write_tokens, usage.cache_write_1h_tokens),
                (input, five, hour),
                "{end}"
            );
            assert_eq!((usage.cached_tokens, usage.output_tokens), (cached, output), "{end}");
        }
        let late = reports(&[r#"{"input_tokens":0,"output_tokens":0}"#, r#"{"input_tokens":25}"#]);
        assert_eq!(late.input_tokens, 25);
    }

    #[test]
    fn usage_round_trips() {
        let usage = Usage {
            input_tokens: 1105,
            output_tokens: 30,
            cached_tokens: 1000,
            cache_write_tokens: 60,
            cache_write_1h_tokens: 40,
            reasoning_tokens: 20,
            web_searches: 2,
            ..Usage::default()
        };
        for last in [false, true] {
            let mut out = Vec::new();
            write_object(&mut out, |object| match last {
                true => write_last(object, &usage),
                false => write(object, &usage, Some("default")),
            });
            let text = String::from_utf8(out).expect("UTF-8");
            assert!(text.starts_with(r#"{"input_tokens":5,"#), "{text}");
            assert_eq!(text.contains(r#""service_tier":"standard""#), !last, "{text}");
            assert_eq!(reports(&[&text]), usage);
        }
        // A provider whose parts exceed their sum.
        let bent = Usage { input_tokens: 5, cached_tokens: 9, ..Usage::default() };
        let mut out = Vec::new();
        write_object(&mut out, |object| write(object, &bent, None));
        assert!(out.starts_with(br#"{"input_tokens":0,"#));
    }
}
