//! Words that mean more than their letters: function words, negations, opposites, question words.
//!
//! Written by hand for this gateway, in English. A word is one entry in one table; the tables are
//! turned into one sorted list at first use.
//!
//! Long because the tables are meant to be read side by side.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::relation::RelationSide;
use super::table::WordTable;

/// A side of an opposition: two questions whose words stand on different sides have different answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OppositionSide {
    /// The opposition, by its place in the table.
    pub opposition: u8,
    /// The side of it.
    pub side: u8,
}

/// The kind of answer that a question expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuestionKind {
    /// No question word and no verb in front: an order or a few keywords.
    None,
    /// Yes or no.
    ClosedWord,
    /// What, which.
    What,
    /// A way to do something.
    How,
    /// A person.
    Who,
    /// A time.
    When,
    /// A place.
    Where,
    /// A reason.
    Why,
    /// A count.
    HowMany,
    /// An amount or price.
    HowMuch,
    /// A duration.
    HowLong,
    /// A frequency.
    HowOften,
    /// An extent: how far, how big, how old.
    HowVery,
}

/// Words that carry the grammar and not the matter.
const FUNCTION_WORDS: &str = "a an the is are was were be been being am do does did doing done has have had having
    i me my mine myself you your yours we our ours us they them their he him his she her hers it its
    this that these those to of in on at for from by with about as and or but if so then how what why
    when where who which whom whose can could should would will shall may might must there here some
    any all just also tell get got need want like know im ive id ill dont youre thats whats wheres
    whens hows whos lets let give show s t d ll re ve m than into onto off out up down over under
    through per via upon within towards toward before after since until against versus vs above below
    please um uh uhm er erm hmm hm oh ok okay so well now thanks thank cheers hi hello hey dear
    actually really basically possible way someone anyone something anything go going come able help
    ensure make sure exactly etc too very while during because though although whether both either
    each every own one ones pls plz thx ty tysm u ur r ya wanna gonna gotta hiya heya howdy greetings
    sorry excuse wondering wonder curious kindly possibly maybe perhaps hopefully dunno lemme gimme tho
    btw asap kinda sorta lol haha anyway anyways alright trying tryna looking
    teh hte adn nad waht hwo whta taht thier wich wat cna thsi tihs fo ot abotu woudl shoudl";

/// Function words whose count turns a question round. `stop` and its like turn what follows.
const NEGATIONS: &str = "not no never none cannot without neither nor nobody nothing nowhere unable except excluding
    avoid avoiding stop stopping unless lacking lacks refuse decline cant dont doesnt didnt isnt arent
    wasnt werent wont couldnt shouldnt wouldnt hasnt havent hadnt aint non";

