//! Which prompts are sent, and in which order: new ones, repeats, and other wordings.

/// Most prompts of a run; each is kept as a whole request.
const PROMPTS_MAX: usize = 100_000;

/// Prompts that may still be repeated or reworded; the oldest are dropped.
const RECENT_MAX: usize = 10_000;

/// A question that has been sent.
struct SentQuestion<'a> {
    sent: &'a str,
    /// Wordings that have not been sent yet.
    others: Vec<&'a str>,
}

/// The prompts of a file in the order of their sending: one question a line, its wordings parted by
/// tabs. Of 100 requests about `repeats` have been sent before and about `paraphrases` are what was
/// sent before in a wording that was not sent yet; the others are the lines in turn. Ends with the
/// lines. The same file gives the same order.
pub fn order<'a>(text: &'a str, repeats: f64, paraphrases: f64) -> Vec<&'a str> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut sent_questions: Vec<SentQuestion<'a>> = Vec::new();
    let mut prompts = Vec::new();
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    while prompts.len() < PROMPTS_MAX {
        let drawn = random.f64() * 100.0;
        if drawn < repeats && !sent_questions.is_empty() {
            prompts.push(sent_questions[random.usize(..sent_questions.len())].sent);
            continue;
        }
        if drawn < repeats + paraphrases {
            let able: Vec<usize> = (0..sent_questions.len())
                .filter(|index| !sent_questions[*index].others.is_empty())
                .collect();
            if !able.is_empty() {
                let question = &mut sent_questions[able[random.usize(..able.len())]];
                prompts.extend(question.others.pop());
                continue;
            }
        }
        let Some(line) = lines.next() else { break };
        let mut wordings = line.split('\t').map(str::trim).filter(|wording| !wording.is_empty());
        let Some(sent) = wordings.next() else { continue };
        prompts.push(sent);
        if sent_questions.len() < RECENT_MAX {
            sent_questions.push(SentQuestion { sent, others: wordings.collect() });
        }
    }
    prompts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_mix_the_lines_are_sent_in_turn() {
        assert_eq!(order("a\n\n b \tc\nd", 0.0, 0.0), ["a", "b", "d"]);
        assert!(order(" \n\t\n", 50.0, 50.0).is_empty());
    }

    #[test]
    fn mix_keeps_its_shares() {
        let text: String = (0..2_000).map(|n| format!("q{n}\tr{n}\ts{n}\n")).collect();
        let prompts = order(&text, 30.0, 20.0);
        assert_eq!(prompts, order(&text, 30.0, 20.0), "the same every time");
        let new = prompts.iter().filter(|it| it.starts_with('q')).count() as f64;
        let others = prompts.iter().filter(|it| !it.starts_with('q')).count() as f64;
        let distinct: std::collections::HashSet<_> = prompts.iter().collect();
        let share = |count: f64| count / prompts.len() as f64;
        assert!((share(others) - 0.2).abs() < 0.03, "{}", share(others));
        let repeated = new - distinct.iter().filter(|it| it.starts_with('q')).count() as f64;
        assert!((share(repeated) - 0.3).abs() < 0.03, "{}", share(repeated));
        let place = |text: &str| prompts.iter().position(|it| *it == text);
        let late =
            |n: &usize| place(&format!("r{n}")).is_none_or(|at| Some(at) > place(&format!("q{n}")));
        assert!((0..2_000).all(|n| late(&n)), "first the question, then its other wordings");
    }
}
