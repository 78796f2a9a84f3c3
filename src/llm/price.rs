//! Money and prices: whole pico-dollars, what a price is for, and the list of prices of one model.
//!
//! Unit: 10⁻¹² US dollars, so that every published price is a whole number: a dollar for a million
//! tokens is 1 000 000 for one. No floating-point number takes part.

use std::fmt;

/// An amount of money, never negative, in 10⁻¹² US dollars.
///
/// 64 bits, since budgets that many threads share are atomics, and those have 64. They hold 18.4
/// million dollars; what would go beyond is refused by the checked operations, never wrapped.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PicoUsd(u64);

impl PicoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many pico-dollars.
    #[must_use]
    pub const fn new(pico: u64) -> Self {
        Self(pico)
    }

    /// The number of pico-dollars.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The sum; `None` if it is more than can be held.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// This price for `count` units; `None` if it is more than can be held.
    #[must_use]
    pub fn checked_mul(self, count: u64) -> Option<Self> {
        self.0.checked_mul(count).map(Self)
    }

    /// The amount in dollars, written as a plain decimal: `2.5`, `0.000015`.
    ///
    /// `None` if it is none, has more than 12 decimals, or is more than can be held.
    #[must_use]
    pub fn from_dollars(text: &str) -> Option<Self> {
        scaled(text, 12).map(Self)
    }

    /// The price of one unit, of which a million cost the dollars written, with at most 6 decimals.
    #[must_use]
    pub fn from_dollars_per_million(text: &str) -> Option<Self> {
        scaled(text, 6).map(Self)
    }

    /// The dollars for a million units at this price, as a plain decimal.
    #[must_use]
    pub fn dollars_per_million(self) -> String {
        decimal(self.0, 6)
    }
}

/// Dollars as a plain decimal, exact, without a sign: `0.0125`.
impl fmt::Display for PicoUsd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&decimal(self.0, 12))
    }
}

/// `text × 10^places` as a whole number, exactly.
fn scaled(text: &str, places: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > places || !digits(whole) || !digits(fraction) {
        return None;
    }
    format!("{whole}{fraction:0<places$}").parse().ok()
}

