//! Which card a name stands for: the vendor's own name, or one of the names beside it.
//!
//! A name is first taken as it is. What is not found is tried without what vendors add to names
//! (folders, regions, versions, dates), in steps that each leave a shorter name, and an undated name
//! stands for the newest dated model. Never taken: a model of another price. A fine-tuned model is
//! not its base, and `NAME:free` is not `NAME`. Nothing here allocates but for regions at Bedrock.

use std::cmp::Ordering;

use super::ModelCard;

/// What Bedrock writes before a model that one part of the world serves. All of them cost alike, and
/// at newer models a tenth more than `global.` and the model without a prefix.
const GEOGRAPHIES: [&str; 8] = ["us", "eu", "apac", "jp", "au", "ca", "sa", "us-gov"];

/// Dated models of one name that are looked at.
const DATED_MAX: usize = 64;

/// Steps that shorten a name; no vendor adds more than a date, a version and a context length.
const STEPS_MAX: usize = 6;

/// The order of the catalog: by letters without regard to case, then with it.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    folded(left, right).then_with(|| left.cmp(right))
}

fn folded(left: &str, right: &str) -> Ordering {
    let lower = |byte: u8| byte.to_ascii_lowercase();
    left.bytes().map(lower).cmp(right.bytes().map(lower))
}

/// The cards of one vendor, in the order of [`compare`].
#[derive(Clone, Copy)]
pub(super) struct Lookup<'a>(&'a [ModelCard]);

impl<'a> Lookup<'a> {
    pub(super) fn new(cards: &'a [ModelCard]) -> Self {
        Self(cards)
    }

    /// The card that a name stands for, written as it is or otherwise.
    pub(super) fn find(self, model: &str) -> Option<&'a ModelCard> {
        if self.0.is_empty() {
            return None;
        }
        self.exact(model).or_else(|| match model.strip_prefix("ft:") {
            Some(tuned) => self.fine_tuned(tuned),
            None => self.in_folder(model),
        })
    }

    /// `ft:BASE:ORGANIZATION:NAME:ID` has the price of `ft:BASE`.
    fn fine_tuned(self, tuned: &str) -> Option<&'a ModelCard> {
        let base = tuned.split(':').next().filter(|base| !base.is_empty())?;
        self.shortened(&format!("ft:{base}"))
    }

    /// As it is, then without one folder after the other: `models/NAME`, `us-east-1/NAME`, a path of
    /// Vertex, the resource name of a profile at Bedrock.
    fn in_folder(self, model: &str) -> Option<&'a ModelCard> {
        let mut name = model;
        loop {
            if let Some(card) = self.in_region(name) {
                return Some(card);
            }
            (_, name) = name.split_once('/')?;
        }
    }

    /// Without the region that Bedrock writes before a model, if that region has no price of its own.
    fn in_region(self, name: &str) -> Option<&'a ModelCard> {
        let found = self.shortened(name);
        let Some((region, base)) = name.split_once('.').filter(|_| found.is_none()) else {
            return found;
        };
        let elsewhere = GEOGRAPHIES.iter().map(|other| format!("{other}.{base}"));
        let alike = GEOGRAPHIES.contains(&region).then_some(elsewhere).into_iter().flatten();
        let global = (GEOGRAPHIES.contains(&region) || region == "global").then(|| base.to_owned());
        alike.chain(global).find_map(|name| self.shortened(&name))
    }

    /// As it is or dated, then without what stands at its end.
    fn shortened(self, name: &str) -> Option<&'a ModelCard> {
        let mut name = name;
        for _ in 0..STEPS_MAX {
            if let Some(card) = self.exact(name).or_else(|| self.newest(name)) {
                return Some(card);
            }
            name = without_end(name)?;
        }
        None
    }

    /// The card of that name; case counts only where names differ by it alone.
    pub(super) fn exact(self, name: &str) -> Option<&'a ModelCard> {
        let alike = self.from(name).iter().take_while(|card| folded(card.name(), name).is_eq());
        let mut first = None;
        for card in alike {
            if card.name() == name {
                return Some(card);
            }
            first = first.or(Some(card));
        }
        first
    }

    /// The last of the dated models of that name.
    fn newest(self, name: &str) -> Option<&'a ModelCard> {
        let begins = |card: &&ModelCard| {
            card.name().get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name))
        };
        let longer = self.from(name).iter().take_while(begins).take(DATED_MAX);
        longer.filter(|card| is_dated(card.name(), name.len())).last()
    }

    /// The cards from that name on.
    fn from(self, name: &str) -> &'a [ModelCard] {
        let start = self.0.partition_point(|card| folded(card.name(), name).is_lt());
        self.0.get(start..).unwrap_or(&[])
    }
}

/// True if what follows the first `length` bytes is only the date of the model.
fn is_dated(name: &str, length: usize) -> bool {
    let mut name = name;
    while name.len() > length {
        match without_end(name) {
            Some(shorter) => name = shorter,
            None => return false,
        }
    }
    name.len() == length
}

/// The name without its version or date, or whatever of them stands last.
fn without_end(name: &str) -> Option<&str> {
    // The colon of `ft:` stands before a name, not after it.
    let begins_at = if name.starts_with("ft:") { 3 } else { 0 };
    if let Some(at) = name.rfind([':', '@']).filter(|at| *at >= begins_at) {
        let end = name.get(at + 1..)?;
        let version = end.starts_with(|first: char| first.is_ascii_digit());
        return (version || end == "default" || end == "latest").then(|| name.get(..at))?;
    }
    if let Some(begin) = name.strip_suffix("-latest") {
        return Some(begin);
    }
    let (begin, end) = name.rsplit_once('-')?;
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if end.strip_prefix('v').is_some_and(number) {
        return Some(begin);
    }
    match end.len() {
        // `-2024-08-06` and `-05-20`: a day and its month, with or without the year.
        2 if number(end) => {
            let (begin, _) = begin.rsplit_once('-').filter(|(_, m)| m.len() == 2 && number(m))?;
            let year = begin.rsplit_once('-').filter(|(_, year)| is_year(year));
            Some(year.map_or(begin, |(begin, _)| begin))
        }
        // `-08-2024`, Cohere's; `-0613` and `-2411`.
        4 if number(end) => {
            let month = begin.rsplit_once('-').filter(|(_, m)| m.len() == 2 && number(m));
            Some(month.filter(|_| is_year(end)).map_or(begin, |(begin, _)| begin))
        }
        // `-001`, Google's; `-20241022`.
        3 if number(end) => Some(begin),
        8 if number(end) && end.get(..4).is_some_and(is_year) => Some(begin),
        _ => None,
    }
}

fn is_year(text: &str) -> bool {
    text.len() == 4 && text.starts_with("20") && text.bytes().all(|byte| byte.is_ascii_digit())
}
