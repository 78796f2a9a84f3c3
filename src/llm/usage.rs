//! Token counts as providers report them, brought to one meaning.
//!
//! Unit: tokens. `input_tokens` includes what was read from or written to a prompt cache, as OpenAI
//! counts; Anthropic and Amazon count those apart, and they are added here. What a provider writes is not
//! trusted: every number is held to 0..=10^12, and one that had to be bent sets `estimated`.

use super::json_value::JsonValue;
use super::price::PicoUsd;

/// Largest count believed. The largest context windows have 10^7 tokens.
const TOKENS_MAX: u64 = 1_000_000_000_000;

/// What one call used.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// Part of `input_tokens` that was read from the provider's cache; never more than it.
    pub cached_tokens: u64,
    /// Part of `input_tokens` that was written to the provider's cache, to live 5 minutes, or 30 at
    /// OpenAI.
    pub cache_write_tokens: u64,
    /// Part of `input_tokens` that was written to the provider's cache, to live an hour, or 12 at
    /// OpenAI.
    pub cache_write_1h_tokens: u64,
    /// Part of `input_tokens` that was sound.
    pub input_audio_tokens: u64,
    /// Part of `input_tokens` that was pictures, where a vendor counts those apart.
    pub input_image_tokens: u64,
    /// Part of `output_tokens` that was sound.
    pub output_audio_tokens: u64,
    /// Part of `output_tokens` that was pictures.
    pub output_image_tokens: u64,
    /// Part of `output_tokens` that was reasoning. xAI counts it beside them; it is added here, and
    /// known by its total.
    pub reasoning_tokens: u64,
    /// Searches of the web that the vendor made, which it bills apart from tokens.
    pub web_searches: u64,
    /// Anthropic served it in its fast mode, at other prices.
    pub fast: bool,
    /// Anthropic served it in the United States only, at other prices.
    pub in_us: bool,
    /// Other models worked for it too (Anthropic's advisors and fallbacks), whose tokens have prices
    /// of their own.
    pub has_other_models: bool,
    /// The cost of the call as the vendor reports it.
    pub reported_cost: Option<PicoUsd>,
    /// Not as the provider reported it: guessed, or bent into range.
    pub estimated: bool,
}

