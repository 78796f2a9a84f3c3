//! Which lines of a file of pairs are looked at.

use clap::ValueEnum;

/// A half of the lines, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LineSet {
    /// Every second line, from the first.
    Fit,
    /// Every second line, from the second.
    Held,
    /// All lines.
    All,
}

impl LineSet {
    pub(crate) fn of<T>(self, rows: Vec<T>) -> Vec<T> {
        let is_in = |place: usize| match self {
            Self::Fit => place.is_multiple_of(2),
            Self::Held => !place.is_multiple_of(2),
            Self::All => true,
        };
        rows.into_iter()
            .enumerate()
            .filter(|(place, _)| is_in(*place))
            .map(|(_, row)| row)
            .collect()
    }

    pub(crate) fn described(self) -> &'static str {
        match self {
            Self::Fit => "every second line from the first (of fow_pairs: fitted on)",
            Self::Held => "every second line from the second (of fow_pairs: not fitted on)",
            Self::All => "all lines (of fow_pairs: half of them fitted on)",
        }
    }
}
