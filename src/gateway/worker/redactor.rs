//! Credentials taken out of what a provider sends back: each byte of one becomes `*`, so that lengths,
//! framing and JSON stay what they are.
//!
//! Two ways to look. A success is looked through for the credential as it is, with the escapes that
//! JSON and URLs need for its own characters: some tenths of a nanosecond a byte. An error, and what
//! hints at escapes, is looked through for any mix of spellings: each character as it is, as `\u002d`,
//! as `%2D`, escaped more than once, and for base64. Not looked into: compressed bodies, which no
//! provider is asked for, and a credential that is spread over several events.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::llm::{encode_base64, may_carry_error};
use crate::providers::{Provider, ProviderField, Token};

/// A shorter text is no credential of a vendor; masking it would spoil words.
const SECRET_BYTES_MIN: usize = 6;

/// The same for successes, where a placeholder such as `lm-studio` may be the name of a model too.
const SECRET_BYTES_MIN_OF_SUCCESS: usize = 12;

/// How often an escape may be escaped once more.
const NESTING_MAX: usize = 4;

/// The longest spelling of one character that is known: `%2525252525` and two digits.
const SPELLING_BYTES_MAX: usize = 3 + 2 * NESTING_MAX;

/// How closely bytes are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scrutiny {
    /// For a success, which passes as it is.
    Usual,
    /// For errors, and for responses that are decoded and encoded again.
    Close,
}

impl Scrutiny {
    /// What the head of a response deserves.
    pub(crate) fn of_status(status: u16) -> Self {
        if (200..300).contains(&status) { Self::Usual } else { Self::Close }
    }

    /// What a whole body deserves.
    pub(crate) fn of_body(status: u16, body: &[u8]) -> Self {
        const ERRORS: [&[u8]; 2] = [b"{\"error\"", b"{\"type\":\"error\""];
        let is_error = ERRORS.iter().any(|begin| body.starts_with(begin));
        if is_error { Self::Close } else { Self::of_status(status) }
    }

    /// The same for a body that is decoded and encoded again, which would resolve escapes.
    pub(crate) fn of_decoded_body(status: u16, body: &[u8]) -> Self {
        if ESCAPE.find(body).is_some() { Self::Close } else { Self::of_body(status, body) }
    }

    /// What an event of a stream deserves.
    pub(crate) fn of_event(name: Option<&str>, data: &[u8]) -> Self {
        let is_error = name.is_some_and(|name| {
            name.contains("error") || name.contains("xception") || name == "response.failed"
        });
        if is_error || may_carry_error(data) { Self::Close } else { Self::Usual }
    }

    /// The same where the event is decoded.
    pub(crate) fn of_decoded_event(name: Option<&str>, data: &[u8]) -> Self {
        if ESCAPE.find(data).is_some() { Self::Close } else { Self::of_event(name, data) }
    }
}

/// How JSON escapes a character of ASCII.
static ESCAPE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\\u00"));

static SLASH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\\/"));

/// The credentials of one provider.
#[derive(Debug, Default)]
pub(crate) struct Redactor {
    needles: Vec<Needle>,
}

struct Needle {
    secret: Vec<u8>,
    /// As it is, and as JSON and URLs have it where they differ from that.
    usual: Vec<Finder<'static>>,
    /// What is the same in base64 wherever it stands.
    encoded: Vec<Finder<'static>>,
}

/// Without the secret.
impl std::fmt::Debug for Needle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Needle").finish_non_exhaustive()
    }
}

impl Redactor {
    /// For what the settings have of a provider.
    pub(crate) fn of_provider(provider: &Provider) -> Self {
        Self::new(provider.secrets())
    }

    /// For tokens that were fetched.
    pub(crate) fn of_tokens<'t>(tokens: impl Iterator<Item = &'t Token>) -> Self {
        Self::new(tokens.flat_map(Token::secrets).collect())
    }

    /// For fields that stand in for the provider's own.
    pub(crate) fn of_fields(fields: &[ProviderField]) -> Self {
        Self::new(fields.iter().flat_map(ProviderField::secrets).collect())
    }

    fn new(mut secrets: Vec<String>) -> Self {
        // Longest first, so that one inside another is not masked by half.
        secrets.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        secrets.dedup();
        secrets.retain(|secret| secret.len() >= SECRET_BYTES_MIN);
        Self { needles: secrets.iter().map(|secret| Needle::new(secret)).collect() }
    }

    /// Masks the credentials in `bytes`.
    pub(crate) fn mask(&self, bytes: &mut [u8], scrutiny: Scrutiny) {
        self.needles.iter().for_each(|needle| needle.mask(bytes, scrutiny));
    }

    pub(crate) fn is_in(&self, bytes: &[u8], scrutiny: Scrutiny) -> bool {
        self.needles.iter().any(|needle| needle.is_in(bytes, scrutiny))
    }

    /// How many bytes at the end may be the beginning of a credential.
    pub(crate) fn tail(&self, bytes: &[u8]) -> usize {
        self.needles.iter().map(|needle| needle.tail(bytes)).max().unwrap_or(0)
    }
}

