//! The thread's loop: which tokens are due, being fetched, or waiting for delivery.
//!
//! Times are monotonic, except for the expiry of a token. The two clocks diverge if the machine
//! sleeps, so no wait is longer than [`TICK_MAX`].

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use super::network::Network;
use super::renewal::{renew_after, retry_after};
use crate::base::{Instant, log_message, random_secret, unix_now};
use crate::providers::{CredentialError, Provider, Token, TokenUpdate};
use crate::telemetry::{Counter, MetricsRegistry};

/// Longest interval between two checks of all providers.
const TICK_MAX: Duration = Duration::from_secs(15);

/// Interval at which an update is sent again to a shard whose mailbox was full.
const DELIVER_AGAIN: Duration = Duration::from_millis(100);

/// A fetch without a result after this time counts as lost and is started again. Longer than its
/// calls may take: four for an instance role.
const FETCH_MAX: Duration = Duration::from_secs(60);

/// Concurrent fetches, at most.
const FETCHES_MAX: usize = 16;

/// Sends an update of the named provider to all shards; false if one could not accept it.
pub type DeliverToken = Box<dyn FnMut(&str, &TokenUpdate) -> bool + Send>;

/// A message to the thread.
pub(super) enum Job {
    /// The new list of providers.
    Publish(Vec<Arc<Provider>>),
    /// The result of a fetch.
    Fetched {
        name: String,
        number: u64,
        outcome: Result<Token, CredentialError>,
    },
    Stop,
}

/// The token of one provider.
struct RefreshState {
    provider: Arc<Provider>,
    token: Option<Arc<Token>>,
    due_at: Instant,
    failures: u32,
    /// Number and start of the fetch in flight.
    fetch: Option<(u64, Instant)>,
    /// An update that some shards have not received yet.
    update: Option<TokenUpdate>,
}

pub(super) struct RefreshLoop {
    accounts: Vec<RefreshState>,
    jobs: SyncSender<Job>,
    metrics: Arc<MetricsRegistry>,
    deliver: DeliverToken,
    fetches: u64,
}

impl RefreshLoop {
    pub(super) fn new(
        jobs: SyncSender<Job>,
        metrics: Arc<MetricsRegistry>,
        deliver: DeliverToken,
    ) -> Self {
        Self { accounts: Vec::new(), jobs, metrics, deliver, fetches: 0 }
    }