/// Words whose sides exclude each other: sides by `/`, words by spaces.
const OPPOSITIONS: &[&str] = &[
    "on / off",
    "enable enabling enabled activate activated activating / disable disabling disabled deactivate deactivated deactivating",
    "open opening opens / closed close closing closes shut",
    "start starting begin beginning starts begins / stop stopping end ending finish ends finishing",
    "increase increasing raise raising improve improving grow bigger larger boost upgrade / decrease decreasing reduce reducing lower lowering shrink smaller damage worsen downgrade less",
    "allow allowed allows permit permitted / block blocked ban banned forbid forbidden prohibited deny denied disallow prevent",
    "approve accept accepted accepting approved / reject rejected rejecting decline declined refuse denied",
    "add adding insert append / remove removing delete deleting take drop subtract",
    "buy buying purchase purchasing / sell selling sold sale",
    "before / after",
    "over above / under below",
    "best top / worst bottom",
    "good better / bad worse poor",
    "safe safely / unsafe dangerous harmful unsafely",
    "legal lawful / illegal unlawful",
    "gain gaining / lose losing",
    "find finding found / lose losing lost",
    "win winning won / lose losing lost",
    "up upwards / down downwards",
    "in inside indoor indoors into / out outside outdoor outdoors",
    "include included including / exclude excluded excluding",
    "more most greater greatest / less least fewer fewest",
    "maximum max highest largest biggest / minimum min lowest smallest",
    "first earliest oldest / last latest newest final",
    "high higher / low lower",
    "hot warm heating / cold cool cooling",
    "male man men boy boys father husband son brother uncle / female woman women girl girls mother wife daughter sister aunt",
    "old older / new newer",
    "old older elderly / young younger",
    "import importing / export exporting",
    "upload uploading / download downloading",
    "encrypt encryption encode / decrypt decryption decode",
    "lock locked locking / unlock unlocked unlocking",
    "install installing / uninstall uninstalling",
    "possible / impossible",
    "advantage advantages benefit benefits pros / disadvantage disadvantages drawback drawbacks cons risk risks downside downsides",
    "adult adults / child children kid kids baby babies toddler infant infants minor minors",
    "always / never",
    "love like / hate dislike",
    "true / false",
    "left / right",
    "right correct / wrong incorrect",
    "cheap cheaper cheapest / expensive dear dearest pricey",
    "fast faster fastest quick / slow slower slowest",
    "short shorter shortest / long longer longest tall taller",
    "easy easier easiest simple / hard harder hardest difficult",
    "public / private",
    "deposit depositing / withdraw withdrawing withdrawal",
    "credit / debit",
    "send sending sent / receive receiving received",
    "lend lending / borrow borrowing",
    "arrive arrival arrivals arriving / depart departure departures departing leave leaving",
    "read reading / write writing",
    "read view viewing / edit editing modify",
    "create creating / delete deleting destroy",
    "early earlier / late later",
    "ascending asc / descending desc",
    "sunrise dawn / sunset dusk",
    "front / back rear",
    "inbound incoming / outbound outgoing",
    "daily / weekly / fortnightly / monthly / quarterly / yearly annual annually",
    "full / part partial",
    "full / empty",
    "single / double / triple / twin",
    "single unmarried / married",
    "compulsory mandatory required obligatory / optional voluntary",
    "grant granting / revoke revoking",
    "busy crowded / quiet calm",
    "popular / unpopular",
    "outstanding excellent / inadequate",
    "domestic / international overseas foreign abroad",
    "employed employee employees / unemployed freelance freelancer",
    "employer employers / employee employees staff",
    "landlord landlords / tenant tenants",
    "buyer buyers / seller sellers",
    "teacher teachers / student students pupil pupils",
    "doctor doctors / patient patients",
    "lender lenders / borrower borrowers",
    "refundable / nonrefundable",
    "return / single oneway",
    "subscribe subscribing / unsubscribe unsubscribing cancel",
    "join joining / leave leaving quit",
    "connect connecting connected / disconnect disconnecting disconnected",
    "attach / detach",
    "push / pull",
    "rich wealthy / poor",
    "strong stronger / weak weaker",
    "light lighter / dark darker",
    "light lighter / heavy heavier",
    "wet / dry",
    "positive / negative",
    "success successful succeed / failure fail failed failing",
    "profit / loss",
    "asset assets / liability liabilities",
    "supply / demand",
    "north northern / south southern / east eastern / west western",
    "red / blue / green / yellow / black / white / orange / purple / pink / brown",
    "breakfast / lunch / dinner",
    "hide hiding hidden hid hides / show showing shown shows showed visible",
    "public / hide hidden",
    "mute / unmute",
    "home house domestic / business commercial office car motor travel",
    "basic / premium advanced higher",
    "primary / secondary",
    "theory theoretical / practice practical",
    "input / output",
    "client clients / server servers",
    "debug / release",
    "morning / afternoon / evening / night",
    "summer / winter / spring / autumn",
    "junior / senior",
    "gross / net",
    "fixed / variable",
    "internal / external",
    "vertical vertically / horizontal horizontally",
    "local locally / remote remotely",
    "online / offline",
    "pay paying paid / earn earning owed",
    "eat eating / avoid avoiding",
    "merge merging / split splitting",
    "expand / collapse",
    "solid / liquid / gas",
];

const GREETED: &str = "there team all everyone guys folks";

/// What a word means besides its matter.
#[derive(Clone, Copy, Default)]
struct Senses {
    is_function: bool,
    is_negation: bool,
    is_greeted: bool,
    /// Where its poles begin among all of them, and how many it has.
    poles: (usize, usize),
}

/// All words, and their poles.
static LEXICON: LazyLock<(WordTable<Senses>, Vec<OppositionSide>)> = LazyLock::new(|| {
    let mut senses: BTreeMap<&str, (Senses, Vec<OppositionSide>)> = BTreeMap::new();
    for word in FUNCTION_WORDS.split_whitespace() {
        senses.entry(word).or_default().0.is_function = true;
    }
    for word in NEGATIONS.split_whitespace() {
        senses.entry(word).or_default().0.is_negation = true;
    }
    for word in GREETED.split_whitespace() {
        senses.entry(word).or_default().0.is_greeted = true;
    }
    for (opposition, sides) in (0u8..).zip(OPPOSITIONS) {
        for (side, words) in (0u8..).zip(sides.split('/')) {
            for word in words.split_whitespace() {
                senses.entry(word).or_default().1.push(OppositionSide { opposition, side });
            }
        }
    }
    let mut poles = Vec::new();
    let mut entries = Vec::new();
    for (word, (mut found, own)) in senses {
        found.poles = (poles.len(), own.len());
        poles.extend(own);
        entries.push((word, found));
    }
    (WordTable::new(entries), poles)
});

fn senses(word: &str) -> Option<Senses> {
    LEXICON.0.get(word)
}

/// True of function words and others that English questions have often.
pub(super) fn is_english(word: &str) -> bool {
    senses(word).is_some()
}

