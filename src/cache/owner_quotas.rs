//! The share of the cache of each owner: beyond it, its new entries push out its own old ones.
//!
//! The table's policy keeps entries that are hit often, but a flood of new entries would still flush what
//! others have stored and not yet hit. So while the cache is full, an owner that holds
//! more than its part makes its own room.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Key;

/// So few names are not worth sorting out.
const NAMES_MIN: usize = 64;

/// Part of the memory that an owner over its share leaves to the others. The table evicts in each of
/// its segments for itself, so that it never is full to the last byte.
const RESERVE: u64 = 8;

/// Who stored an entry: a virtual key, or all who need none.
pub(super) type Owner = Option<Arc<str>>;

/// The entries of all owners.
#[derive(Default)]
pub(super) struct OwnerQuotas(HashMap<Owner, OwnerQuota>);

#[derive(Default)]
struct OwnerQuota {
    bytes: u64,
    entries: usize,
    /// Names in the order of their storing; of those that are gone some are left.
    order: VecDeque<Key>,
}

impl OwnerQuotas {
    /// An entry of `bytes` is stored.
    pub(super) fn add(&mut self, owner: &Owner, key: Key, bytes: u64) {
        let share = self.0.entry(owner.clone()).or_default();
        share.bytes += bytes;
        share.entries += 1;
        share.order.push_back(key);
    }

    /// An entry of `bytes` is gone, however that came about.
    pub(super) fn take(&mut self, owner: &Owner, bytes: u64) {
        let Some(share) = self.0.get_mut(owner) else { return };
        share.bytes = share.bytes.saturating_sub(bytes);
        share.entries = share.entries.saturating_sub(1);
        if share.entries == 0 {
            self.0.remove(owner);
        }
    }

    /// The name of an entry that `owner` has to give up for one of `bytes` in a cache that holds
    /// `bytes_now` of `bytes_max`: its oldest. It may be gone already; then the caller tries the next.
    pub(super) fn evict_oldest(
        &mut self,
        owner: &Owner,
        bytes: u64,
        (bytes_now, bytes_max): (u64, u64),
    ) -> Option<Key> {
        let owners = self.0.len() as u64;
        let share = self.0.get_mut(owner)?;
        // Alone, the table's policy is better than age.
        let is_crowded = owners > 1 && bytes_now + bytes > bytes_max - bytes_max / RESERVE;
        let has_most = share.bytes + bytes > bytes_max / owners.max(1);
        if is_crowded && has_most { share.order.pop_front() } else { None }
    }

    /// All names of an owner, if so many of them are of entries long gone that it is time to sort
    /// them out; the living ones come back through [`restore`](Self::restore).
    pub(super) fn take_if_stale(&mut self, owner: &Owner) -> Option<VecDeque<Key>> {
        let share = self.0.get_mut(owner)?;
        let is_stale = share.order.len() > 2 * share.entries + NAMES_MIN;
        is_stale.then(|| std::mem::take(&mut share.order))
    }

    /// See [`take_if_stale`](Self::take_if_stale).
    pub(super) fn restore(&mut self, owner: &Owner, mut names: VecDeque<Key>) {
        if let Some(share) = self.0.get_mut(owner) {
            names.append(&mut share.order);
            share.order = names;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cache, CacheLimits};
    use super::*;

    #[test]
    fn owner_over_quota_evicts_its_oldest() {
        let cache = Cache::in_memory(&CacheLimits::default(), [0; 32]);
        let key = |name: String| cache.key().part(name.as_bytes()).finish();
        let (flood, calm): (Owner, Owner) = (Some("flood".into()), Some("calm".into()));
        let mut quotas = OwnerQuotas::default();
        for number in 0..8 {
            quotas.add(&flood, key(format!("f{number}")), 100);
        }
        for number in 0..2 {
            quotas.add(&calm, key(format!("c{number}")), 100);
        }
        let full = (900, 1_000);
        assert_eq!(quotas.evict_oldest(&calm, 100, full), None, "within its share");
        assert_eq!(quotas.evict_oldest(&flood, 100, (700, 1_000)), None, "there is room");
        assert_eq!(quotas.evict_oldest(&flood, 100, full), Some(key("f0".to_owned())));
        assert_eq!(quotas.evict_oldest(&flood, 100, full), Some(key("f1".to_owned())));
        for _ in 0..4 {
            quotas.take(&flood, 100);
        }
        assert_eq!(quotas.evict_oldest(&flood, 100, full), None, "no more than others");
        for _ in 0..2 {
            quotas.take(&calm, 100);
        }
        assert_eq!(quotas.evict_oldest(&flood, 900, full), None, "alone");
    }

    #[test]
    fn stale_keys_do_not_accumulate() {
        let cache = Cache::in_memory(&CacheLimits::default(), [0; 32]);
        let key = |number: usize| cache.key().part(&number.to_le_bytes()).finish();
        let mut quotas = OwnerQuotas::default();
        for number in 0..NAMES_MIN + 3 {
            quotas.add(&None, key(number), 1);
        }
        assert_eq!(quotas.take_if_stale(&None), None);
        for _ in 0..NAMES_MIN + 2 {
            quotas.take(&None, 1);
        }
        let mut names = quotas.take_if_stale(&None).expect("stale");
        names.retain(|name| *name == key(7));
        quotas.add(&None, key(99), 1);
        quotas.restore(&None, names);
        assert_eq!(quotas.0[&None].order, [key(7), key(99)]);
    }
}
