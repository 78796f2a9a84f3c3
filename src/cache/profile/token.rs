//! Words and numbers of a text, in order.
//!
//! Letters and digits never share a token, so that `10GB`, `10 GB` and `10-GB` read the same. Scripts
//! that put no space between words give a token for each character.

/// A word or number, or a mark that ends a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// Lower case letters with inner apostrophes, or digits with inner `.`, `,`, `:` and `/`.
    pub text: String,
    /// What the token is.
    pub kind: TokenKind,
    /// Right before it stands no space: it belongs to the token before it.
    pub is_attached: bool,
    /// The character right before it, if that is neither space, letter nor digit.
    pub before: Option<char>,
    /// The character right after it, likewise.
    pub after: Option<char>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Number,
    /// No capitals.
    Lower,
    /// A capital at the beginning only.
    Capital,
    /// Nothing but capitals, or capitals within.
    Capitals,
    /// `.`, `!`, `?`, a colon or a line's end: what follows begins a sentence. Its mark is `before` it.
    Stop,
    /// A span that has been taken out of the text.
    Span,
}

impl Token {
    pub(super) fn is_word(&self) -> bool {
        !matches!(self.kind, TokenKind::Number | TokenKind::Stop | TokenKind::Span)
    }
}

/// Stands for a span that has been taken out of the text.
pub(super) const SPAN: char = '\u{fffc}';

/// Splits a text; at most `tokens_max` tokens, the flag is set if there were more.
pub(super) fn split(text: &str, tokens_max: usize) -> (Vec<Token>, bool) {
    let mut splitter =
        Splitter { tokens: Vec::with_capacity(24), before: None, is_attached: false };
    let mut rest = text.chars().peekable();
    while let Some(first) = rest.peek().copied() {
        if splitter.tokens.len() >= tokens_max {
            return (splitter.tokens, true);
        }
        if first == SPAN {
            rest.next();
            splitter.push(String::from(SPAN), TokenKind::Span);
        } else if digit(first).is_some() {
            splitter.number(&mut rest);
        } else if first.is_alphabetic() {
            splitter.word(&mut rest);
        } else {
            rest.next();
            splitter.mark(first);
        }
    }
    (splitter.tokens, false)
}

type Rest<'a> = std::iter::Peekable<std::str::Chars<'a>>;

struct Splitter {
    tokens: Vec<Token>,
    before: Option<char>,
    is_attached: bool,
}

impl Splitter {
    fn push(&mut self, text: String, kind: TokenKind) {
        let before = self.before.take();
        self.tokens.push(Token { text, kind, is_attached: self.is_attached, before, after: None });
        self.is_attached = true;
    }

    fn number(&mut self, rest: &mut Rest<'_>) {
        let mut text = String::new();
        while let Some(next) = rest.peek().copied() {
            if let Some(value) = digit(next) {
                text.push(value);
            } else if matches!(next, '.' | ',' | ':' | '/')
                && second(rest).and_then(digit).is_some()
            {
                text.push(next);
            } else {
                break;
            }
            rest.next();
        }
        self.push(text, TokenKind::Number);
    }

    fn word(&mut self, rest: &mut Rest<'_>) {
        let mut text = String::new();
        let (mut capitals, mut letters, mut dots) = (0, 0, 0);
        let mut is_first_capital = false;
        while let Some(next) = rest.peek().copied() {
            let is_inner = |mark: char| matches!(mark, '\'' | '\u{2019}');
            if next.is_alphabetic() || is_combining(next) {
                if letters > 0 && is_unspaced(next) {
                    break;
                }
                is_first_capital |= letters == 0 && next.is_uppercase();
                capitals += usize::from(next.is_uppercase());
                letters += 1;
                text.extend(next.to_lowercase());
                if is_unspaced(next) {
                    rest.next();
                    break;
                }
            } else if is_inner(next) && second(rest).is_some_and(char::is_alphabetic) {
                text.push('\'');
            } else if next == '.' && letters == 1 + dots && is_initial(rest) {
                // U.S. and a.m.: letters with a full stop each are one word.
                dots += 1;
            } else if matches!(next, '+' | '#') && letters <= 2 {
                // C++, C#, F#.
                text.push(next);
            } else {
                break;
            }
            rest.next();
        }
        let kind = match capitals {
            0 => TokenKind::Lower,
            1 if is_first_capital => TokenKind::Capital,
            _ => TokenKind::Capitals,
        };
        self.push(text, kind);
    }

    fn mark(&mut self, mark: char) {
        if mark.is_whitespace() {
            self.is_attached = false;
            self.before = None;
            if mark == '\n' {
                self.stop(mark);
            }
            return;
        }
        if let Some(last) = self.tokens.last_mut()
            && self.is_attached
            && last.after.is_none()
        {
            last.after = Some(mark);
        }
        self.before = Some(mark);
        if matches!(mark, '.' | '!' | '?' | ':' | ';' | '\u{3002}' | '\u{ff1f}') {
            self.stop(mark);
        }
    }

    fn stop(&mut self, mark: char) {
        if self.tokens.last().is_some_and(|last| last.kind != TokenKind::Stop) {
            self.tokens.push(Token {
                text: String::new(),
                kind: TokenKind::Stop,
                is_attached: false,
                before: Some(mark),
                after: None,
            });
        }
    }
}

fn second(rest: &Rest<'_>) -> Option<char> {
    rest.clone().nth(1)
}

/// True if the full stop that comes next is followed by a single letter.
fn is_initial(rest: &Rest<'_>) -> bool {
    let mut ahead = rest.clone().skip(1);
    ahead.next().is_some_and(char::is_alphabetic)
        && !ahead.next().is_some_and(char::is_alphanumeric)
}

/// The ASCII digit of a decimal digit of the scripts that are met most.
fn digit(character: char) -> Option<char> {
    const ZEROS: [u32; 7] = [0x30, 0xff10, 0x660, 0x6f0, 0x966, 0x9e6, 0xe50];
    let code = u32::from(character);
    let zero = ZEROS.into_iter().find(|zero| (*zero..*zero + 10).contains(&code))?;
    char::from_digit(code - zero, 10)
}

/// Vowel signs and accents that follow their letter.
fn is_combining(character: char) -> bool {
    matches!(u32::from(character), 0x300..=0x36f | 0x900..=0x903 | 0x93a..=0x94f | 0xe31..=0xe4e)
}

/// Scripts without spaces between words: Han, kana, Thai, Lao, Khmer.
fn is_unspaced(character: char) -> bool {
    matches!(u32::from(character),
        0x3040..=0x30ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff
        | 0x20000..=0x3ffff | 0xe00..=0xeff | 0x1780..=0x17ff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_digits_are_split() {
        let cases: &[(&str, &[&str])] = &[
            ("10GB, 3.5%", &["10", "gb", "3.5"]),
            (
                "Don't e-mail U.S. staff at 9:15 a.m.",
                &["don't", "e", "mail", "us", "staff", "at", "9:15", "am"],
            ),
            ("C++ or C#?", &["c++", "or", "c#"]),
            ("東京へ", &["東", "京", "へ"]),
            ("٣ and ３", &["3", "and", "3"]),
            ("1,000.5/2", &["1,000.5/2"]),
        ];
        for (text, expected) in cases {
            let (tokens, is_cut) = split(text, 100);
            let texts: Vec<_> = tokens
                .iter()
                .filter(|token| token.kind != TokenKind::Stop)
                .map(|token| token.text.as_str())
                .collect();
            assert_eq!(texts, *expected, "{text}");
            assert!(!is_cut);
        }
        assert!(split("a b c", 2).1);
    }
}