/// `value × 10^-places` without zeros at its end.
fn decimal(value: u64, places: u32) -> String {
    let unit = 10_u64.pow(places);
    let (whole, fraction) = (value / unit, value % unit);
    let width = places as usize;
    let text = format!("{whole}.{fraction:0width$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What a price is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RateKind {
    /// A token of the prompt that no other kind covers.
    Input,
    /// A token of the answer that no other kind covers.
    Output,
    /// A token read from the vendor's cache.
    CacheRead,
    /// A token written to the vendor's cache, to live 5 minutes, or as long as that vendor's live.
    CacheWrite,
    /// A token written to the vendor's cache, to live an hour.
    CacheWrite1h,
    /// A token of sound in the prompt.
    InputAudio,
    /// A token of sound in the answer.
    OutputAudio,
    /// A token of a picture in the prompt.
    InputImage,
    /// A token of a picture in the answer.
    OutputImage,
    /// A token of reasoning, beside which the rest of the answer has its own price.
    Reasoning,
    /// A token of an answer that was reasoned about, the reasoning and the rest alike.
    OutputReasoned,
    /// A picture made.
    PerImage,
    /// A picture in the prompt.
    PerInputImage,
    /// A second of sound or film made.
    PerSecond,
    /// A second of sound or film in the prompt.
    PerInputSecond,
    /// A character made.
    PerCharacter,
    /// A character in the prompt.
    PerInputCharacter,
    /// A pixel made.
    PerPixel,
    /// A pixel in the prompt.
    PerInputPixel,
    /// A call, or at rerankers a query with the number of documents that the vendor counts as one.
    PerQuery,
    /// A page of a document.
    PerPage,
    /// A search of the web that the model made.
    PerSearch,
}

impl RateKind {
    /// Each with its name in the catalog.
    pub const ALL: [(Self, &'static str); 22] = [
        (Self::Input, "input"),
        (Self::Output, "output"),
        (Self::CacheRead, "cache_read"),
        (Self::CacheWrite, "cache_write"),
        (Self::CacheWrite1h, "cache_write_1h"),
        (Self::InputAudio, "input_audio"),
        (Self::OutputAudio, "output_audio"),
        (Self::InputImage, "input_image"),
        (Self::OutputImage, "output_image"),
        (Self::Reasoning, "reasoning"),
        (Self::OutputReasoned, "output_reasoned"),
        (Self::PerImage, "per_image"),
        (Self::PerInputImage, "per_input_image"),
        (Self::PerSecond, "per_second"),
        (Self::PerInputSecond, "per_input_second"),
        (Self::PerCharacter, "per_character"),
        (Self::PerInputCharacter, "per_input_character"),
        (Self::PerPixel, "per_pixel"),
        (Self::PerInputPixel, "per_input_pixel"),
        (Self::PerQuery, "per_query"),
        (Self::PerPage, "per_page"),
        (Self::PerSearch, "per_search"),
    ];

    /// Its name in the catalog.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// True if it is priced by the token.
    #[must_use]
    pub fn is_per_token(self) -> bool {
        self < Self::PerImage
    }
}

/// On what terms a vendor served a call.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// At once, as everybody is served.
    #[default]
    Standard,
    /// [`Tier::Standard`] in a vendor's off-peak hours; [`cost()`](super::cost()) selects it.
    OffPeak,
    /// Within a day, as part of a batch.
    Batch,
    /// When there is room.
    Flex,
    /// Before others.
    Priority,
}

impl Tier {
    /// Each with its name in the catalog.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Standard, ""),
        (Self::OffPeak, "off_peak"),
        (Self::Batch, "batch"),
        (Self::Flex, "flex"),
        (Self::Priority, "priority"),
    ];

    /// The tier that an answer names in its `service_tier`; an unknown name is the standard one.
    #[must_use]
    pub fn of_answer(service_tier: &str) -> Self {
        match service_tier {
            "batch" => Self::Batch,
            "flex" => Self::Flex,
            "priority" => Self::Priority,
            _ => Self::Standard,
        }
    }
}

/// One price of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate {
    /// On which terms.
    pub tier: Tier,
    /// It holds for requests whose input is longer than so many tokens, for all of their tokens.
    pub above_tokens: u32,
    /// For what.
    pub kind: RateKind,
    /// For one unit of it.
    pub price: PicoUsd,
}

impl Rate {
    /// Reads what the catalog calls it: `input`, `batch.>200000.cache_read`.
    #[must_use]
    pub fn named(name: &str, price: PicoUsd) -> Option<Self> {
        let (mut tier, mut above_tokens) = (Tier::Standard, 0);
        let (terms, kind) = name.rsplit_once('.').unwrap_or(("", name));
        for term in terms.split('.').filter(|term| !term.is_empty()) {
            match term.strip_prefix('>') {
                Some(tokens) => above_tokens = tokens.parse().ok()?,
                None => tier = Tier::ALL.iter().find(|(_, name)| *name == term)?.0,
            }
        }
        let kind = RateKind::ALL.iter().find(|(_, name)| *name == kind)?.0;
        Some(Self { tier, above_tokens, kind, price })
    }

    /// What the catalog calls it.
    #[must_use]
    pub fn name(&self) -> String {
        let tier = Tier::ALL.iter().find(|(tier, _)| *tier == self.tier);
        let mut name = tier.map_or(String::new(), |(_, name)| (*name).to_owned());
        if !name.is_empty() {
            name.push('.');
        }
        if self.above_tokens > 0 {
            name.push_str(&format!(">{}.", self.above_tokens));
        }
        name + self.kind.name()
    }
}

/// The prices of one model, as far as they are known.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct Prices(Box<[Rate]>);

