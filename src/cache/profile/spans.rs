//! Spans of a text that must be equal to the letter: code, URLs, paths, identifiers, quotations.

use super::{FACTS_MAX, Span};

/// What is left among the words in place of a span.
const PLACE: &str = " \u{fffc} ";

/// Takes the spans out of a text: what they are, in order, and the words that are left. The flag is set
/// whether there were more than [`FACTS_MAX`]. Quotations are left among the words, too.
pub(super) fn take(text: &str) -> (Vec<Span>, String, bool) {
    let (mut spans, mut words) = (Vec::new(), String::with_capacity(text.len()));
    for (number, part) in fences(text).enumerate() {
        if number % 2 == 1 {
            spans.push(opaque(part.trim()));
            words.push_str(PLACE);
            continue;
        }
        spans.extend(quotes(part));
        for piece in part.split_inclusive(char::is_whitespace) {
            let core = core(piece);
            if is_opaque(core) {
                spans.push(opaque(core));
                words.push_str(PLACE);
            } else {
                words.push_str(piece);
            }
        }
    }
    let is_cut = spans.len() > FACTS_MAX;
    spans.truncate(FACTS_MAX);
    (spans, words, is_cut)
}

/// Alternately what is outside and inside of code: between one, two or three backticks, each closed
/// by as many. What is never closed is outside.
fn fences(text: &str) -> impl Iterator<Item = &str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, ticks, inside, after)) = next_fence(rest) {
        debug_assert!(!ticks.is_empty());
        parts.push(before);
        parts.push(inside);
        rest = after;
    }
    parts.push(rest);
    parts.into_iter()
}

/// The text before a fence, the fence's ticks, what is inside, and the text after it.
fn next_fence(text: &str) -> Option<(&str, &str, &str, &str)> {
    let (before, _) = text.split_once('`')?;
    let opened = text.get(before.len()..)?;
    let ticks_len = opened.bytes().take_while(|byte| *byte == b'`').count().min(3);
    let (ticks, rest) = opened.split_at_checked(ticks_len)?;
    let (inside, after) = rest.split_once(ticks)?;
    Some((before, ticks, inside, after))
}

/// Quotations in double quotation marks of any kind.
fn quotes(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut rest = text;
    while let Some((_, opened)) = rest.split_once(['"', '\u{201c}', '\u{ab}', '\u{201e}']) {
        let Some((inside, after)) = opened.split_once(['"', '\u{201d}', '\u{bb}', '\u{201c}'])
        else {
            break;
        };
        let words = inside.trim().trim_end_matches(['.', ',', '?', '!']);
        if !words.is_empty() {
            spans.push(Span::Quote(hash(words)));
        }
        rest = after;
    }
    spans
}

/// A piece between spaces without the punctuation of the sentence around it.
fn core(piece: &str) -> &str {
    let piece = piece.trim();
    let end =
        piece.trim_end_matches(['.', ',', '?', '!', ';', ':', ')', ']', '"', '\'', '\u{201d}']);
    let end = if end.contains('(') && piece.get(end.len()..).is_some_and(|cut| cut.starts_with(')'))
    {
        // A call keeps its brackets.
        piece.get(..=end.len()).unwrap_or(end)
    } else {
        end
    };
    end.trim_start_matches(['(', '[', '"', '\'', '\u{201c}'])
}

/// True if a piece is not prose: whoever wrote it meant just these characters.
fn is_opaque(piece: &str) -> bool {
    let has_letter = piece.chars().any(char::is_alphabetic);
    let has = |marks: &[&str]| marks.iter().any(|mark| piece.contains(mark));
    has_letter
        && (has(&["://", "::", "\\", "()", "{", "}", "=", "->", "=>", "@", "<", ">"])
            || piece.contains('_')
            || piece.starts_with("www.")
            || piece.starts_with("--")
            || piece.starts_with('/')
            || piece.starts_with("./")
            || piece.starts_with('$') && piece.chars().nth(1).is_some_and(char::is_alphabetic)
            || is_dotted(piece))
}

/// `example.com`, `main.rs`, `node.js`: letters on both sides of a full stop, two or more of each.
fn is_dotted(piece: &str) -> bool {
    let mut parts = piece.split('.');
    let is_part = |part: &str| part.chars().filter(|letter| letter.is_alphanumeric()).count() >= 2;
    let (Some(first), Some(second)) = (parts.next(), parts.next()) else { return false };
    is_part(first)
        && is_part(second)
        && first.ends_with(char::is_alphanumeric)
        // A sentence that begins without a space has a capital there.
        && second.starts_with(|letter: char| letter.is_alphabetic() && letter.is_lowercase())
}

fn opaque(text: &str) -> Span {
    Span::Opaque(hash(text))
}

fn hash(text: &str) -> u64 {
    let hash = blake3::hash(text.as_bytes());
    hash.as_bytes().iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte)) >> 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, opaques: &[&str], quotations: &[&str], words: &str) {
        let (mut spans, left, is_cut) = take(text);
        spans.sort_unstable();
        let mut expected: Vec<Span> = opaques.iter().map(|text| opaque(text)).collect();
        expected.extend(quotations.iter().map(|text| Span::Quote(hash(text))));
        expected.sort_unstable();
        assert_eq!(spans, expected, "{text}");
        assert_eq!(
            left.replace('\u{fffc}', "").split_whitespace().collect::<Vec<_>>().join(" "),
            words,
            "{text}"
        );
        assert!(!is_cut);
    }

    #[test]
    fn spans_are_found() {
        check("What does `x + 1` do?", &["x + 1"], &[], "What does do?");
        check("run ```\nls -l\n``` now", &["ls -l"], &[], "run now");
        check(
            "Open https://a.example/b?c=d, please.",
            &["https://a.example/b?c=d"],
            &[],
            "Open please.",
        );
        check("What does \"LOL\" mean?", &[], &["LOL"], "What does \"LOL\" mean?");
        check("call std::mem::swap() or foo_bar", &["std::mem::swap()", "foo_bar"], &[], "call or");
        check("edit /etc/hosts and main.rs.", &["/etc/hosts", "main.rs"], &[], "edit and");
        check("The end.Next one, e.g. this", &[], &[], "The end.Next one, e.g. this");
        check("an unclosed ` tick and \" mark", &[], &[], "an unclosed ` tick and \" mark");
        check("a <b 3 > 2", &["<b"], &[], "a 3 > 2");
    }

    #[test]
    fn span_count_is_bounded() {
        let text = "a_b ".repeat(FACTS_MAX + 1);
        let (spans, _, is_cut) = take(&text);
        assert!(is_cut);
        assert_eq!(spans.len(), FACTS_MAX);
    }
}