impl Usage {
    /// The counts after a later report of the same stream: its values win, and what it leaves out
    /// stays. Anthropic reports the input when a stream begins and the output when it ends.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        let newer = |before: u64, now: u64| if now > 0 { now } else { before };
        Self {
            input_tokens: newer(self.input_tokens, later.input_tokens),
            output_tokens: newer(self.output_tokens, later.output_tokens),
            cached_tokens: newer(self.cached_tokens, later.cached_tokens),
            cache_write_tokens: newer(self.cache_write_tokens, later.cache_write_tokens),
            cache_write_1h_tokens: newer(self.cache_write_1h_tokens, later.cache_write_1h_tokens),
            input_audio_tokens: newer(self.input_audio_tokens, later.input_audio_tokens),
            input_image_tokens: newer(self.input_image_tokens, later.input_image_tokens),
            output_audio_tokens: newer(self.output_audio_tokens, later.output_audio_tokens),
            output_image_tokens: newer(self.output_image_tokens, later.output_image_tokens),
            reasoning_tokens: newer(self.reasoning_tokens, later.reasoning_tokens),
            web_searches: newer(self.web_searches, later.web_searches),
            fast: self.fast || later.fast,
            in_us: self.in_us || later.in_us,
            has_other_models: self.has_other_models || later.has_other_models,
            reported_cost: later.reported_cost.or(self.reported_cost),
            estimated: self.estimated || later.estimated,
        }
    }

    /// The counts of two calls together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let sum = |one: u64, other: u64| one.saturating_add(other).min(TOKENS_MAX);
        Self {
            input_tokens: sum(self.input_tokens, other.input_tokens),
            output_tokens: sum(self.output_tokens, other.output_tokens),
            cached_tokens: sum(self.cached_tokens, other.cached_tokens),
            cache_write_tokens: sum(self.cache_write_tokens, other.cache_write_tokens),
            cache_write_1h_tokens: sum(self.cache_write_1h_tokens, other.cache_write_1h_tokens),
            input_audio_tokens: sum(self.input_audio_tokens, other.input_audio_tokens),
            input_image_tokens: sum(self.input_image_tokens, other.input_image_tokens),
            output_audio_tokens: sum(self.output_audio_tokens, other.output_audio_tokens),
            output_image_tokens: sum(self.output_image_tokens, other.output_image_tokens),
            reasoning_tokens: sum(self.reasoning_tokens, other.reasoning_tokens),
            web_searches: sum(self.web_searches, other.web_searches),
            fast: self.fast || other.fast,
            in_us: self.in_us || other.in_us,
            has_other_models: self.has_other_models || other.has_other_models,
            reported_cost: self
                .reported_cost
                .zip(other.reported_cost)
                .and_then(|(one, other)| one.checked_add(other)),
            estimated: self.estimated || other.estimated,
        }
    }

    /// Reads a `usage` object in OpenAI's chat, OpenAI's responses, Anthropic's or Amazon's shape.
    /// None if it is no object or has no count at all.
    pub fn read<'a>(value: impl JsonValue<'a>) -> Option<Self> {
        let mut found = Counts::default();
        for (key, value) in value.members() {
            match key.as_ref() {
                "prompt_tokens" => found.prompt = found.number(value),
                "input_tokens" | "inputTokens" => found.input = found.number(value),
                "completion_tokens" | "output_tokens" | "outputTokens" => {
                    found.output = found.number(value).or(found.output);
                }
                "total_tokens" => found.total = found.number(value),
                // OpenAI's realtime events leave out an s.
                "prompt_tokens_details" | "input_tokens_details" | "input_token_details" => {
                    found.input_details(value);
                }
                "completion_tokens_details" | "output_tokens_details" | "output_token_details" => {
                    found.output_details(value);
                }
                "cache_read_input_tokens" | "cacheReadInputTokens" => {
                    found.cache_read = found.number(value);
                }
                "cache_creation_input_tokens" | "cacheWriteInputTokens" => {
                    found.cache_written = found.number(value);
                }
                "cache_creation" => {
                    found.cache_written_1h = found.detail(value, "ephemeral_1h_input_tokens");
                }
                "server_tool_use" => {
                    found.web_searches = found.detail(value, "web_search_requests");
                }
                "cacheDetails" => found.cache_written_1h = found.amazons_hour(value),
                "iterations" => found.iterations(value),
                "speed" => found.fast = value.is_text("fast"),
                "inference_geo" => found.in_us = value.is_text("us"),
                "cost" | "estimated_cost" | "cost_in_usd_ticks" => {
                    found.cost = reported_cost(&key, value).or(found.cost);
                }
                "is_byok" => found.pays_vendor = value.flag() == Some(true),
                "cost_details" => {
                    let upstream = value.member("upstream_inference_cost");
                    found.vendor_cost = upstream.and_then(dollars);
                }
                // DeepSeek's name for it, beside `prompt_tokens` which includes it.
                "prompt_cache_hit_tokens" => found.cached = found.cached.or(found.number(value)),
                _ => {}
            }
        }
        found.settle()
    }
}

/// Rough count of the tokens in `text_bytes` bytes of UTF-8: one per four bytes, rounded up.
///
/// Source: OpenAI's help page "What are tokens and how to count them": about 4 characters of English
/// per token. Code and rare words have more tokens than this, CJK text about a third more (3 bytes a
/// character, about one token each), base64 about twice as many. For limits and for answers that
/// came without usage, marked `estimated`; never for a bill.
#[must_use]
pub fn estimate_tokens(text_bytes: usize) -> u64 {
    u64::try_from(text_bytes.div_ceil(4)).unwrap_or(u64::MAX)
}

