//! Reasons why two near questions have different answers, each a small rule over two profiles.
//!
//! What a guard refuses is refused at any similarity, but for the two rules that only count words: they
//! excuse a pair that is nearer than another word would leave it. One word of `n` moves the cosine by
//! something like `1/n`, so that the longer the questions, the nearer they have to be. Every guard says
//! the same of a pair and of the pair exchanged.

mod addition;
mod arrangement;
mod classes;
mod closed_word;
mod focus;
mod gap;
mod given_text;
mod identity;
mod language;
mod letters;
mod mark;
mod names;
mod negation;
mod number_order;
mod opposites;
mod order;
mod quantities;
mod question;
mod signs;
mod substitution;
mod suffix;

use super::comparison::Comparison;
use super::profile::Profile;

/// Which rule refused a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardName {
    /// Code, URLs, identifiers or quotations differ, or a text was too long to be read whole.
    Identity,
    /// Another script or language.
    Language,
    /// Numbers, dates, times, amounts or versions differ.
    Quantities,
    /// One of the two is negated.
    Negation,
    /// Each has a word that excludes one of the other: on and off, adult and child, safe and unsafe.
    Opposites,
    /// Each names something that the other does not.
    Names,
    /// The same words with exchanged roles: from here to there, and back.
    Order,
    /// The questions expect different kinds of answers: when and where.
    QuestionKind,
    /// Characters above ASCII differ: emoji, accents, mathematical signs.
    Letters,
    /// Signs of arithmetic or code, flags, or the case of a unit differ.
    Signs,
    /// The same numbers in another order where it counts.
    NumberOrder,
    /// Text that is given to be worked on differs, if only in a space.
    GivenText,
    /// Can and must, all and any, if and unless, before and after, was and will be.
    Classes,
    /// One small word is replaced by another.
    ClosedWord,
    /// Only, almost or not stands before another word.
    Focus,
    /// What is asked for does it in one, and has it done to it in the other.
    Gap,
    /// The same words with exchanged roles.
    Arrangement,
    /// One has a name more, or a word behind a number.
    Suffix,
    /// A statement and a question, or a word and the name that is spelled like it.
    Mark,
    /// All words but one are the same.
    Substitution,
    /// One has all words of the other and more.
    Addition,
}

/// A rule and its name.
pub struct Guard {
    /// What the log and the metrics call it.
    pub name: GuardName,
    /// True if the pair must not share an answer.
    pub fires: fn(&Comparison<'_>) -> bool,
    /// True if it keeps silent all the same, since the pair is so near.
    pub is_excused: fn(&Comparison<'_>, f32) -> bool,
}

/// For a rule that holds at any similarity.
fn never(_: &Comparison<'_>, _: f32) -> bool {
    false
}

/// All guards, in the order in which they run: the first that refuses is reported, so the surest is first.
pub const GUARDS: [Guard; 21] = [
    Guard { name: GuardName::Identity, fires: identity::fires, is_excused: never },
    Guard { name: GuardName::Language, fires: language::fires, is_excused: never },
    Guard { name: GuardName::Quantities, fires: quantities::fires, is_excused: never },
    Guard { name: GuardName::Negation, fires: negation::fires, is_excused: never },
    Guard { name: GuardName::Opposites, fires: opposites::fires, is_excused: never },
    Guard { name: GuardName::Names, fires: names::fires, is_excused: never },
    Guard { name: GuardName::Order, fires: order::fires, is_excused: never },
    Guard { name: GuardName::QuestionKind, fires: question::fires, is_excused: never },
    Guard { name: GuardName::Letters, fires: letters::fires, is_excused: never },
    Guard { name: GuardName::Signs, fires: signs::fires, is_excused: never },
    Guard { name: GuardName::NumberOrder, fires: number_order::fires, is_excused: never },
    Guard { name: GuardName::GivenText, fires: given_text::fires, is_excused: never },
    Guard { name: GuardName::Classes, fires: classes::fires, is_excused: never },
    Guard { name: GuardName::ClosedWord, fires: closed_word::fires, is_excused: never },
    Guard { name: GuardName::Focus, fires: focus::fires, is_excused: never },
    Guard { name: GuardName::Gap, fires: gap::fires, is_excused: never },
    Guard { name: GuardName::Arrangement, fires: arrangement::fires, is_excused: never },
    Guard { name: GuardName::Suffix, fires: suffix::fires, is_excused: never },
    Guard { name: GuardName::Mark, fires: mark::fires, is_excused: never },
    Guard {
        name: GuardName::Substitution,
        fires: substitution::fires,
        is_excused: substitution::is_excused,
    },
    Guard { name: GuardName::Addition, fires: addition::fires, is_excused: addition::is_excused },
];

impl GuardName {
    /// The name in logs and metrics: lower case, no spaces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Language => "language",
            Self::Quantities => "quantities",
            Self::Negation => "negation",
            Self::Opposites => "opposites",
            Self::Names => "names",
            Self::Order => "order",
            Self::QuestionKind => "question",
            Self::Letters => "letters",
            Self::Signs => "signs",
            Self::NumberOrder => "number_order",
            Self::GivenText => "given_text",
            Self::Classes => "classes",
            Self::ClosedWord => "closed_word",
            Self::Focus => "focus",
            Self::Gap => "gap",
            Self::Arrangement => "arrangement",
            Self::Suffix => "suffix",
            Self::Mark => "mark",
            Self::Substitution => "substitution",
            Self::Addition => "addition",
        }
    }
}

