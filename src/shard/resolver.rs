//! Resolves host names, off the shard's thread.
//!
//! `getaddrinfo` blocks and returns no TTL, so it runs on an offload thread and its result is
//! cached for `dns_ttl_ms`. While lookups fail, the last good result is used: a failing resolver
//! must not take down providers that are up. The cache is bounded by the hosts in the settings.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
// tidy: blocking, getaddrinfo runs on an offload thread only
use std::net::{IpAddr, ToSocketAddrs};
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};

use crate::base::Instant;

/// How long a failed lookup is cached.
const FAILURE_TTL: Duration = Duration::from_secs(1);

/// The host of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostName {
    /// A literal address.
    Address(IpAddr),
    /// A name to resolve.
    Dns(String),
}

type Resolution = Result<Rc<[IpAddr]>, Rc<str>>;

struct Entry {
    /// The last good result, if any.
    good: Option<Rc<[IpAddr]>>,
    failure: Option<Rc<str>>,
    fresh_until: Instant,
    /// The lookup in flight, shared by all waiting calls.
    pending: Option<Shared<LocalBoxFuture<'static, Resolution>>>,
}

/// One shard's DNS cache.
pub(super) struct Resolver {
    entries: RefCell<HashMap<String, Entry>>,
    ttl: Cell<Duration>,
}

impl Resolver {
    pub(super) fn new(ttl: Duration) -> Self {
        Self { entries: RefCell::new(HashMap::new()), ttl: Cell::new(ttl) }
    }

    /// Keeps answers for `ttl` from now on. What is kept by another value is looked up again when it is
    /// next needed.
    pub(super) fn set_ttl(&self, ttl: Duration) {
        if self.ttl.replace(ttl) != ttl {
            let now = Instant::now();
            self.entries.borrow_mut().values_mut().for_each(|entry| entry.fresh_until = now);
        }
    }

    /// All addresses of `host`, in the system's order of preference. `on_lookup` is called only if
    /// a lookup is actually made.
    pub(super) async fn addresses(&self, host: &str, on_lookup: impl FnOnce()) -> Resolution {
        let pending = {
            let mut entries = self.entries.borrow_mut();
            let entry = entries.entry(host.to_owned()).or_insert_with(|| Entry {
                good: None,
                failure: None,
                fresh_until: Instant::now(),
                pending: None,
            });
            if entry.fresh_until > Instant::now() {
                return entry.answer();
            }
            match &entry.pending {
                Some(pending) => pending.clone(),
                None => {
                    on_lookup();
                    let pending = lookup(host.to_owned()).boxed_local().shared();
                    entry.pending = Some(pending.clone());
                    pending
                }
            }
        };
        let answer = pending.await;
        self.keep(host, answer)
    }

    fn keep(&self, host: &str, answer: Resolution) -> Resolution {
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = entries.get_mut(host) else { return answer };
        if entry.pending.take().is_some() {
            let ttl = if answer.is_ok() { self.ttl.get() } else { FAILURE_TTL };
            entry.fresh_until = Instant::now().after(ttl);
            match answer {
                Ok(addresses) => {
                    entry.good = Some(addresses);
                    entry.failure = None;
                }
                Err(reason) => entry.failure = Some(reason),
            }
        }
        entry.answer()
    }
}

impl Entry {
    fn answer(&self) -> Resolution {
        match (&self.good, &self.failure) {
            (Some(addresses), _) => Ok(Rc::clone(addresses)),
            (None, Some(reason)) => Err(Rc::clone(reason)),
            (None, None) => Err(Rc::from("no look-up has finished")),
        }
    }
}

/// All addresses of `host`, looked up without the cache.
pub(super) async fn lookup(host: String) -> Resolution {
    let found = monoio::spawn_blocking(move || -> io::Result<Vec<IpAddr>> {
        Ok((host.as_str(), 0).to_socket_addrs()?.map(|address| address.ip()).collect())
    })
    .await;
    match found {
        Ok(Ok(addresses)) if addresses.is_empty() => Err(Rc::from("the name has no address")),
        Ok(Ok(addresses)) => Ok(addresses.into()),
        Ok(Err(error)) => Err(error.to_string().into()),
        Err(_) => Err(Rc::from("the look-up was aborted")),
    }
}