/// The members of a usage object, as far as they were there.
#[derive(Default)]
struct Counts {
    prompt: Option<u64>,
    input: Option<u64>,
    output: Option<u64>,
    total: Option<u64>,
    cached: Option<u64>,
    reasoning: Option<u64>,
    cache_read: Option<u64>,
    /// For both terms of life together.
    cache_written: Option<u64>,
    cache_written_1h: Option<u64>,
    /// OpenAI's count, which is part of the input and has a longer term of 12 hours.
    written: Option<u64>,
    written_long: Option<u64>,
    input_audio: Option<u64>,
    input_image: Option<u64>,
    output_audio: Option<u64>,
    output_image: Option<u64>,
    web_searches: Option<u64>,
    /// Anthropic's counts of each model run; the last two are not in the counts above.
    runs: Runs,
    compactions: Runs,
    has_other_models: bool,
    fast: bool,
    in_us: bool,
    cost: Option<PicoUsd>,
    /// What the caller's own account at the vendor is billed, at routers that use it.
    vendor_cost: Option<PicoUsd>,
    pays_vendor: bool,
    bent: bool,
}

/// Sums over model runs of one kind.
#[derive(Clone, Copy, Default)]
struct Runs {
    input: u64,
    cache_read: u64,
    cache_written: u64,
    cache_written_1h: u64,
    output: u64,
}

impl Runs {
    fn total(self) -> u64 {
        [self.input, self.cache_read, self.cache_written, self.output]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    fn add(&mut self, other: Self) {
        let sum = |one: &mut u64, other: u64| *one = one.saturating_add(other).min(TOKENS_MAX);
        sum(&mut self.input, other.input);
        sum(&mut self.cache_read, other.cache_read);
        sum(&mut self.cache_written, other.cache_written);
        sum(&mut self.cache_written_1h, other.cache_written_1h);
        sum(&mut self.output, other.output);
    }
}

/// Decimals of a dollar that a pico-dollar has.
const PICO_PER_DOLLAR: f64 = 1e12;

/// Dollars as a float, to the pico-dollar: floats have 15 digits, and vendors write fewer.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the float is held to a range that fits"
)]
fn dollars<'a>(value: impl JsonValue<'a>) -> Option<PicoUsd> {
    let pico = value.float()? * PICO_PER_DOLLAR;
    (0.0..1e19).contains(&pico).then(|| PicoUsd::new(pico.round() as u64))
}

/// The vendor's own cost of a call: OpenRouter's number of dollars, Perplexity's sum among its parts,
/// DeepInfra's estimate, and xAI's ticks, of which a dollar has 10^10.
fn reported_cost<'a>(key: &str, value: impl JsonValue<'a>) -> Option<PicoUsd> {
    match key {
        "cost_in_usd_ticks" => value.integer()?.checked_mul(100).map(PicoUsd::new),
        _ if value.is_object() => dollars(value.member("total_cost")?),
        _ => dollars(value),
    }
}

