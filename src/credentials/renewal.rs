//! When a token is due: arithmetic of lifetimes, margins and pauses.

use std::time::Duration;

/// Longest margin before expiry at which a token is renewed.
const MARGIN_MAX: Duration = Duration::from_secs(300);

/// Margin as a fraction of the lifetime, if that is shorter.
const MARGIN_PART: u32 = 5;

/// Shortest interval between two fetches for one provider, so that no response can cause a busy
/// loop.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Longest pause after failures.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// How long after its receipt a token of this lifetime is renewed.
pub(super) fn renew_after(life: Duration) -> Duration {
    life.saturating_sub(MARGIN_MAX.min(life / MARGIN_PART)).max(PAUSE_MIN)
}

/// Pause after so many consecutive failures: doubled each time, reduced by a random share of up to
/// a half, so that gateways that failed together do not retry together. `chance` is random.
pub(super) fn retry_after(failures: u32, chance: u8) -> Duration {
    let pause = PAUSE_MIN.saturating_mul(1 << failures.clamp(1, 10)).min(PAUSE_MAX);
    (pause - pause * u32::from(chance) / 512).max(PAUSE_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_renewed_before_expiry() {
        for (life, expected) in
            [(3_600, 3_300), (86_400, 86_100), (1_500, 1_200), (600, 480), (5, 4), (1, 1), (0, 1)]
        {
            let renewed = renew_after(Duration::from_secs(life));
            assert_eq!(renewed, Duration::from_secs(expected), "{life}");
        }
    }

    #[test]
    fn retry_delays_grow_with_jitter() {
        for (failures, longest) in [(1, 2), (2, 4), (3, 8), (5, 32), (6, 60), (1_000, 60)] {
            let longest = Duration::from_secs(longest);
            assert_eq!(retry_after(failures, 0), longest, "{failures}");
            let shortest = retry_after(failures, u8::MAX);
            assert!(shortest < longest && shortest >= longest / 2, "{failures}: {shortest:?}");
        }
    }
}
