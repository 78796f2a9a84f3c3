//! The closed classes of English: function words for agent, object, negation, time and quantity.
//! Words that one question exchanges for another without changing its answer are one entry.
//!
//! Long because the tables are meant to be read side by side.

use std::sync::LazyLock;

use super::table::WordTable;

macro_rules! closed {
    ($($(#[$doc:meta])* $name:ident = $forms:literal;)*) => {
        /// A word of a closed class, or a mark that parts phrases.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum ClosedWord {
            $($(#[$doc])* $name,)*
        }

        impl ClosedWord {
            /// All of them, by their numbers.
            pub(super) const ALL: &[Self] = &[$(Self::$name,)*];
        }

        /// How each is written, `_` for a space within one.
        const FORMS: &[(ClosedWord, &str)] = &[$((ClosedWord::$name, $forms),)*];
    };
}

closed! {
    /// An article.
    Article = "a an the";
    /// What introduces a clause and may be left out.
    That = "that";
    /// A determiner that points.
    This = "this these those";
    /// A form of be in the present, or none that is finite.
    Be = "is are am be being been";
    /// A form of be in the past.
    Was = "was were";
    /// A form of do in the present.
    Do = "do does doing done";
    /// Did.
    Did = "did";
    /// A form of have in the present.
    Have = "have has having have_got has_got";
    /// Had.
    Had = "had";
    /// The future.
    Will = "will shall going_to gonna";
    /// Would.
    Would = "would";
    /// What is possible or allowed.
    Can = "can could may might able_to allowed_to permitted_to possible_to possible_for free_to
        is_it_possible_to is_it_possible_for is_it_allowed_to is_it_permitted_to is_it_ok_to is_it_okay_to is_it_fine_to is_it_ok_if is_it_okay_if";
    /// What is demanded.
    Must = "must have_to has_to having_to need_to needs_to got_to gotta required_to obliged_to obligated_to
        necessary_to necessary_for mandatory_to compulsory_to forced_to needed_to
        is_it_necessary_to is_it_necessary_for is_it_mandatory_to is_it_compulsory_to is_it_required_to is_it_obligatory_to is_it_mandatory_for";
    /// What is advised.
    Should = "should ought_to ought supposed_to advisable_to advised_to recommended_to better_to
        had_better good_idea_to is_it_advisable_to is_it_recommended_to is_it_better_to is_it_a_good_idea_to is_it_best_to is_it_wise_to";
    /// A negation.
    Not = "not";
    /// No, before a noun.
    No = "no none";
    /// Never.
    Never = "never";
    /// What or which.
    What = "what which";
    /// A person as the answer.
    Who = "who whom";
    /// Whose.
    Whose = "whose";
    /// A time as the answer, or a condition of time.
    When = "when what_time";
    /// A place as the answer.
    Where = "where";
    /// A reason as the answer.
    Why = "why how_come what_is_the_reason what_are_the_reasons";
    /// A way as the answer.
    How = "how how_to what_is_the_way_to what_is_the_best_way_to what_are_the_ways_to is_there_a_way_to is_there_any_way_to
        what_is_the_way what_way is_there_a_way is_there_any_way in_what_way in_which_way by_what_means";
    /// And.
    And = "and as_well_as";
    /// Or.
    Or = "or";
    /// But, not as an exception.
    But = "but however";
    /// A condition.
    If = "if whether in_case provided provided_that as_long_as so_long_as assuming on_condition_that";
    /// A condition that hinders.
    Unless = "unless";
    /// What changes nothing.
    EvenIf = "even_if even_though although though despite in_spite_of regardless_of even_when no_matter_if no_matter_whether";
    /// The one condition.
    OnlyIf = "only_if only_when only_in_case if_and_only_if only_after only_once";
    /// What comes next.
    Then = "then";
    /// A cause.
    Because = "because because_of due_to owing_to";
    /// A place or time within.
    At = "in on at upon during within inside";
    /// What belongs to.
    Of = "of";
    /// A purpose or a side.
    For = "for in_favor_of in_favour_of";
    /// Where it begins.
    From = "from out_of";
    /// Where it leads to.
    To = "to into onto toward towards";
    /// A companion or a means.
    With = "with using";
    /// Without.
    Without = "without";
    /// Who does it, or the way it is done.
    By = "by via through";
    /// The matter.
    About = "about regarding concerning";
    /// The second side of a comparison.
    Than = "than";
    /// Likeness or a part that is played.
    As = "as";
    /// The other side.
    Versus = "versus vs against";
    /// Before.
    Before = "before prior_to ahead_of in_advance_of previous_to";
    /// After.
    After = "after subsequent_to as_soon_as";
    /// Up to a time.
    Until = "until till up_until";
    /// From a time on.
    Since = "since ever_since";
    /// In the time of.
    While = "while whilst";
    /// Above a place or a number.
    Over = "over above exceeding in_excess_of";
    /// Below a place or a number.
    Under = "under below beneath underneath";
    /// A lower bound.
    AtLeast = "at_least no_less_than no_fewer_than not_less_than not_fewer_than a_minimum_of";
    /// An upper bound.
    AtMost = "at_most up_to no_more_than not_more_than a_maximum_of at_the_most";
    /// No more and no less.
    Exactly = "exactly precisely";
    /// More or less.
    Roughly = "approximately roughly around";
    /// Up.
    Up = "up";
    /// Down.
    Down = "down";
    /// Off.
    Off = "off";
    /// Out.
    Out = "out outside";
    /// Between two.
    Between = "between among amongst";
    /// Behind.
    Behind = "behind";
    /// Beyond.
    Beyond = "beyond past";
    /// Across.
    Across = "across";
    /// Near.
    Near = "near nearby close_to next_to beside";
    /// What is left out.
    Except = "except excluding other_than apart_from aside_from except_for besides everything_but all_but anything_but
        nothing_but everyone_but with_the_exception_of not_including";
    /// What is counted too.
    Including = "including included as_well";
    /// In place of.
    Instead = "instead instead_of rather_than in_place_of";
    /// For each.
    Per = "per";
    /// All of them.
    All = "all every each everyone everybody everything all_of each_of every_one_of";
    /// Any one of them.
    Any = "any any_of";
    /// Not all of them.
    Some = "some several some_of several_of a_few";
    /// More than half of them.
    Most = "most_of";
    /// The two.
    Both = "both both_of";
    /// One of two.
    Either = "either either_of";
    /// None of two.
    Neither = "neither nor neither_of";
    /// One of them.
    One = "one_of";
    /// Half of them.
    Half = "half half_of";
    /// Hardly any.
    Few = "few hardly_any";
    /// A lot.
    Many = "many much lots plenty a_lot_of lots_of plenty_of";
    /// The comparative.
    More = "more";
    /// The superlative.
    Greatest = "most";
    /// The comparative downwards.
    Less = "less fewer";
    /// The superlative downwards.
    Least = "least fewest";
    /// Somebody.
    Someone = "anyone someone anybody somebody anything something";
    /// The speaker.
    I = "i me myself we us ourselves";
    /// The second person.
    You = "you yourself u ya yourselves";
    /// A man.
    He = "he him himself";
    /// A woman.
    She = "she her herself";
    /// Others.
    They = "they them themselves";
    /// A thing.
    It = "it itself";
    /// The speaker's.
    My = "my mine our ours";
    /// The second person's.
    Your = "your yours ur";
    /// A man's.
    His = "his";
    /// A woman's.
    Hers = "hers";
    /// Others'.
    Their = "their theirs";
    /// A thing's.
    Its = "its";
    /// Nothing else.
    Only = "only solely merely exclusively just_only nothing_more_than";
    /// Only, or a moment ago.
    Just = "just simply";
    /// Not quite.
    Almost = "almost nearly practically virtually";
    /// Hardly.
    Hardly = "hardly barely scarcely";
    /// More than was thought.
    Even = "even";
    /// As before.
    Still = "still";
    /// At any time.
    Ever = "ever";
    /// Always.
    Always = "always";
    /// That it is so.
    There = "there";
    /// The possessor before it.
    Genitive = "'s";
    /// A comma.
    Comma = ",";
    /// A colon or semicolon.
    Colon = ":";
    /// The end of a sentence.
    Stop = ".";
}

/// Bits of the values of the closed classes. Two questions that each have values of one class and not
/// the same ones have different answers.
pub mod class {
    /// Can, must, should.
    pub const MODAL: u64 = 0b111;
    /// Each of its values.
    pub const CAN: u64 = 1;
    /// What is demanded.
    pub const MUST: u64 = 1 << 1;
    /// What is advised.
    pub const SHOULD: u64 = 1 << 2;
    /// All, any, some, most, both, either, one, few, many, half.
    pub const QUANTIFIER: u64 = 0x3ff << 3;
    /// The first of its values; the others follow.
    pub const ALL: u64 = 1 << 3;
    /// Any.
    pub const ANY: u64 = 1 << 4;
    /// Some.
    pub const SOME: u64 = 1 << 5;
    /// Most.
    pub const MOST: u64 = 1 << 6;
    /// Both.
    pub const BOTH: u64 = 1 << 7;
    /// Either.
    pub const EITHER: u64 = 1 << 8;
    /// One.
    pub const ONE: u64 = 1 << 9;
    /// Few.
    pub const FEW: u64 = 1 << 10;
    /// Many.
    pub const MANY: u64 = 1 << 11;
    /// Half.
    pub const HALF: u64 = 1 << 12;
    /// If, unless, even if, only if.
    pub const CONDITION: u64 = 0b1111 << 13;
    /// If.
    pub const IF: u64 = 1 << 13;
    /// Unless.
    pub const UNLESS: u64 = 1 << 14;
    /// Even if.
    pub const EVEN_IF: u64 = 1 << 15;
    /// Only if.
    pub const ONLY_IF: u64 = 1 << 16;
    /// Before, after, while, since, until.
    pub const TIME: u64 = 0b11111 << 17;
    /// Before.
    pub const BEFORE: u64 = 1 << 17;
    /// After.
    pub const AFTER: u64 = 1 << 18;
    /// While.
    pub const WHILE: u64 = 1 << 19;
    /// Since.
    pub const SINCE: u64 = 1 << 20;
    /// Until.
    pub const UNTIL: u64 = 1 << 21;
    /// At least, at most, over, under, exactly.
    pub const BOUND: u64 = 0b11111 << 22;
    /// At least.
    pub const AT_LEAST: u64 = 1 << 22;
    /// At most.
    pub const AT_MOST: u64 = 1 << 23;
    /// Over a number.
    pub const OVER: u64 = 1 << 24;
    /// Under a number.
    pub const UNDER: u64 = 1 << 25;
    /// Exactly.
    pub const EXACTLY: u64 = 1 << 26;
    /// Except, including.
    pub const EXCEPTION: u64 = 0b11 << 27;
    /// Except.
    pub const EXCEPT: u64 = 1 << 27;
    /// Including.
    pub const INCLUDING: u64 = 1 << 28;
    /// Above, below, outside, behind, between, across, near.
    pub const PLACE: u64 = 0x7f << 29;
    /// Above.
    pub const ABOVE: u64 = 1 << 29;
    /// Below.
    pub const BELOW: u64 = 1 << 30;
    /// Outside.
    pub const OUTSIDE: u64 = 1 << 31;
    /// Behind.
    pub const BEHIND: u64 = 1 << 32;
    /// Between.
    pub const BETWEEN: u64 = 1 << 33;
    /// Across.
    pub const ACROSS: u64 = 1 << 34;
    /// Near.
    pub const NEAR: u64 = 1 << 35;
    /// And, or.
    pub const CONJUNCTION: u64 = 0b11 << 36;
    /// And.
    pub const AND: u64 = 1 << 36;
    /// Or.
    pub const OR: u64 = 1 << 37;
    /// When the finite verb of the question is.
    pub const TENSE: u64 = 0b111 << 38;
    /// The past.
    pub const PAST: u64 = 1 << 38;
    /// The present.
    pub const PRESENT: u64 = 1 << 39;
    /// The future.
    pub const FUTURE: u64 = 1 << 40;
    /// Comparative, superlative.
    pub const DEGREE: u64 = 0b11 << 41;
    /// The comparative.
    pub const COMPARATIVE: u64 = 1 << 41;
    /// The superlative.
    pub const SUPERLATIVE: u64 = 1 << 42;
    /// He, she, they.
    pub const THIRD_PERSON: u64 = 0b111 << 43;
    /// He.
    pub const HE: u64 = 1 << 43;
    /// She.
    pub const SHE: u64 = 1 << 44;
    /// They.
    pub const THEY: u64 = 1 << 45;
    /// My, your, his, her, their.
    pub const POSSESSOR: u64 = 0x1f << 46;
    /// My.
    pub const MY: u64 = 1 << 46;
    /// Your.
    pub const YOUR: u64 = 1 << 47;
    /// His.
    pub const HIS: u64 = 1 << 48;
    /// Her.
    pub const HER: u64 = 1 << 49;
    /// Their.
    pub const THEIR: u64 = 1 << 50;
    /// For, against.
    pub const SIDE: u64 = 0b11 << 51;
    /// For.
    pub const FOR: u64 = 1 << 51;
    /// Against.
    pub const AGAINST: u64 = 1 << 52;
    /// Only: no class but a value that one side alone must not have, as the two that follow.
    pub const ONLY: u64 = 1 << 53;
    /// Almost.
    pub const ALMOST: u64 = 1 << 54;
    /// Hardly.
    pub const HARDLY: u64 = 1 << 55;

    /// The tense of a verb without an auxiliary: `who wrote`, `who writes`.
    pub const VERB: u64 = 0b11 << 56;
    /// The past.
    pub const VERB_PAST: u64 = 1 << 56;
    /// The present.
    pub const VERB_PRESENT: u64 = 1 << 57;

    /// The classes.
    pub const ALL_CLASSES: [u64; 14] = [
        VERB,
        MODAL,
        QUANTIFIER,
        CONDITION,
        TIME,
        BOUND,
        EXCEPTION,
        PLACE,
        CONJUNCTION,
        TENSE,
        DEGREE,
        THIRD_PERSON,
        POSSESSOR,
        SIDE,
    ];
}

impl ClosedWord {
    /// True if a question means the same without it.
    pub(in crate::cache) fn is_free(self) -> bool {
        matches!(
            self,
            Self::Article
                | Self::That
                | Self::Be
                | Self::Was
                | Self::Do
                | Self::Did
                | Self::Have
                | Self::Had
                | Self::Genitive
                | Self::Of
                | Self::Comma
                | Self::Colon
                | Self::Stop
                | Self::There
        )
    }

    /// True of prepositions that are no function words by the lexicon.
    pub(super) fn is_rare_preposition(self) -> bool {
        matches!(
            self,
            Self::Near
                | Self::Across
                | Self::Behind
                | Self::Beyond
                | Self::Roughly
                | Self::Between
                | Self::About
                | Self::With
                | Self::By
                | Self::Out
                | Self::At
        )
    }

    /// True of verbs that carry the tense or the mood of another.
    pub(in crate::cache) fn is_auxiliary(self) -> bool {
        matches!(
            self,
            Self::Be
                | Self::Was
                | Self::Do
                | Self::Did
                | Self::Have
                | Self::Had
                | Self::Will
                | Self::Would
                | Self::Can
                | Self::Must
                | Self::Should
        )
    }

    /// True of words that ask.
    pub(in crate::cache) fn is_question_word(self) -> bool {
        matches!(
            self,
            Self::What | Self::Who | Self::Whose | Self::When | Self::Where | Self::Why | Self::How
        )
    }

    /// True of words that begin a clause which hangs on another.
    pub(in crate::cache) fn begins_clause(self) -> bool {
        matches!(
            self,
            Self::If
                | Self::Unless
                | Self::EvenIf
                | Self::OnlyIf
                | Self::Because
                | Self::Before
                | Self::After
                | Self::Until
                | Self::Since
                | Self::While
                | Self::When
        )
    }

    /// True of marks.
    pub(in crate::cache) fn is_mark(self) -> bool {
        matches!(self, Self::Comma | Self::Colon | Self::Stop)
    }

    /// True of persons and things that pronouns stand for.
    pub(in crate::cache) fn is_person(self) -> bool {
        matches!(
            self,
            Self::I
                | Self::You
                | Self::He
                | Self::She
                | Self::They
                | Self::My
                | Self::Your
                | Self::His
                | Self::Hers
                | Self::Their
        )
    }
}

/// A way to write a closed word: the words behind the first, and what it is.
struct Form {
    first: &'static str,
    rest: Vec<&'static str>,
    is: ClosedWord,
}

struct Table {
    /// Where the forms of each first word begin, and how many there are.
    places: WordTable<(usize, usize)>,
    /// Of one first word the longest first.
    forms: Vec<Form>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let forms = FORMS.iter().flat_map(|(is, forms)| {
        forms.split_whitespace().map(|form| {
            let mut words = form.split('_');
            Form { first: words.next().unwrap_or_default(), rest: words.collect(), is: *is }
        })
    });
    let mut forms: Vec<Form> = forms.collect();
    forms.sort_by(|a, b| a.first.cmp(b.first).then(b.rest.len().cmp(&a.rest.len())));
    let mut start = 0;
    let places = forms.chunk_by(|a, b| a.first == b.first).map(|chunk| {
        let place = (start, chunk.len());
        start += chunk.len();
        (chunk.first().map_or("", |form| form.first), place)
    });
    Table { places: WordTable::new(places), forms }
});

/// What the text begins with, if that is closed, and how many words it takes. `word(n)` is the word
/// `n` places on, lower case; no word past a mark or the end.
pub(super) fn closed<'a>(word: impl Fn(usize) -> Option<&'a str>) -> Option<(ClosedWord, usize)> {
    let (start, count) = TABLE.places.get(word(0)?)?;
    let fits = |form: &&Form| (1..).zip(&form.rest).all(|(place, rest)| word(place) == Some(rest));
    let form = TABLE.forms.iter().skip(start).take(count).find(fits)?;
    Some((form.is, 1 + form.rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(ClosedWord, usize)> {
        let words: Vec<&str> = text.split(' ').collect();
        closed(|place| words.get(place).copied())
    }

    #[test]
    fn words_and_phrases_are_found() {
        for (text, expected) in [
            ("even if it rains", Some((ClosedWord::EvenIf, 2))),
            ("even numbers", Some((ClosedWord::Even, 1))),
            ("have to pay", Some((ClosedWord::Must, 2))),
            ("have a dog", Some((ClosedWord::Have, 1))),
            ("at least two", Some((ClosedWord::AtLeast, 2))),
            ("at noon", Some((ClosedWord::At, 1))),
            ("other than", Some((ClosedWord::Except, 2))),
            ("other", None),
            ("", None),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn classes_share_no_bit() {
        let mut seen = 0;
        for class in class::ALL_CLASSES {
            assert_eq!(seen & class, 0, "{class:b}");
            seen |= class;
        }
        assert_eq!(ClosedWord::ALL.len(), FORMS.len());
    }
}
