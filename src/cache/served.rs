//! Which answers were found by meaning lately, so that a verdict on one finds its entry.

use std::collections::{HashMap, VecDeque};

use super::Key;

/// Traces that are remembered; the oldest are forgotten. As many as fill a table of 32,768 places, which
/// is 3 MB with the order: it is made whole when the first answer comes, so that memory does not creep up
/// to its bound over hours.
const TRACES_MAX: usize = 28_672;

/// Answers that are remembered of one trace.
const ANSWERS_MAX: usize = 16;

/// An answer that was found by meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// The key that the question would have had.
    pub question: Key,
    /// The name of the entry that answered it.
    pub entry: Key,
}

#[derive(Default)]
pub(super) struct ServedAnswers {
    by_trace: HashMap<Key, TraceAnswers>,
    /// Traces, the oldest first.
    order: VecDeque<Key>,
}

/// Nearly every trace has one answer, which therefore takes no allocation.
#[derive(Default)]
struct TraceAnswers {
    first: Option<Served>,
    others: Vec<Served>,
}

impl TraceAnswers {
    fn push(&mut self, served: Served) {
        if self.first.is_none() {
            self.first = Some(served);
        } else if self.others.len() + 1 < ANSWERS_MAX {
            self.others.push(served);
        }
    }
}

impl ServedAnswers {
    pub(super) fn note(&mut self, trace: Key, served: Served) {
        if self.order.capacity() == 0 {
            self.by_trace.reserve(TRACES_MAX);
            self.order.reserve_exact(TRACES_MAX + 1);
        }
        match self.by_trace.get_mut(&trace) {
            Some(answers) => answers.push(served),
            None => {
                self.order.push_back(trace);
                // One goes before another comes, so that the table never has to grow.
                self.forget_oldest();
                let answers = TraceAnswers { first: Some(served), others: Vec::new() };
                self.by_trace.insert(trace, answers);
            }
        }
    }

    fn forget_oldest(&mut self) {
        if self.order.len() > TRACES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_trace.remove(&oldest);
        }
    }

    pub(super) fn take(&mut self, trace: &Key) -> Vec<Served> {
        // Its place in the order stays, and is passed over when it comes to be the oldest.
        let answers = self.by_trace.get_mut(trace).map(std::mem::take).unwrap_or_default();
        answers.first.into_iter().chain(answers.others).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cache, CacheLimits};
    use super::*;

    #[test]
    fn traces_are_bounded_and_taken_once() {
        let cache = Cache::in_memory(&CacheLimits::default(), [0; 32]);
        let key = |number: usize| cache.key().part(&number.to_le_bytes()).finish();
        let served = Served { question: key(1), entry: key(2) };
        let mut answers = ServedAnswers::default();
        for number in 0..TRACES_MAX + 10 {
            answers.note(key(number), served);
        }
        assert_eq!(answers.by_trace.len(), TRACES_MAX);
        assert!(answers.take(&key(9)).is_empty() && answers.take(&key(10)) == [served]);
        assert!(answers.take(&key(10)).is_empty());
        for _ in 0..ANSWERS_MAX + 5 {
            answers.note(key(11), served);
        }
        assert_eq!(answers.take(&key(11)).len(), ANSWERS_MAX);
    }
}