impl Needle {
    fn new(secret: &str) -> Self {
        let finder = |text: &str| Finder::new(text.as_bytes()).into_owned();
        let in_json = secret.replace('\\', "\\\\").replace('"', "\\\"").replace('/', "\\/");
        let in_url = [b"0123456789ABCDEF", b"0123456789abcdef"];
        let [upper, lower] = in_url.map(|digits| percent_encoded(secret, digits));
        let mut usual = vec![finder(secret)];
        let lower = if lower == upper { secret.to_owned() } else { lower };
        let others = [in_json, upper, lower];
        usual.extend(others.iter().filter(|text| *text != secret).map(|text| finder(text)));
        let encoded = (0..3).filter_map(|offset| {
            // The first and the last characters depend on the neighbours.
            let padded = [vec![0; offset].as_slice(), secret.as_bytes()].concat();
            let text = encode_base64(&padded);
            let begin = (offset * 8).div_ceil(6);
            let end = padded.len() * 8 / 6;
            Some(text.get(begin..end)?.to_owned()).filter(|core| core.len() >= SECRET_BYTES_MIN)
        });
        let encoded = encoded.flat_map(|core| {
            let in_url = core.replace('+', "-").replace('/', "_");
            let other = (in_url != core).then_some(in_url);
            [Some(core), other].into_iter().flatten()
        });
        let encoded = encoded.map(|core| finder(&core)).collect();
        Self { secret: secret.as_bytes().to_vec(), usual, encoded }
    }

    fn finders(&self, scrutiny: Scrutiny) -> impl Iterator<Item = &Finder<'static>> {
        let is_close = scrutiny == Scrutiny::Close;
        let is_long = self.secret.len() >= SECRET_BYTES_MIN_OF_SUCCESS;
        let usual = self.usual.iter().filter(move |_| is_close || is_long);
        usual.chain(self.encoded.iter().filter(move |_| is_close))
    }

    fn is_in(&self, bytes: &[u8], scrutiny: Scrutiny) -> bool {
        self.finders(scrutiny).any(|finder| finder.find(bytes).is_some())
            || scrutiny == Scrutiny::Close && self.next_spelling(bytes, 0).is_some()
    }

    fn mask(&self, bytes: &mut [u8], scrutiny: Scrutiny) {
        for finder in self.finders(scrutiny) {
            let length = finder.needle().len();
            let mut from = 0;
            while let Some(at) = bytes.get(from..).and_then(|rest| finder.find(rest)) {
                fill(bytes, from + at, length);
                from += at + length;
            }
        }
        if scrutiny == Scrutiny::Close {
            let mut from = 0;
            while let Some((at, length)) = self.next_spelling(bytes, from) {
                fill(bytes, at, length);
                from = at + length;
            }
        }
    }

    /// Where the credential stands at or after `from` with some of its characters escaped, and how many
    /// bytes it takes there.
    fn next_spelling(&self, bytes: &[u8], from: usize) -> Option<(usize, usize)> {
        let has_escapes = || {
            memchr::memchr(b'%', bytes).is_some()
                || ESCAPE.find(bytes).is_some()
                || SLASH.find(bytes).is_some()
        };
        if from == 0 && !has_escapes() {
            return None;
        }
        let first = *self.secret.first()?;
        let rest = bytes.get(from..)?;
        memchr::memchr3_iter(first, b'\\', b'%', rest).find_map(|at| {
            match spelled(&self.secret, rest.get(at..)?) {
                Spelling::Whole(length) => Some((from + at, length)),
                Spelling::Beginning | Spelling::No => None,
            }
        })
    }

    fn tail(&self, bytes: &[u8]) -> usize {
        let longest = self.secret.len().saturating_mul(SPELLING_BYTES_MAX);
        let from = bytes.len().saturating_sub(longest);
        let end = bytes.get(from..).unwrap_or_default();
        let Some(first) = self.secret.first() else { return 0 };
        let begins = memchr::memchr3_iter(*first, b'\\', b'%', end).find(|at| {
            let rest = end.get(*at..).unwrap_or_default();
            spelled(&self.secret, rest) == Spelling::Beginning
        });
        begins.map_or(0, |at| end.len() - at)
    }
}