/// The first guard that refuses to let two questions share an answer, however near they are.
#[must_use]
pub fn check(a: &Profile, b: &Profile) -> Option<GuardName> {
    first(&Comparison::of(a, b), -1.0)
}

/// As [`check`], for a pair that is aligned already and whose cosine is known.
#[must_use]
pub fn first(pair: &Comparison<'_>, cosine: f32) -> Option<GuardName> {
    let fires = |guard: &&Guard| (guard.fires)(pair) && !(guard.is_excused)(pair, cosine);
    GUARDS.iter().find(fires).map(|guard| guard.name)
}

/// As [`first`], where it is known which of the first guards fire. Nearness excuses none of them.
#[must_use]
pub fn first_after(known: &[bool], pair: &Comparison<'_>, cosine: f32) -> Option<GuardName> {
    if let Some((guard, _)) = GUARDS.iter().zip(known).find(|(_, fires)| **fires) {
        return Some(guard.name);
    }
    let fires = |guard: &&Guard| (guard.fires)(pair) && !(guard.is_excused)(pair, cosine);
    GUARDS.iter().skip(known.len()).find(fires).map(|guard| guard.name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn guard(a: &str, b: &str) -> Option<GuardName> {
        check(&Profile::of(a), &Profile::of(b))
    }

    /// Holds one guard against pairs that it must refuse, and pairs that it must let pass, both ways.
    pub(super) fn check_guard(
        fires: fn(&Comparison<'_>) -> bool,
        refused: &[(&str, &str)],
        passed: &[(&str, &str)],
    ) {
        let both = refused.iter().map(|pair| (pair, true));
        for ((a, b), expected) in both.chain(passed.iter().map(|pair| (pair, false))) {
            let (one, other) = (Profile::of(a), Profile::of(b));
            assert_eq!(fires(&Comparison::of(&one, &other)), expected, "{a} | {b}");
            assert_eq!(fires(&Comparison::of(&other, &one)), expected, "{b} | {a}");
        }
    }

    #[test]
    fn similar_questions_with_other_answers_are_rejected() {
        let cases = [
            ("What does `a` do?", "What does `b` do?", GuardName::Identity),
            ("Is https://a.example/x down?", "Is https://a.example/y down?", GuardName::Identity),
            ("What does foo_bar return?", "What does foo_baz return?", GuardName::Identity),
            ("What does \"yes\" mean?", "What does \"no\" mean?", GuardName::Identity),
            ("What is the weather?", "Какая погода?", GuardName::Language),
            ("What is the price of bread?", "Was ist der Preis für bread?", GuardName::Language),
            ("Can I return it in 14 days?", "Can I return it in 40 days?", GuardName::Quantities),
            ("Wake me at 7am", "Wake me at 7pm", GuardName::Quantities),
            ("Is it fixed in 3.1?", "Is it fixed in 3.10?", GuardName::Quantities),
            ("Can I eat this?", "Can I not eat this?", GuardName::Negation),
            ("Should I feed it?", "Should I stop feeding it?", GuardName::Negation),
            ("Tea with sugar?", "Tea without sugar?", GuardName::Negation),
            ("Turn on the heating", "Turn off the heating", GuardName::Opposites),
            ("Turn it on on Monday?", "Turn it off on Monday?", GuardName::Opposites),
            ("Is it safe to eat?", "Is it unsafe to eat?", GuardName::Opposites),
            ("How do I archive a note?", "How do I unarchive a note?", GuardName::Opposites),
            ("Is it tax deductible?", "Is it tax nondeductible?", GuardName::Opposites),
            ("Dose for an adult?", "Dose for a child?", GuardName::Opposites),
            ("Who wrote for Acme Corp?", "Who wrote for Initech Corp?", GuardName::Names),
            ("Trains from Leeds to York", "Trains from York to Leeds", GuardName::Order),
            ("Move my pot from Acme to Bolt", "Move my Bolt pot to Acme", GuardName::Order),
            ("Is rust harder than zig?", "Is zig harder than rust?", GuardName::Order),
            (
                "Can a parent sue a child's school?",
                "Can a school sue a child's parent?",
                GuardName::Arrangement,
            ),
            ("When was the bridge built?", "Where was the bridge built?", GuardName::QuestionKind),
            ("Why is the sky blue?", "Is the sky blue?", GuardName::QuestionKind),
            ("How do I cook rice?", "How do I cook quinoa?", GuardName::Substitution),
            ("How do I treat a cold?", "How do I treat a cold in babies?", GuardName::Addition),
        ];
        for (a, b, expected) in cases {
            assert_eq!(guard(a, b), Some(expected), "{a} | {b}");
            assert_eq!(guard(b, a), Some(expected), "{b} | {a}");
        }
    }

    #[test]
    fn paraphrases_pass() {
        let cases = [
            ("What time does it open on Mondays?", "what time does it open on Mondys"),
            ("How do I report a pothole?", "Hi! how do I report a pothole. Thanks!"),
            ("A table for two at seven this evening?", "A table for 2 at 7pm?"),
            (
                "Is there a discount for students on trains?",
                "On trains, is there a discount for students?",
            ),
            ("How do I buy a ticket?", "How can I purchase a ticket?"),
            ("What is the capital of Australia?", "Which city is Australia's capital?"),
            ("Don't I need a visa?", "dont I need a visa"),
            ("Pay by 3 March?", "Pay by March 3rd?"),
        ];
        for (a, b) in cases {
            assert_eq!(guard(a, b), None, "{a} | {b}");
            assert_eq!(guard(b, a), None, "{b} | {a}");
        }
    }

    #[test]
    fn longer_pairs_need_a_higher_cosine() {
        let long = (
            "How do I treat a bad cold of an old man at home without seeing a doctor?",
            "How do I treat a bad cough of an old man at home without seeing a doctor?",
        );
        let added = ("How do I treat a cold?", "How do I treat a cold in babies?");
        for ((a, b), cosine, expected) in [
            (("How do I cook rice?", "How do I cook quinoa?"), 0.92, Some(GuardName::Substitution)),
            (("How do I cook rice?", "How do I cook quinoa?"), 0.95, None),
            (long, 0.95, Some(GuardName::Substitution)),
            (long, 0.99, None),
            (added, 0.90, Some(GuardName::Addition)),
            (added, 0.95, None),
            (("Wake me at 7am", "Wake me at 7pm"), 1.0, Some(GuardName::Quantities)),
        ] {
            let (first_profile, second) = (Profile::of(a), Profile::of(b));
            let pair = Comparison::of(&first_profile, &second);
            assert_eq!(first(&pair, cosine), expected, "{a} | {b} at {cosine}");
        }
    }

    #[test]
    fn guard_names_are_unique() {
        let names: std::collections::HashSet<_> =
            GUARDS.iter().map(|guard| guard.name.as_str()).collect();
        assert_eq!(names.len(), GUARDS.len());
    }

    const WORDS: &str = "(from|to|than|Leeds|York|not|on|off|open|closed|7pm|15:00|card|cards|card's|reqest|request|why|when|`a`|\"b\"|safe|unsafe|log|in|login|é|東|[a-z]{1,9})";

    proptest! {
        #[test]
        fn swapped_pair_has_the_same_result(
            a in prop::collection::vec(WORDS, 0..9),
            b in prop::collection::vec(WORDS, 0..9),
        ) {
            let (a, b) = (Profile::of(&a.join(" ")), Profile::of(&b.join(" ")));
            prop_assert_eq!(check(&a, &b), check(&b, &a));
            let own = a.is_foreign().then_some(GuardName::Language);
            prop_assert_eq!(check(&a, &a), own);
        }
    }
}
