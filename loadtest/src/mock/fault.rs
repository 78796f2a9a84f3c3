//! Ways to answer wrongly, drawn by rate or named by the `x-mock-fault` header.

/// One way to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Status 500 with a JSON error.
    Error,
    /// Status 429 with `retry-after: 1`.
    TooMany,
    /// TCP reset instead of an answer.
    Reset,
    /// Half the answer, then a clean close.
    Truncate,
    /// No answer; the connection stays open until the client leaves.
    Hang,
    /// Bytes that are not HTTP, then a close.
    Garbage,
    /// A right answer followed by a second one without a request.
    Surplus,
    /// A chunked answer with a chunk size that is no number.
    BadChunk,
    /// A head of 256 KiB.
    HugeHead,
    /// A right answer without length or chunks that ends by closing.
    CloseDelimited,
}

const NAMES: [(&str, Fault); 10] = [
    ("error", Fault::Error),
    ("429", Fault::TooMany),
    ("reset", Fault::Reset),
    ("truncate", Fault::Truncate),
    ("hang", Fault::Hang),
    ("garbage", Fault::Garbage),
    ("surplus", Fault::Surplus),
    ("bad-chunk", Fault::BadChunk),
    ("huge-head", Fault::HugeHead),
    ("close-delimited", Fault::CloseDelimited),
];

impl Fault {
    /// The fault a header value names; `None` for any other value.
    pub fn from_header(value: &[u8]) -> Option<Self> {
        NAMES.iter().find(|(name, _)| name.as_bytes() == value).map(|&(_, fault)| fault)
    }
}

/// Probability of each fault that can be drawn.
#[derive(Clone, Copy, Debug)]
pub struct FaultRates {
    pub error: f64,
    pub too_many: f64,
    pub reset: f64,
    pub truncate: f64,
    pub hang: f64,
    pub garbage: f64,
}

impl FaultRates {
    /// Probability of any fault.
    pub fn total(&self) -> f64 {
        self.rows().iter().map(|(rate, _)| rate).sum()
    }

    /// Draws at most one fault.
    pub fn draw(&self, random: &mut fastrand::Rng) -> Option<Fault> {
        let mut left = random.f64();
        for (rate, fault) in self.rows() {
            if left < rate {
                return Some(fault);
            }
            left -= rate;
        }
        None
    }

    fn rows(&self) -> [(f64, Fault); 6] {
        [
            (self.error, Fault::Error),
            (self.too_many, Fault::TooMany),
            (self.reset, Fault::Reset),
            (self.truncate, Fault::Truncate),
            (self.hang, Fault::Hang),
            (self.garbage, Fault::Garbage),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_faults() {
        for (name, fault) in NAMES {
            assert_eq!(Fault::from_header(name.as_bytes()), Some(fault));
        }
        assert_eq!(Fault::from_header(b"ERROR"), None);
        assert_eq!(Fault::from_header(b""), None);
    }

    #[test]
    fn draws_follow_the_rates() {
        let rates = FaultRates {
            error: 0.1,
            too_many: 0.2,
            reset: 0.0,
            truncate: 0.0,
            hang: 0.0,
            garbage: 0.3,
        };
        let mut random = fastrand::Rng::with_seed(5);
        let drawn: Vec<_> = (0..20_000).map(|_| rates.draw(&mut random)).collect();
        let share = |fault| {
            drawn.iter().filter(|drawn| **drawn == fault).count() as f64 / drawn.len() as f64
        };
        for (fault, expected) in [
            (Some(Fault::Error), 0.1),
            (Some(Fault::TooMany), 0.2),
            (Some(Fault::Reset), 0.0),
            (Some(Fault::Garbage), 0.3),
            (None, 0.4),
        ] {
            assert!((share(fault) - expected).abs() < 0.02, "{fault:?}: {}", share(fault));
        }
    }
}
