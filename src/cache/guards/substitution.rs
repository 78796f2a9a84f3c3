//! All words but one are the same, and the one is no word for the same thing.

use crate::cache::comparison::Comparison;
use crate::cache::profile::Word;

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    let ([a], [b]) = (pair.only_a.as_slice(), pair.only_b.as_slice()) else { return false };
    !pair.shared.is_empty() && !are_synonyms(a, b)
}

/// Stems that are exchanged in questions without changing the answer. Short on purpose: a name that
/// is spelled like one of them is none.
const SYNONYMS: &[&str] = &[
    "buy purchas",
    "cost pric",
    "fix repair",
    "begin start",
    "allow permit",
    "chang updat alter switch",
    "previou earlier prior",
    "last final",
    "includ com",
    "obtain receiv request",
    "cancel terminat",
    "film movi",
    "car vehicl",
    "phon telephon mobil",
    "parcel packag order",
    "repository repo",
    "luggag baggag",
    "delet remov eras",
    "choos pick select",
    "big larg",
    "quick fast rapid",
    "job work",
    "shop stor",
    "method procedur process step",
    "find locat",
    "contact reach",
    "email mail",
    "photo pictur imag",
    "app application",
    "childr child kid",
    "mean definition",
    "reserv book",
    "author writer",
    "doctor physician",
    "ill sick",
    "near close nearby",
    "help support assist",
    "mistak error",
    "password passcod",
    "info information detail",
    "holiday vacation",
    "road street",
    "cashpoint atm",
    "theater cinema",
    "autumn fall",
    "rubbish trash garbag",
    "flat apartment",
    "petrol gasolin",
    "cv resum",
    "invit invitation",
    "deliver delivery",
    "allergy allergic",
];

fn are_synonyms(a: &Word<'_>, b: &Word<'_>) -> bool {
    let is_plain = !a.mark.is_name && !b.mark.is_name;
    is_plain
        && SYNONYMS.iter().any(|stems| {
            let has = |word: &Word<'_>| stems.split(' ').any(|stem| stem == word.stem);
            has(a) && has(b)
        })
}