impl Prices {
    /// A list in any order.
    #[must_use]
    pub fn new(mut rates: Vec<Rate>) -> Self {
        rates.sort_unstable();
        Self(rates.into_boxed_slice())
    }

    /// True if no price is known, which is not a price of nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, by tier, bracket and kind.
    #[must_use]
    pub fn rates(&self) -> &[Rate] {
        &self.0
    }

    /// The price of one unit of `kind` in a request with so many tokens of input: that of the
    /// highest bracket which the request reaches and which has one.
    #[must_use]
    pub fn price(&self, kind: RateKind, tier: Tier, input_tokens: u64) -> Option<PicoUsd> {
        let holds = |rate: &&Rate| {
            let reached = rate.above_tokens == 0 || input_tokens > u64::from(rate.above_tokens);
            rate.kind == kind && rate.tier == tier && reached
        };
        self.0.iter().rfind(holds).map(|rate| rate.price)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact() {
        for (text, pico) in [
            ("0", Some(0)),
            ("2.5", Some(2_500_000_000_000)),
            ("0.000000000001", Some(1)),
            ("18446744.073709551615", Some(u64::MAX)),
            ("18446744.073709551616", None),
            ("0.0000000000001", None),
            ("", None),
            (".5", None),
            ("-1", None),
            ("1e3", None),
            ("1_0", None),
        ] {
            let amount = PicoUsd::from_dollars(text);
            assert_eq!(amount.map(PicoUsd::get), pico, "{text}");
            if let Some(amount) = amount {
                assert_eq!(amount.to_string(), text);
            }
        }
        // 0.1 + 0.2 and 0.15 have no exact binary form.
        for (text, pico) in [("0.15", 150_000), ("0.3", 300_000), ("2.500001", 2_500_001)] {
            let price = PicoUsd::from_dollars_per_million(text);
            assert_eq!(price, Some(PicoUsd::new(pico)));
            assert_eq!(price.map(PicoUsd::dollars_per_million).as_deref(), Some(text));
        }
        assert_eq!(PicoUsd::from_dollars_per_million("0.0000001"), None);
    }

    #[test]
    fn overflow_is_detected() {
        let most = PicoUsd::new(u64::MAX);
        assert_eq!(most.checked_add(PicoUsd::new(1)), None);
        assert_eq!(most.checked_mul(2), None);
        assert_eq!(most.checked_add(PicoUsd::ZERO), Some(most));
    }

    #[test]
    fn rate_names_round_trip() {
        for name in ["input", "batch.output", ">200000.cache_read", "priority.>272000.per_query"] {
            let rate = Rate::named(name, PicoUsd::new(5)).expect("a name");
            assert_eq!(rate.name(), name);
        }
        for name in ["", "inputs", "fast.input", ">.input", ">5000000000.input", "batch."] {
            assert_eq!(Rate::named(name, PicoUsd::ZERO), None, "{name}");
        }
    }

    #[test]
    fn highest_reached_bracket_applies() {
        let rates = [("input", 1), (">10.input", 2), (">20.input", 3), ("batch.input", 4)];
        let prices = Prices::new(
            rates
                .iter()
                .filter_map(|(name, pico)| Rate::named(name, PicoUsd::new(*pico)))
                .collect(),
        );
        let price =
            |tokens| prices.price(RateKind::Input, Tier::Standard, tokens).map(PicoUsd::get);
        for (tokens, expected) in [(0, 1), (10, 1), (11, 2), (20, 2), (21, 3), (u64::MAX, 3)] {
            assert_eq!(price(tokens), Some(expected), "{tokens}");
        }
        assert_eq!(prices.price(RateKind::Input, Tier::Batch, 50), Some(PicoUsd::new(4)));
        assert_eq!(prices.price(RateKind::Input, Tier::Flex, 50), None);
        assert_eq!(prices.price(RateKind::Output, Tier::Standard, 50), None);
    }
}
