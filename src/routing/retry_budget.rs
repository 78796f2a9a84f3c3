//! The retry budget of a target: at most a fifth of its first attempts, so that a storm of failures
//! does not multiply itself. A small reserve, refilled over time, allows retries at quiet targets.
//!
//! The scheme is Finagle's retry budget.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Cost of a retry, in the budget's unit.
const RETRY: i64 = 1_000;

/// Credit for a first attempt: a fifth of a retry.
const DEPOSIT: i64 = RETRY / 5;

/// Level up to which time refills the budget, one retry per second.
const RESERVE: i64 = 10 * RETRY;

/// Largest balance.
const BALANCE_MAX: i64 = 100 * RETRY;

/// The budget of one target.
#[derive(Debug)]
pub(super) struct RetryBudget {
    balance: AtomicI64,
    refilled_ms: AtomicU64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { balance: AtomicI64::new(RESERVE), refilled_ms: AtomicU64::new(0) }
    }
}

impl RetryBudget {
    /// Credits a first attempt.
    pub(super) fn deposit(&self) {
        if self.balance.load(Relaxed) < BALANCE_MAX {
            self.balance.fetch_add(DEPOSIT, Relaxed);
        }
    }

    /// Pays for a retry; false if the budget is exhausted.
    pub(super) fn withdraw(&self, now_ms: u64) -> bool {
        self.refill(now_ms);
        let pay = |balance: i64| (balance >= RETRY).then_some(balance - RETRY);
        self.balance.fetch_update(Relaxed, Relaxed, pay).is_ok()
    }

    fn refill(&self, now_ms: u64) {
        let before = self.refilled_ms.swap(now_ms, Relaxed);
        let gained = i64::try_from(now_ms.saturating_sub(before)).unwrap_or(0).min(RESERVE);
        let fill = |balance: i64| (balance < RESERVE).then(|| (balance + gained).min(RESERVE));
        // No change if it is full.
        let _ = self.balance.fetch_update(Relaxed, Relaxed, fill);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_limited_to_a_fifth() {
        let budget = RetryBudget::default();
        let mut retries = 0;
        for _ in 0..10_000 {
            budget.deposit();
            retries += u32::from(budget.withdraw(1));
        }
        assert_eq!(retries, 2_000 + 10);
    }

    #[test]
    fn reserve_allows_retries_of_quiet_targets() {
        let budget = RetryBudget::default();
        let paid = (0..20).filter(|_| budget.withdraw(1)).count();
        assert_eq!(paid, 10);
        assert!(budget.withdraw(1_002), "a second later");
        assert!(!budget.withdraw(1_003));
        let paid = (0..20).filter(|_| budget.withdraw(100_000)).count();
        assert_eq!(paid, 10, "no more than the reserve");
    }
}