/// Masks `length` bytes from `at`. The first stays where it belongs to an escape that begins before it,
/// as in `\n`.
fn fill(bytes: &mut [u8], at: usize, length: usize) {
    let before = bytes.get(..at).unwrap_or_default();
    let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
    let from = if backslashes % 2 == 1 && length > 1 { at + 1 } else { at };
    if let Some(masked) = bytes.get_mut(from..at + length) {
        masked.fill(b'*');
    }
}

fn percent_encoded(text: &str, digits: &[u8; 16]) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let digit = |value: u8| digits.get(usize::from(value)).copied().map_or('0', char::from);
    let spell = |byte: u8| match is_plain(byte) {
        true => vec![char::from(byte)],
        false => vec!['%', digit(byte >> 4), digit(byte & 15)],
    };
    text.bytes().flat_map(spell).collect()
}

/// What a text begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spelling {
    /// The secret, in so many bytes.
    Whole(usize),
    /// The text ends where the secret might go on.
    Beginning,
    No,
}

fn spelled(secret: &[u8], text: &[u8]) -> Spelling {
    let mut at = 0;
    for expected in secret {
        match next_character(text.get(at..).unwrap_or_default(), *expected) {
            Some(length) => at += length,
            None if is_cut(text.get(at..).unwrap_or_default()) => return Spelling::Beginning,
            None => return Spelling::No,
        }
    }
    Spelling::Whole(at)
}

/// How many bytes `text` begins with that spell `expected`.
fn next_character(text: &[u8], expected: u8) -> Option<usize> {
    if text.first() == Some(&expected) {
        return Some(1);
    }
    let (value, length) = match text.first()? {
        b'\\' => {
            let escapes = text.iter().take_while(|byte| **byte == b'\\').take(NESTING_MAX).count();
            match text.get(escapes..)? {
                [b'u', b'0', b'0', high, low, ..] => (hex(*high, *low)?, escapes + 5),
                [plain, ..] if !plain.is_ascii_alphanumeric() => (*plain, escapes + 1),
                _ => return None,
            }
        }
        b'%' => {
            let mut digits = text.get(1..)?;
            for _ in 0..NESTING_MAX {
                digits = digits.strip_prefix(b"25").unwrap_or(digits);
            }
            let [high, low, ..] = digits else { return None };
            (hex(*high, *low)?, text.len() - digits.len() + 2)
        }
        _ => return None,
    };
    (value == expected).then_some(length)
}