    pub(super) fn run(mut self, queue: &Receiver<Job>) {
        loop {
            let now = Instant::now();
            self.begin_fetches(now);
            self.deliver_updates();
            match queue.recv_timeout(self.wait_time(now)) {
                Ok(Job::Publish(providers)) => self.replace_providers(&providers),
                Ok(Job::Fetched { name, number, outcome }) => {
                    self.apply_fetch(&name, number, outcome);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Replaces the providers; tokens of unchanged ones are kept.
    pub(super) fn replace_providers(&mut self, providers: &[Arc<Provider>]) {
        let mut old = std::mem::take(&mut self.accounts);
        let now = Instant::now();
        let needs_token = |it: &&Arc<Provider>| it.credential.source().is_some();
        for provider in providers.iter().filter(needs_token) {
            let same = |it: &RefreshState| {
                it.provider.name == provider.name && it.provider.credential == provider.credential
            };
            let kept = old.iter().position(same).map(|at| old.swap_remove(at));
            let mut account = kept.unwrap_or_else(|| RefreshState {
                provider: Arc::clone(provider),
                token: None,
                due_at: now,
                failures: 0,
                fetch: None,
                update: None,
            });
            account.provider = Arc::clone(provider);
            // The shards may have restarted a provider whose credential has not changed.
            account.update = match &account.token {
                Some(token) => Some(TokenUpdate::Token(Arc::clone(token))),
                None => (account.failures > 0).then_some(TokenUpdate::Failed),
            };
            self.accounts.push(account);
        }
    }

    fn begin_fetches(&mut self, now: Instant) {
        let mut under_way = 0;
        for account in &mut self.accounts {
            if account.fetch.is_some_and(|(_, begun)| now.since(begun) > FETCH_MAX) {
                account.fetch = None;
            }
            under_way += usize::from(account.fetch.is_some());
        }
        for account in &mut self.accounts {
            if under_way >= FETCHES_MAX {
                break;
            }
            if account.fetch.is_some() || !account.is_due(now) {
                continue;
            }
            self.fetches += 1;
            under_way += 1;
            account.fetch = Some((self.fetches, now));
            if !begin_fetch(&account.provider, self.fetches, &self.jobs) {
                // No thread could be created. It is due again later, as if the fetch had been lost.
                account.due_at = now.after(DELIVER_AGAIN);
                account.fetch = None;
            }
        }
    }

    fn apply_fetch(&mut self, name: &str, number: u64, outcome: Result<Token, CredentialError>) {
        let is_current =
            |it: &&mut RefreshState| it.fetch.is_some_and(|(fetch, _)| fetch == number);
        // The result of a fetch for removed settings, or of one that counted as lost, is ignored.
        let Some(account) = self.accounts.iter_mut().find(is_current) else { return };
        account.fetch = None;
        let now = Instant::now();
        match outcome {
            Ok(token) => {
                self.metrics.count(Counter::CredentialRefreshes);
                if account.failures > 0 {
                    log_message(format_args!("credential of provider `{name}` obtained again"));
                }
                account.failures = 0;
                account.due_at =
                    now.after(renew_after(token.expires_at.saturating_sub(unix_now())));
                let token = Arc::new(token);
                account.update = Some(TokenUpdate::Token(Arc::clone(&token)));
                account.token = Some(token);
            }
            Err(error) => {
                self.metrics.count(Counter::CredentialErrors);
                account.failures = account.failures.saturating_add(1);
                // Without randomness several gateways may retry at the same time, which is
                // harmless.
                let chance = random_secret().map_or(0, |bytes| bytes.first().copied().unwrap_or(0));
                let pause = retry_after(account.failures, chance);
                account.due_at = now.after(pause);
                // A token that a shard has not received yet is more important than this.
                account.update.get_or_insert(TokenUpdate::Failed);
                let seconds = pause.as_secs_f32();
                log_message(format_args!(
                    "credential of provider `{name}` failed: {error}; next try in \
                     {seconds:.0} s"
                ));
            }
        }
    }

    fn deliver_updates(&mut self) {
        for account in &mut self.accounts {
            if let Some(update) = account.update.take()
                && !(self.deliver)(&account.provider.name, &update)
            {
                account.update = Some(update);
            }
        }
    }

    /// Time until something is due, unless a message comes.
    fn wait_time(&self, now: Instant) -> Duration {
        let due = self.accounts.iter().filter(|it| it.fetch.is_none());
        let due = due.map(|it| it.due_at.since(now)).min().unwrap_or(TICK_MAX);
        let undelivered = self.accounts.iter().any(|it| it.update.is_some());
        let wait_time = if undelivered { due.min(DELIVER_AGAIN) } else { due };
        wait_time.clamp(Duration::from_millis(1), TICK_MAX)
    }
}

impl RefreshState {
    /// True when it is due, or its token expires before that: the wall clock was set, or the
    /// machine slept.
    fn is_due(&self, now: Instant) -> bool {
        let is_over = || self.token.as_ref().is_some_and(|token| token.expires_at <= unix_now());
        self.due_at.since(now) == Duration::ZERO || self.failures == 0 && is_over()
    }
}

/// Fetches on a thread of its own, so that an unresponsive service delays no other.
fn begin_fetch(provider: &Arc<Provider>, number: u64, jobs: &SyncSender<Job>) -> bool {
    let (provider, jobs) = (Arc::clone(provider), jobs.clone());
    let body = move || {
        let Some(source) = provider.credential.source() else { return };
        let outcome = source.fetch(&mut Network::new());
        // The refresh thread may have ended, and then the result is not needed.
        let _ = jobs.send(Job::Fetched { name: provider.name.clone(), number, outcome });
    };
    std::thread::Builder::new().name("credential-fetch".to_owned()).spawn(body).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Diagnostics, Schema};
    use crate::providers::{ConfigSources, ProviderSettings};
    use serde_json::json;
    use std::sync::Mutex;
    use std::sync::mpsc::sync_channel;

    fn provider(name: &str, secret: &str) -> Arc<Provider> {
        let written = json!({
            "preset": "azure-openai", "azure_resource_name": "r", "azure_entra_tenant_id": "t",
            "azure_entra_client_id": "c", "azure_entra_client_secret": secret,
            "azure_entra_url": "http://127.0.0.1:1",
        });
        let mut diagnostics = Diagnostics::default();
        let settings: ProviderSettings = Schema::of::<ProviderSettings>()
            .read(written, "p", &mut diagnostics)
            .expect("settings");
        let sources = ConfigSources { read_file: &|_| Err(String::new()), environment: &|_| None };
        let provider = settings.check(name, "p", &sources, &mut diagnostics);
        Arc::new(provider.unwrap_or_else(|| panic!("{:?}", diagnostics.into_vec())))
    }

    /// A refresh loop whose shards accept updates if `takes`, and the updates they received.
    fn refresh_loop(takes: bool) -> (RefreshLoop, Arc<Mutex<Vec<String>>>, Receiver<Job>) {
        let delivered: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = Arc::clone(&delivered);
        let deliver = move |name: &str, update: &TokenUpdate| {
            let what = if matches!(update, TokenUpdate::Failed) { "failed" } else { "token" };
            sink.lock().expect("no panic").push(format!("{name} {what}"));
            takes
        };
        let (jobs, queue) = sync_channel(8);
        (
            RefreshLoop::new(jobs, MetricsRegistry::new(1, &["none"]), Box::new(deliver)),
            delivered,
            queue,
        )
    }

    fn fetched(refresh_loop: &mut RefreshLoop, outcome: Result<Token, CredentialError>) {
        let account = &mut refresh_loop.accounts[0];
        account.fetch = Some((7, Instant::now()));
        let name = account.provider.name.clone();
        refresh_loop.apply_fetch(&name, 7, outcome);
    }

    fn token(seconds: u64) -> Token {
        Token::bearer("test-token", unix_now() + Duration::from_secs(seconds)).expect("legal")
    }

    #[test]
    fn tokens_are_delivered_and_survive_a_reload() {
        let (mut refresh_loop, delivered, _queue) = refresh_loop(true);
        refresh_loop.replace_providers(&[provider("a", "one"), provider("b", "one")]);
        assert!(refresh_loop.accounts.iter().all(|it| it.is_due(Instant::now())));
        fetched(&mut refresh_loop, Ok(token(3_600)));
        refresh_loop.deliver_updates();
        let account = &refresh_loop.accounts[0];
        let due = account.due_at.since(Instant::now());
        assert!(due > Duration::from_secs(3_200) && due <= Duration::from_secs(3_300), "{due:?}");
        refresh_loop.replace_providers(&[provider("b", "one"), provider("a", "one")]);
        refresh_loop.deliver_updates();
        assert_eq!(*delivered.lock().expect("no panic"), ["a token", "a token"]);
        // A different secret is a different credential.
        refresh_loop.replace_providers(&[provider("a", "two")]);
        assert!(refresh_loop.accounts[0].token.is_none() && refresh_loop.accounts.len() == 1);
        assert_eq!(refresh_loop.metrics.counter_total(Counter::CredentialRefreshes), 1);
    }

    #[test]
    fn failed_fetches_are_retried() {
        let (mut refresh_loop, delivered, _queue) = refresh_loop(true);
        refresh_loop.replace_providers(&[provider("a", "one")]);
        fetched(&mut refresh_loop, Ok(token(600)));
        for failures in 1..4 {
            fetched(&mut refresh_loop, Err(CredentialError::NoToken));
            assert_eq!(refresh_loop.accounts[0].failures, failures);
            assert!(!refresh_loop.accounts[0].is_due(Instant::now()));
            assert!(refresh_loop.accounts[0].token.is_some(), "the old one serves on");
        }
        fetched(&mut refresh_loop, Ok(token(600)));
        assert_eq!(refresh_loop.accounts[0].failures, 0);
        refresh_loop.deliver_updates();
        assert_eq!(
            *delivered.lock().expect("no panic"),
            ["a token"],
            "the last update is what counts"
        );
        assert_eq!(refresh_loop.metrics.counter_total(Counter::CredentialErrors), 3);
    }

    #[test]
    fn expired_token_is_due() {
        let (mut refresh_loop, _updates, _queue) = refresh_loop(true);
        refresh_loop.replace_providers(&[provider("a", "one")]);
        fetched(&mut refresh_loop, Ok(token(600)));
        assert!(!refresh_loop.accounts[0].is_due(Instant::now()));
        refresh_loop.accounts[0].token = Some(Arc::new(token(0)));
        assert!(refresh_loop.accounts[0].is_due(Instant::now()), "the machine slept");
    }

    #[test]
    fn one_fetch_at_a_time_and_lost_ones_restart() {
        let (mut refresh_loop, _updates, queue) = refresh_loop(true);
        refresh_loop.replace_providers(&[provider("a", "one")]);
        let now = Instant::now();
        refresh_loop.begin_fetches(now);
        refresh_loop.begin_fetches(now);
        assert_eq!(refresh_loop.fetches, 1);
        refresh_loop.begin_fetches(now.after(FETCH_MAX + Duration::from_secs(1)));
        assert_eq!(refresh_loop.fetches, 2);
        // Nothing listens on port 1; the first fetch is abandoned.
        for _ in 0..2 {
            let Ok(Job::Fetched { name, number, outcome }) = queue.recv() else { panic!("a job") };
            assert!(outcome.is_err());
            refresh_loop.apply_fetch(&name, number, outcome);
        }
        assert_eq!(refresh_loop.accounts[0].failures, 1);
    }

    #[test]
    fn undelivered_update_is_redelivered() {
        let (mut refresh_loop, delivered, _queue) = refresh_loop(false);
        refresh_loop.replace_providers(&[provider("a", "one")]);
        fetched(&mut refresh_loop, Ok(token(600)));
        refresh_loop.deliver_updates();
        refresh_loop.deliver_updates();
        assert_eq!(delivered.lock().expect("no panic").len(), 2);
        assert!(refresh_loop.wait_time(Instant::now()) <= DELIVER_AGAIN);
    }
}
