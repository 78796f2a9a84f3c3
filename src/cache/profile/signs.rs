//! Signs of arithmetic, comparison and code, flags, and the case of units: what a word counts for
//! little in a vector and much in an answer.
//!
//! A piece between spaces that has a letter and a sign (`x+=1`, `u+w`, `C++`, `-a`) counts as it is
//! written, a flag with its case. Elsewhere a run of signs counts, and its word does as well: `times`
//! is `*`. A dash or slash between words is none, nor are marks of a sentence.

use super::letters::spread;

/// A hash of all of them in order; 0 where there are none.
pub(super) fn read(text: &str) -> u64 {
    let mut signs = Signs { hash: 0, is_after_number: false };
    let mut pieces = text.split_whitespace().peekable();
    while let Some(piece) = pieces.next() {
        signs.piece(piece, pieces.peek().copied());
    }
    signs.hash
}

struct Signs {
    hash: u64,
    /// The piece before was a number.
    is_after_number: bool,
}

impl Signs {
    fn push(&mut self, sign: &[u8]) {
        let bits = sign.iter().fold(1, |bits, byte| spread(bits ^ u64::from(*byte)));
        self.hash = spread(self.hash ^ bits);
    }

    fn piece(&mut self, piece: &str, next: Option<&str>) {
        let bare = piece.trim_matches(['(', ')', '[', ']', '"', '\'', ',', ';', ':']);
        let bare = bare.trim_end_matches(['.', '?', '!', ',', ')', '"', '\'']);
        let was_number = std::mem::replace(&mut self.is_after_number, ends_in_number(bare));
        if was_number && let Some(sign) = word_sign(bare, next) {
            return self.push(sign);
        }
        let bytes = bare.as_bytes();
        let Some(first) = bytes.first() else { return };
        if !bytes.iter().any(|byte| b"+-*/<>=&|^%!~".contains(byte) || !byte.is_ascii()) {
            return self.unit(bare, was_number);
        }
        let has_letter = bare.contains(char::is_alphabetic);
        let is_flag = matches!(first, b'-' | b'+')
            && bytes.get(1).is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'-')
            && has_letter;
        if is_flag {
            return self.push(bytes);
        }
        if has_letter {
            if is_code(bare) {
                let small = bare.to_ascii_lowercase();
                self.push(small.as_bytes());
            }
            return;
        }
        self.runs(bare, was_number, next);
    }

    /// Runs of signs in a piece without letters.
    fn runs(&mut self, piece: &str, was_number: bool, next: Option<&str>) {
        let is_alone = !piece.contains(|it: char| it.is_ascii_digit());
        let is_before_number = next.is_some_and(|next| {
            next.trim_start_matches(['(', '-', '+', '$'])
                .starts_with(|it: char| it.is_ascii_digit())
        });
        // A date or a telephone number.
        if !is_alone && piece.bytes().filter(|byte| matches!(byte, b'-' | b'/')).count() >= 2 {
            return;
        }
        let mut run = Vec::new();
        for letter in piece.chars().chain(std::iter::once(' ')) {
            match plain(letter) {
                Some(sign) => run.extend_from_slice(sign),
                None if !run.is_empty() => {
                    let is_dash = matches!(run.as_slice(), b"-" | b"--" | b"/" | b"&");
                    let is_end = run == b"=" && !is_before_number && is_alone;
                    let is_percent = run == b"%" && !(is_alone && is_before_number);
                    let is_mark = run.iter().all(|byte| *byte == b'!') && is_alone;
                    let is_significant = !is_dash || !is_alone || was_number || is_before_number;
                    if is_significant && !is_end && !is_percent && !is_mark {
                        let sign =
                            if run == b"**" { b"^".to_vec() } else { std::mem::take(&mut run) };
                        self.push(&sign);
                    }
                    run.clear();
                }
                None => {}
            }
        }
    }

    /// The case of a unit behind a number: a small letter may be a thousandth, or an eighth.
    fn unit(&mut self, piece: &str, was_number: bool) {
        let digits =
            piece.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let Some(unit) = piece.get(digits..).filter(|_| digits > 0 || was_number) else { return };
        let bytes = unit.as_bytes();
        let small = unit.to_ascii_lowercase();
        let is_of_bytes =
            matches!(small.as_str(), "kb" | "mb" | "gb" | "tb" | "kbps" | "mbps" | "gbps");
        let is_scaled =
            matches!(small.as_str(), "mw" | "ma" | "mg" | "mm" | "ms" | "mhz" | "ml" | "mv" | "pa");
        if is_of_bytes {
            let is_scale_large = bytes.first().is_some_and(u8::is_ascii_uppercase);
            let is_small = bytes.get(1) == Some(&b'b');
            let are_bits =
                if small.ends_with("ps") { is_small } else { is_small && is_scale_large };
            if are_bits && !small.ends_with("ps") || !are_bits && small.ends_with("ps") {
                self.push(b"b");
            }
        } else if is_scaled
            && bytes.first().is_some_and(u8::is_ascii_uppercase)
            // All capitals may be the whole text's.
            && (small != "mm" && small != "ms" && small != "mg" && small != "ml" && small != "mhz")
        {
            self.push(b"M");
        }
    }
}

