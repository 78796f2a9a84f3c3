//! Token counts, read and written.
//!
//! Google's prompt count includes cached tokens and excludes those that tools added; its candidates
//! exclude reasoning. Both are added here, since the canonical counts include them.

use crate::llm::{Node, ObjectWriter, Usage};

/// The largest plausible count, as in [`Usage`].
const TOKENS_MAX: u64 = 1_000_000_000_000;

/// Reads `usageMetadata`. None if it has no counts.
pub(super) fn read(metadata: Node<'_>) -> Option<Usage> {
    let mut is_bent = false;
    let mut count = |key: &str| {
        let value = metadata.get(key)?;
        let exact = value.u64().or_else(|| value.text()?.parse().ok());
        is_bent |= exact.is_none_or(|count| count > TOKENS_MAX);
        exact.map(|count| count.min(TOKENS_MAX))
    };
    let prompt = count("promptTokenCount");
    let answer = count("candidatesTokenCount").or_else(|| count("responseTokenCount"));
    let reasoning = count("thoughtsTokenCount").unwrap_or(0);
    let tools = count("toolUsePromptTokenCount").unwrap_or(0);
    let cached = count("cachedContentTokenCount").unwrap_or(0);
    let total = count("totalTokenCount");
    if prompt.is_none() && answer.is_none() && total.is_none() {
        return None;
    }
    let input = match (prompt, total) {
        (Some(prompt), _) => prompt + tools,
        (None, Some(total)) => total.saturating_sub(answer.unwrap_or(0) + reasoning),
        (None, None) => tools,
    };
    let output = match (answer, total) {
        // Some models include reasoning in the candidates; the total shows it.
        (Some(answer), Some(total)) if answer >= reasoning && input + answer == total => answer,
        (Some(answer), _) => answer + reasoning,
        (None, Some(total)) => total.saturating_sub(input).max(reasoning),
        (None, None) => reasoning,
    };
    let of = |keys: &[&str], kinds: &[&str]| {
        keys.iter().map(|key| of_modality(metadata, key, kinds)).sum::<u64>()
    };
    let prompts = ["promptTokensDetails", "toolUsePromptTokensDetails"];
    let answers = ["candidatesTokensDetails"];
    Some(Usage {
        input_tokens: input,
        output_tokens: output,
        cached_tokens: cached.min(input),
        input_audio_tokens: of(&prompts, &["AUDIO"]).min(input),
        input_image_tokens: of(&prompts, &["IMAGE", "VIDEO"]).min(input),
        output_audio_tokens: of(&answers, &["AUDIO"]).min(output),
        output_image_tokens: of(&answers, &["IMAGE", "VIDEO"]).min(output),
        reasoning_tokens: reasoning,
        estimated: is_bent || cached > input,
        ..Usage::default()
    })
}

/// The tokens of these modalities in a list.
fn of_modality(metadata: Node<'_>, key: &str, kinds: &[&str]) -> u64 {
    let details = metadata.get(key).into_iter().flat_map(Node::items);
    let of_kind = details.filter(|detail| kinds.contains(&detail.text_of("modality")));
    let counts = of_kind.filter_map(|detail| detail.get("tokenCount").and_then(Node::u64));
    counts.fold(0, |sum, count| sum.saturating_add(count.min(TOKENS_MAX)))
}