pub(super) fn is_function_word(word: &str) -> bool {
    senses(word).is_some_and(|it| it.is_function)
}

/// True if the word turns the question round. `word` is lower case, with its apostrophe if it has one.
pub(super) fn is_negation(word: &str) -> bool {
    word.ends_with("n't") || senses(word).is_some_and(|it| it.is_negation)
}

/// Words that may follow a greeting and belong to it.
pub(super) fn is_greeted(word: &str) -> bool {
    senses(word).is_some_and(|it| it.is_greeted)
}

pub(super) fn is_greeting(word: &str) -> bool {
    matches!(word, "hi" | "hello" | "hey" | "dear")
}

pub(super) fn poles(word: &str) -> impl Iterator<Item = OppositionSide> {
    let (start, count) = senses(word).unwrap_or_default().poles;
    LEXICON.1.iter().skip(start).take(count).copied()
}

/// The role that a preposition gives to the word after it.
pub(super) fn role(word: &str) -> Option<RelationSide> {
    Some(match word {
        "from" => RelationSide::From,
        "to" | "into" | "onto" | "towards" | "toward" => RelationSide::To,
        "than" => RelationSide::Than,
        "versus" | "vs" | "against" => RelationSide::Versus,
        "by" => RelationSide::By,
        "before" | "until" | "till" => RelationSide::Before,
        "after" | "since" => RelationSide::After,
        "over" | "above" => RelationSide::Over,
        "under" | "below" => RelationSide::Under,
        _ => return None,
    })
}

/// The kind of question of a text, from its first 24 words in lower case.
pub(super) fn question(words: &[&str]) -> QuestionKind {
    let polite = [&["can", "you", "tell"][..], &["could", "you", "tell"], &["do", "you", "know"]];
    let words = polite.iter().find_map(|opening| words.strip_prefix(*opening)).unwrap_or(words);
    if matches!(words, ["is", "there", "a" | "any", "way", ..] | ["is", "it", "possible", ..]) {
        return QuestionKind::How;
    }
    let is_verb = |word: &&str| {
        matches!(
            *word,
            "is" | "are"
                | "was"
                | "were"
                | "do"
                | "does"
                | "did"
                | "can"
                | "could"
                | "should"
                | "would"
                | "will"
                | "has"
                | "have"
                | "may"
                | "am"
                | "must"
                | "shall"
        )
    };
    if words.first().is_some_and(is_verb) {
        return QuestionKind::ClosedWord;
    }
    (0..words.len()).find_map(|at| question_kind(words.get(at..)?)).unwrap_or(QuestionKind::None)
}

/// The kind of question that the first word of `words` introduces.
fn question_kind(words: &[&str]) -> Option<QuestionKind> {
    Some(match words {
        ["how", "many", ..] => QuestionKind::HowMany,
        ["how", "much", ..] => QuestionKind::HowMuch,
        ["how", "long", ..] => QuestionKind::HowLong,
        ["how", "often" | "frequently", ..] => QuestionKind::HowOften,
        ["how", "far" | "big" | "old" | "tall" | "high" | "large" | "fast" | "deep", ..] => {
            QuestionKind::HowVery
        }
        ["how", "come", ..] | ["why", ..] => QuestionKind::Why,
        ["how" | "hows" | "how's", ..] => QuestionKind::How,
        ["who" | "whom" | "whos" | "who's", ..] => QuestionKind::Who,
        ["when" | "whens" | "when's", ..]
        | ["what" | "which", "time" | "year" | "date" | "day", ..] => QuestionKind::When,
        ["where" | "wheres" | "where's", ..] => QuestionKind::Where,
        ["what", "is" | "are", "the", "reason" | "reasons", ..] => QuestionKind::Why,
        ["what" | "which" | "whats" | "what's", ..] => QuestionKind::What,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_kind_follows_first_words() {
        let cases = [
            ("where is my order", QuestionKind::Where),
            ("can you tell me where my order is", QuestionKind::Where),
            ("can i fly when i am pregnant", QuestionKind::ClosedWord),
            ("on the menu what is vegan", QuestionKind::What),
            ("how many days are left", QuestionKind::HowMany),
            ("is there a way to switch", QuestionKind::How),
            ("what time does it open", QuestionKind::When),
            ("remind me", QuestionKind::None),
        ];
        for (text, expected) in cases {
            assert_eq!(question(&text.split(' ').collect::<Vec<_>>()), expected, "{text}");
        }
    }

    #[test]
    fn oppositions_have_two_sides_and_fit_u8() {
        assert!(OPPOSITIONS.len() <= usize::from(u8::MAX));
        for sides in OPPOSITIONS {
            assert!(sides.split('/').count() >= 2, "{sides}");
            assert!(sides.split('/').all(|words| !words.trim().is_empty()), "{sides}");
        }
        assert_eq!(poles("lose").count(), 3);
        assert!(is_negation("don't") && is_negation("never") && !is_negation("more"));
    }
}