/// True if `text` ends in the middle of an escape.
fn is_cut(text: &[u8]) -> bool {
    match text.first() {
        None => true,
        Some(b'\\') => {
            let escapes = text.iter().take_while(|byte| **byte == b'\\').take(NESTING_MAX).count();
            let rest = text.get(escapes..).unwrap_or_default();
            match rest {
                [b'u', b'0', b'0', digits @ ..] => {
                    digits.len() < 2 && digits.iter().all(u8::is_ascii_hexdigit)
                }
                rest => b"u00".starts_with(rest),
            }
        }
        Some(b'%') => {
            let mut digits = text.get(1..).unwrap_or_default();
            for _ in 0..NESTING_MAX {
                digits = digits.strip_prefix(b"25").unwrap_or(digits);
            }
            digits.len() < 2 && digits.iter().all(u8::is_ascii_hexdigit)
        }
        _ => false,
    }
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "test-credential/a+b==";

    fn masked(secret: &str, text: &str, scrutiny: Scrutiny) -> String {
        let mut bytes = text.as_bytes().to_vec();
        Redactor::new(vec![secret.to_owned()]).mask(&mut bytes, scrutiny);
        String::from_utf8(bytes).expect("text stays text")
    }

    fn escaped(text: &str) -> String {
        text.bytes().map(|byte| format!("\\u{byte:04x}")).collect()
    }

    #[test]
    fn every_spelling_is_masked_in_errors() {
        let percent: String = SECRET.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let twice = percent.replace('%', "%25");
        for spelling in [
            SECRET.to_owned(),
            SECRET.replace('/', "\\/"),
            SECRET.replace('/', "\\\\\\/"),
            escaped(SECRET),
            escaped(SECRET).to_ascii_uppercase().replace("\\U", "\\u"),
            escaped(SECRET).replace('\\', "\\\\"),
            percent_encoded(SECRET, b"0123456789ABCDEF"),
            percent_encoded(SECRET, b"0123456789abcdef"),
            percent,
            twice,
            format!("te{}", escaped(&SECRET[2..])),
        ] {
            let text = format!(r#"{{"error":{{"message":"bad key: {spelling}, sorry"}}}}"#);
            let found = masked(SECRET, &text, Scrutiny::Close);
            let expected = text.replace(&spelling, &"*".repeat(spelling.len()));
            assert_eq!(found, expected);
            assert!(serde_json::from_str::<serde_json::Value>(&found).is_ok(), "{found}");
        }
        for before in ["", "u", "us", "user:"] {
            let encoded = encode_base64(format!("{before}{SECRET}:x").as_bytes());
            let found = masked(SECRET, &encoded, Scrutiny::Close);
            assert!(found.matches('*').count() >= SECRET.len(), "{encoded} {found}");
        }
    }

    #[test]
    fn successes_are_masked_for_the_usual_spellings() {
        for spelling in [
            SECRET.to_owned(),
            SECRET.replace('/', "\\/"),
            percent_encoded(SECRET, b"0123456789ABCDEF"),
        ] {
            let text = format!("a {spelling} b {spelling}");
            let expected = text.replace(&spelling, &"*".repeat(spelling.len()));
            assert_eq!(masked(SECRET, &text, Scrutiny::Usual), expected);
        }
        assert_eq!(masked("lm-studio", "lm-studio", Scrutiny::Usual), "lm-studio");
        assert_eq!(masked("lm-studio", "lm-studio", Scrutiny::Close), "*********");
        assert_eq!(masked("EMPTY", "EMPTY", Scrutiny::Close), "EMPTY");
    }

    #[test]
    fn other_text_is_not_masked() {
        for text in [
            "test-credential/a+b=",
            "test-credential",
            "50% of \\n \\u00e9 \\/ %",
            "\\\\\\\\\\\\\\\\\\\\\\\\",
            "%25%25%25%25%25%25",
            "",
        ] {
            assert_eq!(masked(SECRET, text, Scrutiny::Close), text);
        }
        // The letter of an escape is no part of the credential.
        let found = masked("nvapi-credential", r#""\nvapi-credential""#, Scrutiny::Close);
        assert_eq!(found, format!("\"\\n{}\"", "*".repeat(15)));
    }

    #[test]
    fn one_credential_inside_another() {
        let secrets = vec!["credential".to_owned(), "credential-and-more".to_owned()];
        let mut bytes = b"credential-and-more credential".to_vec();
        Redactor::new(secrets).mask(&mut bytes, Scrutiny::Close);
        assert_eq!(bytes, b"******************* **********");
    }

    proptest! {
        #[test]
        fn a_tail_is_all_that_could_go_on(cut in 0..200_usize, style in 0..3_usize) {
            let spelling = [SECRET.to_owned(), escaped(SECRET), percent_encoded(SECRET, b"0123456789ABCDEF")];
            let spelling = &spelling[style];
            let cut = 1 + cut % (spelling.len() - 1);
            let text = format!("bad key: {}", &spelling[..cut]);
            let redactor = Redactor::new(vec![SECRET.to_owned()]);
            prop_assert_eq!(redactor.tail(text.as_bytes()), cut);
            prop_assert_eq!(redactor.tail(format!("{text}!!!!!!!!!").as_bytes()), 0);
        }

        #[test]
        fn lengths_stay(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let redactor = Redactor::new(vec![SECRET.to_owned(), "aaaaaa".to_owned()]);
            let mut masked = bytes.clone();
            redactor.mask(&mut masked, Scrutiny::Close);
            prop_assert_eq!(masked.len(), bytes.len());
            prop_assert!(redactor.tail(&bytes) <= bytes.len());
            prop_assert_eq!(redactor.is_in(&bytes, Scrutiny::Close), masked != bytes);
        }
    }
}