/// Writes the members of `usageMetadata`.
pub(super) fn write(object: &mut ObjectWriter<'_>, usage: &Usage) {
    // Some vendors count it apart from the output, so that it may be larger.
    let reasoning = usage.reasoning_tokens.min(usage.output_tokens);
    object.number("promptTokenCount", usage.input_tokens);
    if usage.cached_tokens > 0 {
        object.number("cachedContentTokenCount", usage.cached_tokens);
    }
    object.number("candidatesTokenCount", usage.output_tokens - reasoning);
    if reasoning > 0 {
        object.number("thoughtsTokenCount", reasoning);
    }
    object.number("totalTokenCount", usage.input_tokens.saturating_add(usage.output_tokens));
    let input = [("AUDIO", usage.input_audio_tokens), ("IMAGE", usage.input_image_tokens)];
    let output = [("AUDIO", usage.output_audio_tokens), ("IMAGE", usage.output_image_tokens)];
    for (key, total, parts) in [
        ("promptTokensDetails", usage.input_tokens, input),
        ("candidatesTokensDetails", usage.output_tokens - reasoning, output),
    ] {
        if parts.iter().any(|(_, count)| *count > 0) {
            let apart: u64 = parts.iter().map(|(_, count)| *count).sum();
            let text = [("TEXT", total.saturating_sub(apart))];
            object.array(key, |array| {
                for (modality, count) in text.iter().chain(&parts).filter(|(_, count)| *count > 0) {
                    array.object(|detail| {
                        detail.text("modality", modality);
                        detail.number("tokenCount", *count);
                    });
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{Scanner, write_object};

    fn found(metadata: &str) -> Option<Usage> {
        Scanner::default().read(metadata.as_bytes(), read).expect("JSON")
    }

    fn check(metadata: &str, input: u64, output: u64, cached: u64, reasoning: u64) {
        let usage = found(metadata).expect("counts");
        assert_eq!(
            (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.reasoning_tokens),
            (input, output, cached, reasoning),
            "{metadata}"
        );
        let mut out = Vec::new();
        write_object(&mut out, |object| write(object, &usage));
        let again = Scanner::default().read(&out, read).expect("JSON");
        assert_eq!(again, Some(Usage { estimated: false, ..usage }), "{metadata}");
    }

    #[test]
    fn thinking_and_tool_tokens_are_included() {
        check(
            r#"{"promptTokenCount":20,"candidatesTokenCount":10,"thoughtsTokenCount":20,
                "totalTokenCount":50}"#,
            20,
            30,
            0,
            20,
        );
        check(
            r#"{"promptTokenCount":20,"toolUsePromptTokenCount":7,"candidatesTokenCount":10,
                "thoughtsTokenCount":3,"totalTokenCount":40,"cachedContentTokenCount":16}"#,
            27,
            13,
            16,
            3,
        );
        // Candidates that include the reasoning, according to the total.
        check(
            r#"{"promptTokenCount":20,"candidatesTokenCount":30,"thoughtsTokenCount":20,
                "totalTokenCount":50}"#,
            20,
            30,
            0,
            20,
        );
    }

    #[test]
    fn partial_and_inconsistent_counts_are_handled() {
        check(r#"{"promptTokenCount":9}"#, 9, 0, 0, 0);
        check(r#"{"promptTokenCount":9,"totalTokenCount":9}"#, 9, 0, 0, 0);
        check(r#"{"promptTokenCount":9,"totalTokenCount":12}"#, 9, 3, 0, 0);
        check(r#"{"promptTokenCount":9,"thoughtsTokenCount":5,"totalTokenCount":14}"#, 9, 5, 0, 5);
        check(r#"{"candidatesTokenCount":4,"totalTokenCount":12}"#, 8, 4, 0, 0);
        check(r#"{"promptTokenCount":"9","candidatesTokenCount":null}"#, 9, 0, 0, 0);
        check(r#"{"promptTokenCount":5,"cachedContentTokenCount":9}"#, 5, 0, 5, 0);
        for metadata in ["{}", r#"{"trafficType":"ON_DEMAND"}"#, r#"{"promptTokenCount":null}"#] {
            assert_eq!(found(metadata), None, "{metadata}");
        }
        let bent = found(r#"{"promptTokenCount":-1,"totalTokenCount":1e300}"#);
        assert_eq!(bent, None);
        let bent = found(r#"{"promptTokenCount":9000000000000000,"candidatesTokenCount":[]}"#);
        let bent = bent.expect("a count");
        assert_eq!((bent.input_tokens, bent.estimated), (TOKENS_MAX, true));
    }

    #[test]
    fn audio_and_image_tokens_are_counted() {
        let usage = found(
            r#"{"promptTokenCount":100,"candidatesTokenCount":30,"totalTokenCount":130,
            "promptTokensDetails":[{"modality":"TEXT","tokenCount":20},{"modality":"AUDIO","tokenCount":50},
                {"modality":"IMAGE","tokenCount":10},{"modality":"VIDEO","tokenCount":20}],
            "candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":25},{"modality":"AUDIO","tokenCount":99}]}"#,
        );
        let usage = usage.expect("counts");
        assert_eq!((usage.input_audio_tokens, usage.input_image_tokens), (50, 30));
        assert_eq!((usage.output_audio_tokens, usage.output_image_tokens), (30, 25));
    }
}