fn ends_in_number(piece: &str) -> bool {
    piece.ends_with(|it: char| it.is_ascii_digit() || it == '%')
        || matches!(
            piece,
            "one"
                | "two"
                | "three"
                | "four"
                | "five"
                | "six"
                | "seven"
                | "eight"
                | "nine"
                | "ten"
                | "x"
                | "y"
                | "n"
        )
}

/// The sign that a word behind a number stands for.
fn word_sign(word: &str, next: Option<&str>) -> Option<&'static [u8]> {
    let is_number_next = next
        .is_some_and(|next| ends_in_number(next.trim_end_matches(['?', '.', '!', ',', '=', ')'])));
    let sign: &[u8] = match word {
        "times" | "x" | "X" => b"*",
        "plus" => b"+",
        "minus" => b"-",
        "over" if is_number_next => b"/",
        "mod" | "modulo" => b"%",
        "multiplied" if next == Some("by") => return Some(b"*"),
        "divided" if next == Some("by") => return Some(b"/"),
        "to" if next == Some("the") => return None,
        _ => return None,
    };
    is_number_next.then_some(sign)
}

/// A sign in ASCII.
fn plain(letter: char) -> Option<&'static [u8]> {
    Some(match letter {
        '+' => b"+",
        '-' | '\u{2212}' => b"-",
        '*' | '×' => b"*",
        '/' | '÷' => b"/",
        '<' => b"<",
        '>' => b">",
        '=' => b"=",
        '&' => b"&",
        '|' => b"|",
        '^' => b"^",
        '%' => b"%",
        '!' => b"!",
        '~' => b"~",
        '≤' => b"<=",
        '≥' => b">=",
        '≠' => b"!=",
        _ => return None,
    })
}

/// True of a piece with letters whose signs are code: more than hyphens and slashes between words.
fn is_code(piece: &str) -> bool {
    let bytes = piece.as_bytes();
    let is_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    bytes.iter().enumerate().any(|(at, byte)| {
        let is_between = at > 0 && is_word(bytes.get(at - 1)) && is_word(bytes.get(at + 1));
        match byte {
            b'+' | b'*' | b'<' | b'>' | b'=' | b'|' | b'^' | b'~' | b'!' => true,
            b'&' => !is_between,
            b'-' => bytes.get(at + 1) == Some(&b'-') || at + 1 == bytes.len(),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinguishing_signs_are_found() {
        for (a, b) in [
            ("What is 7 + 3?", "What is 7 - 3?"),
            ("Is 4 <= 4?", "Is 4 < 4?"),
            ("age > 18", "age < 18"),
            ("What does x << 1 do?", "What does x >> 1 do?"),
            ("x & 1", "x && 1"),
            ("x += 1", "x -= 1"),
            ("What does ls -a do?", "What does ls -A do?"),
            ("chmod +x", "chmod -x"),
            ("chmod u+w", "chmod g+w"),
            ("what does a+ match?", "what does a* match?"),
            ("Why i++?", "Why i--?"),
            ("Is -2 > -3?", "Is -2 < -3?"),
            ("10 Mb", "10 MB"),
            ("5 mW", "5 MW"),
            ("7 ≤ 8", "7 ≥ 8"),
            ("6 x 2", "6 / 2"),
            ("5 - 3", "5 plus 3"),
        ] {
            assert_ne!(read(a), read(b), "{a} | {b}");
        }
    }

    #[test]
    fn ordinary_punctuation_is_no_sign() {
        for (a, b) in [
            ("6 times 7", "6 * 7"),
            ("6×7", "6 * 7"),
            ("12 divided by 4", "12 / 4"),
            ("e-mail and/or post", "email and or post"),
            ("HTTP/2 on TCP/IP", "HTTP 2 on TCP IP"),
            ("cats & dogs", "cats and dogs"),
            ("now - please!", "now please"),
            ("$5 on 2024-03-05", "5 on 5 March 2024"),
            ("10% of AT&T", "10 percent of AT T"),
            ("10 - 4 = ?", "10 - 4"),
            ("10 GB", "10 gb"),
        ] {
            assert_eq!(read(a), read(b), "{a} | {b}");
        }
    }
}