impl Counts {
    /// Reads one count. Null is absent; so is what is no number at all, which also marks the usage.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the float is clamped to a range that fits"
    )]
    fn number<'a>(&mut self, value: impl JsonValue<'a>) -> Option<u64> {
        if value.is_null() {
            return None;
        }
        if let Some(exact) = value.integer().filter(|exact| *exact <= TOKENS_MAX) {
            return Some(exact);
        }
        self.bent = true;
        let text = value.text();
        let text = text.as_deref().map(str::trim);
        if let Some(exact) = text.and_then(|text| text.parse::<u64>().ok()) {
            return Some(exact.min(TOKENS_MAX));
        }
        let float = match text {
            Some(text) => text.parse::<f64>().ok(),
            None => value.float(),
        };
        // The cast cuts towards zero and the float is in range, so it is exact below 2^53.
        float
            .filter(|float| !float.is_nan())
            .map(|float| float.clamp(0.0, TOKENS_MAX as f64) as u64)
    }

    fn input_details<'a>(&mut self, details: impl JsonValue<'a>) {
        for (key, value) in details.members() {
            match key.as_ref() {
                "cached_tokens" => self.cached = self.number(value).or(self.cached),
                "cache_write_tokens" => self.written = self.number(value),
                "cache_write_tokens_details" => {
                    self.written_long = self.detail(value, "ttl_12h_tokens");
                }
                "audio_tokens" => self.input_audio = self.number(value),
                "image_tokens" => self.input_image = self.number(value),
                _ => {}
            }
        }
    }

    fn output_details<'a>(&mut self, details: impl JsonValue<'a>) {
        for (key, value) in details.members() {
            match key.as_ref() {
                "reasoning_tokens" => self.reasoning = self.number(value).or(self.reasoning),
                // Anthropic's name for it.
                "thinking_tokens" => self.reasoning = self.reasoning.or(self.number(value)),
                "audio_tokens" => self.output_audio = self.number(value),
                "image_tokens" => self.output_image = self.number(value),
                _ => {}
            }
        }
    }

    fn detail<'a>(&mut self, details: impl JsonValue<'a>, key: &str) -> Option<u64> {
        let value = details.member(key)?;
        self.number(value)
    }

    /// Takes in Anthropic's list of model runs. Turns of a loop of server tools are runs of the model
    /// itself; advisors and fallbacks are other models.
    fn iterations<'a>(&mut self, list: impl JsonValue<'a>) {
        for run in list.items() {
            let number = |found: &mut Self, key: &str| found.detail(run, key).unwrap_or(0);
            let sums = Runs {
                input: number(self, "input_tokens"),
                cache_read: number(self, "cache_read_input_tokens"),
                cache_written: number(self, "cache_creation_input_tokens"),
                cache_written_1h: run
                    .member("cache_creation")
                    .and_then(|it| self.detail(it, "ephemeral_1h_input_tokens"))
                    .unwrap_or(0),
                output: number(self, "output_tokens"),
            };
            match run.member("type").and_then(JsonValue::text).as_deref() {
                Some("compaction") => self.compactions.add(sums),
                Some("advisor_message") => self.has_other_models = true,
                Some("fallback_message") => {
                    self.has_other_models = true;
                    self.runs.add(sums);
                }
                _ => self.runs.add(sums),
            }
        }
    }

    /// Makes the counts those of all runs of the model. The sums of a report hold all of them but
    /// compactions; where they hold less, the runs are believed.
    fn add_runs(&mut self) {
        if self.runs.total() == 0 && self.compactions.total() == 0 {
            return;
        }
        let reported = Runs {
            input: self.input.unwrap_or(0),
            cache_read: self.cache_read.unwrap_or(0),
            cache_written: self.cache_written.unwrap_or(0),
            cache_written_1h: self.cache_written_1h.unwrap_or(0),
            output: self.output.unwrap_or(0),
        };
        let mut all = if self.runs.total() > reported.total() { self.runs } else { reported };
        all.add(self.compactions);
        self.input = Some(all.input);
        self.cache_read = Some(all.cache_read);
        self.cache_written = Some(all.cache_written);
        self.cache_written_1h = Some(all.cache_written_1h);
        self.output = Some(all.output);
    }

    /// The vendor's counts, with what it bills elsewhere.
    fn whole_cost(&self) -> Option<PicoUsd> {
        let elsewhere = self.vendor_cost.filter(|_| self.pays_vendor);
        let cost = self.cost?;
        elsewhere.map_or(Some(cost), |more| cost.checked_add(more))
    }

    /// What was written to live an hour, in Amazon's list by term of life.
    fn amazons_hour<'a>(&mut self, details: impl JsonValue<'a>) -> Option<u64> {
        let mut found = None;
        for detail in details.items() {
            if detail.member("ttl").is_some_and(|ttl| ttl.is_text("1h")) {
                found = self.detail(detail, "inputTokens").or(found);
            }
        }
        found
    }

    /// Brings what was found to one meaning.
    fn settle(mut self) -> Option<Usage> {
        self.add_runs();
        let apart = self.cache_read.unwrap_or(0) + self.cache_written.unwrap_or(0);
        // Only where Anthropic's names stand alone are cached tokens counted apart: proxies that
        // answer in OpenAI's shape repeat them beside a `prompt_tokens` that includes them.
        let input = self.prompt.or(self.input.map(|input| input + apart));
        if input.is_none() && self.output.is_none() && self.total.is_none() {
            return None;
        }
        let total = self.total.unwrap_or(0);
        let input_tokens = input.unwrap_or_else(|| total.saturating_sub(self.output.unwrap_or(0)));
        let output_tokens = self.output.unwrap_or_else(|| total.saturating_sub(input_tokens));
        let reasoning = self.reasoning.unwrap_or(0);
        let beside = reasoning > output_tokens
            || self.total == Some(input_tokens.saturating_add(output_tokens + reasoning));
        let output_tokens = output_tokens + if beside { reasoning } else { 0 };
        let cached = self.cached.or(self.cache_read).unwrap_or(0);
        let written = self.cache_written.or(self.written).unwrap_or(0);
        let written = written.min(input_tokens).min(TOKENS_MAX);
        let written_1h = self.cache_written_1h.or(self.written_long).unwrap_or(0).min(written);
        let input_part = |part: Option<u64>| part.unwrap_or(0).min(input_tokens).min(TOKENS_MAX);
        let output_part = |part: Option<u64>| part.unwrap_or(0).min(output_tokens);
        Some(Usage {
            cache_write_tokens: written - written_1h,
            cache_write_1h_tokens: written_1h,
            input_audio_tokens: input_part(self.input_audio),
            input_image_tokens: input_part(self.input_image),
            output_audio_tokens: output_part(self.output_audio),
            output_image_tokens: output_part(self.output_image),
            input_tokens: input_tokens.min(TOKENS_MAX),
            output_tokens,
            cached_tokens: cached.min(input_tokens).min(TOKENS_MAX),
            web_searches: self.web_searches.unwrap_or(0),
            fast: self.fast,
            in_us: self.in_us,
            has_other_models: self.has_other_models,
            reported_cost: self.whole_cost(),
            reasoning_tokens: reasoning,
            estimated: self.bent || cached > input_tokens || input_tokens > TOKENS_MAX,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AnswerOutline, ChunkOutline};
    use super::*;

    fn read(usage: &str) -> Option<Usage> {
        let body = format!(r#"{{"usage":{usage}}}"#);
        let answer = AnswerOutline::read(body.as_bytes()).unwrap().usage;
        assert_eq!(ChunkOutline::read(body.as_bytes()).unwrap().usage, answer);
        answer
    }

    fn check(usage: &str, input: u64, output: u64, cached: u64, reasoning: u64) {
        let expected = Usage {
            input_tokens: input,
            output_tokens: output,
            cached_tokens: cached,
            reasoning_tokens: reasoning,
            ..Usage::default()
        };
        let found = read(usage);
        let found = found.map(|it| Usage { cache_write_tokens: 0, cache_write_1h_tokens: 0, ..it });
        assert_eq!(found, Some(expected), "{usage}");
    }

    #[test]
    fn vendor_usage_formats_are_read() {
        // OpenAI, chat completions.
        let chat = r#"{"prompt_tokens":20,"completion_tokens":9,"total_tokens":29,
            "prompt_tokens_details":{"cached_tokens":16,"audio_tokens":0},
            "completion_tokens_details":{"reasoning_tokens":4,"audio_tokens":0}}"#;
        check(chat, 20, 9, 16, 4);
        // OpenAI, embeddings.
        check(r#"{"prompt_tokens":8,"total_tokens":8}"#, 8, 0, 0, 0);
        // OpenAI, responses.
        let responses = r#"{"input_tokens":20,"input_tokens_details":{"cached_tokens":3},
            "output_tokens":9,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":29}"#;
        check(responses, 20, 9, 3, 2);
        // OpenAI, realtime.
        let realtime = r#"{"total_tokens":29,"input_tokens":20,"output_tokens":9,
            "input_token_details":{"text_tokens":8,"audio_tokens":12,"cached_tokens":3},
            "output_token_details":{"text_tokens":2,"audio_tokens":7}}"#;
        let found = read(realtime).expect("counts");
        let parts = (found.cached_tokens, found.input_audio_tokens, found.output_audio_tokens);
        assert_eq!((found.input_tokens, found.output_tokens, parts), (20, 9, (3, 12, 7)));
        // Anthropic: cached tokens are counted apart.
        let messages = r#"{"input_tokens":5,"cache_creation_input_tokens":100,
            "cache_read_input_tokens":1000,"output_tokens":9}"#;
        check(messages, 1105, 9, 1000, 0);
        // Amazon: likewise.
        let converse = r#"{"inputTokens":5,"outputTokens":9,"totalTokens":1114,
            "cacheReadInputTokens":1000,"cacheWriteInputTokens":100,
            "cacheDetails":[{"ttl":"1h","inputTokens":60}]}"#;
        check(converse, 1105, 9, 1000, 0);
        // A proxy that answers in OpenAI's shape and repeats Anthropic's names.
        let both = r#"{"prompt_tokens":1105,"completion_tokens":9,"total_tokens":1114,
            "cache_read_input_tokens":1000,"cache_creation_input_tokens":100}"#;
        check(both, 1105, 9, 1000, 0);
        // xAI: what was reasoned is counted beside the answer, as the total shows.
        let beside = r#"{"prompt_tokens":10,"completion_tokens":2,"total_tokens":112,
            "completion_tokens_details":{"reasoning_tokens":100}}"#;
        check(beside, 10, 102, 0, 100);
        let little = r#"{"prompt_tokens":10,"completion_tokens":9,"total_tokens":22,
            "completion_tokens_details":{"reasoning_tokens":3}}"#;
        check(little, 10, 12, 0, 3);
        // DeepSeek.
        let hits = r#"{"prompt_tokens":10,"completion_tokens":2,"prompt_cache_hit_tokens":6}"#;
        check(hits, 10, 2, 6, 0);
    }

    #[test]
    fn model_iterations_are_summed() {
        let run = |kind: &str, input: u64, output: u64| {
            format!(
                r#"{{"type":"{kind}","input_tokens":{input},"output_tokens":{output},
                "cache_read_input_tokens":10,"cache_creation_input_tokens":4,
                "cache_creation":{{"ephemeral_1h_input_tokens":3}}}}"#
            )
        };
        let counts = |usage: &str| {
            let found = read(usage).expect("counts");
            let written = (found.cache_write_tokens, found.cache_write_1h_tokens);
            (found.input_tokens, found.output_tokens, found.cached_tokens, written)
        };
        let (one, two) = (run("message", 5, 7), run("message", 6, 8));
        let whole = format!(
            r#"{{"input_tokens":11,"output_tokens":15,"cache_read_input_tokens":20,
            "cache_creation_input_tokens":8,"cache_creation":{{"ephemeral_1h_input_tokens":6}},
            "iterations":[{one},{two}]}}"#
        );
        assert_eq!(counts(&whole), (39, 15, 20, (2, 6)));
        // A report of the last run alone, and one of the answer's tokens alone.
        let last = format!(r#"{{"input_tokens":6,"output_tokens":8,"iterations":[{one},{two}]}}"#);
        assert_eq!(counts(&last), (39, 15, 20, (2, 6)));
        let ended = format!(r#"{{"output_tokens":15,"iterations":[{one},{two}]}}"#);
        assert_eq!(counts(&ended), (39, 15, 20, (2, 6)));
        // What was compacted is in no sum.
        let compacted = format!(
            r#"{{"input_tokens":5,"output_tokens":7,"cache_read_input_tokens":10,
            "cache_creation_input_tokens":4,"iterations":[{},{one}]}}"#,
            run("compaction", 100, 50)
        );
        assert_eq!(counts(&compacted), (5 + 100 + 2 * 14, 57, 20, (5, 3)));
        let advised = format!(
            r#"{{"input_tokens":5,"output_tokens":7,"iterations":[{one},{}]}}"#,
            run("advisor_message", 900, 90)
        );
        let found = read(&advised).expect("counts");
        assert_eq!((found.output_tokens, found.has_other_models), (7, true));
    }

    #[test]
    fn vendor_reported_costs_are_read() {
        for (members, expected) in [
            (r#""cost":0.00014"#, Some(140_000_000)),
            (
                r#""cost":0.1,"is_byok":true,"cost_details":{"upstream_inference_cost":2}"#,
                Some(2_100_000_000_000),
            ),
            (
                r#""cost":0.1,"is_byok":false,"cost_details":{"upstream_inference_cost":0.1}"#,
                Some(100_000_000_000),
            ),
            (
                r#""cost":{"input_tokens_cost":1,"request_cost":0.005,"total_cost":0.0051}"#,
                Some(5_100_000_000),
            ),
            (r#""estimated_cost":1.5e-7"#, Some(150_000)),
            (r#""cost_in_usd_ticks":37756000"#, Some(3_775_600_000)),
            (r#""cost":-1"#, None),
            (r#""cost":"much""#, None),
            (r#""cost":1e300"#, None),
        ] {
            let usage = format!(r#"{{"prompt_tokens":1,"completion_tokens":1,{members}}}"#);
            let found = read(&usage).expect("counts").reported_cost;
            assert_eq!(found.map(PicoUsd::get), expected, "{members}");
        }
    }

    #[test]
    fn usages_are_summed() {
        let call =
            Usage { input_tokens: 5, output_tokens: 2, cached_tokens: 1, ..Usage::default() };
        let guessed = Usage { output_tokens: 3, estimated: true, ..Usage::default() };
        let both = call.plus(guessed);
        assert_eq!((both.input_tokens, both.output_tokens, both.cached_tokens), (5, 5, 1));
        assert!(both.estimated && !call.plus(call).estimated);
        let most = Usage { input_tokens: TOKENS_MAX, ..Usage::default() };
        assert_eq!(most.plus(most).input_tokens, TOKENS_MAX);
    }

    #[test]
    fn cache_write_and_media_tokens_are_counted() {
        let messages = r#"{"input_tokens":5,"cache_creation_input_tokens":100,
            "cache_creation":{"ephemeral_5m_input_tokens":60,"ephemeral_1h_input_tokens":40},
            "cache_read_input_tokens":1000,"output_tokens":9}"#;
        let found = read(messages).expect("counts");
        assert_eq!((found.cache_write_tokens, found.cache_write_1h_tokens), (60, 40));
        assert_eq!((found.input_tokens, found.cached_tokens), (1105, 1000));
        let responses = r#"{"input_tokens":1105,"output_tokens":9,"input_tokens_details":{
            "cached_tokens":1000,"cache_write_tokens":100,
            "cache_write_tokens_details":{"ttl_30m_tokens":60,"ttl_12h_tokens":40}}}"#;
        assert_eq!(read(responses), Some(found));
        let thoughts = r#"{"input_tokens":5,"output_tokens":30,
            "output_tokens_details":{"thinking_tokens":20},
            "server_tool_use":{"web_search_requests":2,"web_fetch_requests":0}}"#;
        let found = read(thoughts).expect("counts");
        assert_eq!((found.reasoning_tokens, found.web_searches), (20, 2));
        let chat = r#"{"prompt_tokens":20,"completion_tokens":9,
            "prompt_tokens_details":{"audio_tokens":7,"image_tokens":30},
            "completion_tokens_details":{"audio_tokens":3}}"#;
        let found = read(chat).expect("counts");
        assert_eq!((found.input_audio_tokens, found.input_image_tokens), (7, 20));
        assert_eq!(found.output_audio_tokens, 3);
    }

    #[test]
    fn later_report_overrides_present_members() {
        let begun = read(r#"{"input_tokens":25,"cache_read_input_tokens":10,"output_tokens":1}"#);
        let ended = read(r#"{"output_tokens":15}"#);
        let both = begun.expect("counts").then(ended.expect("counts"));
        assert_eq!((both.input_tokens, both.cached_tokens, both.output_tokens), (35, 10, 15));
    }

    #[test]
    fn partial_counts_are_completed() {
        check(r#"{"total_tokens":10}"#, 10, 0, 0, 0);
        check(r#"{"total_tokens":10,"completion_tokens":4}"#, 6, 4, 0, 0);
        check(r#"{"total_tokens":10,"prompt_tokens":4}"#, 4, 6, 0, 0);
        check(r#"{"output_tokens":3}"#, 0, 3, 0, 0);
        check(
            r#"{"prompt_tokens":1,"completion_tokens":null,"prompt_tokens_details":null}"#,
            1,
            0,
            0,
            0,
        );
        for usage in ["null", "{}", "[]", "7", r#"{"prompt_tokens":null}"#, r#"{"cost":1}"#] {
            assert_eq!(read(usage), None, "{usage}");
        }
    }

    #[test]
    fn inconsistent_counts_are_flagged() {
        for (number, expected) in [
            ("-1", 0),
            ("-9223372036854775808", 0),
            ("1000000000000", TOKENS_MAX),
            ("1000000000001", TOKENS_MAX),
            ("18446744073709551615", TOKENS_MAX),
            ("99999999999999999999999", TOKENS_MAX),
            ("1e300", TOKENS_MAX),
            ("-1e300", 0),
            ("12.9", 12),
            ("12.0", 12),
            (r#""12""#, 12),
            (r#"" 12.5 ""#, 12),
            (r#""-3""#, 0),
            (r#""NaN""#, 0),
            (r#""inf""#, TOKENS_MAX),
            (r#""many""#, 0),
            ("true", 0),
            ("[1]", 0),
        ] {
            let found =
                read(&format!(r#"{{"prompt_tokens":{number},"completion_tokens":3}}"#)).unwrap();
            assert_eq!((found.input_tokens, found.output_tokens), (expected, 3), "{number}");
            assert_eq!(found.estimated, number != "1000000000000", "{number}");
        }
    }

    #[test]
    fn sums_saturate() {
        let found = read(
            r#"{"input_tokens":1000000000000,"cache_read_input_tokens":1000000000000,
            "cache_creation_input_tokens":1000000000000}"#,
        );
        let found = found.unwrap();
        assert_eq!((found.input_tokens, found.cached_tokens), (TOKENS_MAX, TOKENS_MAX));
        assert!(found.estimated);
        let found =
            read(r#"{"prompt_tokens":5,"prompt_tokens_details":{"cached_tokens":9}}"#).unwrap();
        assert_eq!((found.cached_tokens, found.estimated), (5, true));
    }

    #[test]
    fn estimates_are_flagged() {
        for (bytes, tokens) in [(0, 0), (1, 1), (4, 1), (5, 2), (usize::MAX, 1 << 62)] {
            assert_eq!(estimate_tokens(bytes), tokens);
        }
    }
}
