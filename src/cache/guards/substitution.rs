//! All words but one are the same, and the one is no word for the same thing.

use std::sync::LazyLock;

use crate::cache::comparison::Comparison;
use crate::cache::profile::{Word, stem};

pub(super) fn fires(pair: &Comparison<'_>) -> bool {
    let ([a], [b]) = (pair.only_a.as_slice(), pair.only_b.as_slice()) else { return false };
    !pair.shared.is_empty() && !are_synonyms(a, b)
}

/// Distance, 1 less the cosine, in words of the longer question, up to which the two words are taken for
/// one thing after all. Fitted on nothing: the half that the verifier is fitted on would allow twice as
/// much, and one replaced word is what goes wrong most.
const DISTANCE_MAX: f32 = 0.15;

pub(super) fn is_excused(pair: &Comparison<'_>, cosine: f32) -> bool {
    let words = u16::try_from(pair.shared.len() + 1).map_or(f32::INFINITY, f32::from);
    (1.0 - cosine) * words <= DISTANCE_MAX
}

/// Words of general English that are exchanged in questions without changing the answer, a group a
/// line. A name that is spelled like one of them is none.
const SYNONYMS: &str = "
    buy purchase
    cost price charge fee
    cost expensive
    fix repair mend
    begin start commence
    allow permit
    change update alter switch modify amend
    previous earlier prior
    last final
    include come contain
    obtain receive request acquire
    cancel terminate
    film movie
    car vehicle automobile
    phone telephone mobile call ring
    parcel package order
    repository repo
    luggage baggage
    delete remove erase
    choose pick select
    big large huge
    small little tiny
    quick fast rapid
    job work
    shop store
    method procedure process step
    find locate
    contact reach
    email mail
    photo picture image
    app application
    children child kid
    mean definition
    reserve book
    author writer write
    quote quotation
    doctor physician
    ill sick unwell
    near close nearby
    help support assist
    mistake error
    password passcode
    info information detail
    holiday vacation
    road street
    cashpoint atm
    theatre cinema
    autumn fall
    rubbish trash garbage
    flat apartment
    petrol gasoline
    cv resume
    invite invitation
    deliver delivery
    allergy allergic
    require need
    broken damaged
    wage salary pay
    vaccine vaccination jab
    register enrol enroll
    refund reimbursement reimburse
    end finish
    speak talk
    lawyer solicitor attorney
    wash clean
    trip journey
    display show
    happen occur
    answer reply respond response
    folder directory
    documentation docs
    database db
    configuration config
    cheap inexpensive
    effect impact
    benefit advantage
    medicine medication
    exam examination
    toilet bathroom restroom
    lift elevator
    queue line
    motorway highway freeway
    mum mom mother
    dad father
    postcode zip
    staff employee worker
    client customer
    advice tip
    rule regulation
    attempt try
    combine merge
    divide split
    duplicate copy
    meeting appointment
    document file paper
    bicycle bike
    television tv
    refrigerator fridge
    aeroplane airplane plane
    identical same
    assignment homework
";

/// The stems of each group.
static STEMS: LazyLock<Vec<Vec<String>>> = LazyLock::new(|| {
    let groups = SYNONYMS.lines().filter(|group| !group.trim().is_empty());
    groups.map(|group| group.split_whitespace().map(stem).collect()).collect()
});

fn are_synonyms(a: &Word<'_>, b: &Word<'_>) -> bool {
    let is_plain = !a.mark.is_name && !b.mark.is_name;
    is_plain
        && STEMS.iter().any(|stems| {
            let has = |word: &Word<'_>| stems.iter().any(|stem| stem == word.stem);
            has(a) && has(b)
        })
}
