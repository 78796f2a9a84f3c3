//! The table of metrics: every name in `/metrics`, once.

/// Prometheus metric type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

impl MetricKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Source of a metric's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MetricSource {
    Requests,
    Attempts,
    Tokens,
    UsageEstimated,
    Cost,
    CostUnknown,
    CostReported,
    Errors,
    Duration,
    FirstByte,
    Overhead,
    Build,
    Generation,
    StartTime,
    EventsDropped,
    MessagesDropped,
    Gauge(Gauge),
    Counter(Counter),
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metric {
    pub name: &'static str,
    pub kind: MetricKind,
    pub source: MetricSource,
    pub help: &'static str,
}

/// Defines an enum of numbered cells and its length.
macro_rules! cells {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Number of cells.
            pub(super) const COUNT: usize = [$(Self::$variant),*].len();
        }
    };
}

cells! {
    /// A gauge.
    Gauge {
        /// Client connections.
        OpenConnections,
        /// Requests in flight.
        RequestsInFlight,
        /// Bytes of buffered bodies.
        BufferedBytes,
        /// Provider connections, in use or idle.
        UpstreamConnectionsOpen,
        /// Idle provider connections in pools.
        UpstreamConnectionsIdle,
        /// Draining shards.
        Draining,
    }
}

cells! {
    /// A counter.
    Counter {
        /// Client connections accepted.
        ConnectionsAccepted,
        /// Client connections closed at once: over the limit.
        ConnectionsRefused,
        /// Failed accepts.
        AcceptErrors,
        /// Requests rejected because too many were in flight.
        RequestsOverloaded,
        /// Provider connection attempts.
        UpstreamConnectsStarted,
        /// Failed provider connection attempts.
        UpstreamConnectErrors,
        /// Reused provider connections.
        UpstreamReused,
        /// Calls retried because an idle connection had closed.
        UpstreamRetriedStale,
        /// Idle provider connections closed.
        UpstreamDiscarded,
        /// Provider connections closed because of unsolicited bytes.
        UpstreamSurplus,
        /// Name lookups.
        DnsLookups,
        /// Failed name lookups.
        DnsErrors,
        /// Failed TLS handshakes, with clients and providers.
        TlsHandshakeErrors,
        /// Lines that the request log could not write.
        LogWriteErrors,
        /// Tokens and keys fetched for providers.
        CredentialRefreshes,
        /// Failed attempts to fetch one.
        CredentialErrors,
        /// Successful reloads.
        SettingsReloads,
        /// Failed reloads.
        SettingsReloadErrors,
        /// Series merged into `other` because of the limit.
        LabelsFolded,
        /// Exact cache hits.
        CacheHits,
        /// Cache hits for a question that a rule finds equivalent.
        CacheNormalisedHits,
        /// Semantic cache hits.
        CacheSemanticHits,
        /// Cache misses.
        CacheMisses,
        /// Semantic cache misses.
        CacheSemanticMisses,
        /// Skipped semantic lookups: no model, or no time.
        CacheSemanticSkips,
        /// Cache lookups that the client bypassed.
        CacheRefreshes,
        /// Semantic entries evicted by client feedback.
        CacheRejections,
        /// Stored responses.
        CacheStores,
        /// Requests that waited for the response to an identical one.
        CacheJoins,
        /// Failed health checks.
        CheckErrors,
        /// Mirrored requests that were not sent: too many in flight.
        MirrorsDropped,
        /// Images fetched for providers that accept image bytes only.
        PicturesFetched,
        /// Failed image fetches.
        PictureErrors,
        /// Connections ended by an internal error.
        Panics,
    }
}

const fn row(
    name: &'static str,
    kind: MetricKind,
    source: MetricSource,
    help: &'static str,
) -> Metric {
    Metric { name, kind, source, help }
}

const fn gauge(name: &'static str, gauge: Gauge, help: &'static str) -> Metric {
    row(name, MetricKind::Gauge, MetricSource::Gauge(gauge), help)
}

const fn counter(name: &'static str, counter: Counter, help: &'static str) -> Metric {
    row(name, MetricKind::Counter, MetricSource::Counter(counter), help)
}

/// The table. Durations are in seconds.
#[rustfmt::skip]
pub(super) const METRICS: &[Metric] = &[
    row("ringgate_build_info", MetricKind::Gauge, MetricSource::Build, "Always 1; the label holds the version."),
    row("ringgate_settings_generation", MetricKind::Gauge, MetricSource::Generation, "Generation of the settings: 1 at start, plus one for each successful reload."),
    row("ringgate_start_time_seconds", MetricKind::Gauge, MetricSource::StartTime, "When the process started, since the Unix epoch."),
    row("ringgate_requests_total", MetricKind::Counter, MetricSource::Requests, "Requests by endpoint, key, provider, model and status (0: none was sent; other: beyond twelve of one series)."),
    row("ringgate_attempts_total", MetricKind::Counter, MetricSource::Attempts, "Attempts of routes by provider, model and status (0: cut off, as the losers of a race are)."),
    row("ringgate_tokens_total", MetricKind::Counter, MetricSource::Tokens, "Tokens by key, provider, model and kind (cached, cache_write and input_… are part of input, output_… and usually reasoning of output)."),
    row("ringgate_usage_estimated_total", MetricKind::Counter, MetricSource::UsageEstimated, "Requests whose token usage is estimated: the provider reported none, or an implausible one."),
    row("ringgate_cost_usd_total", MetricKind::Counter, MetricSource::Cost, "Cost in US dollars by key, provider and model: as reported by the provider, otherwise from catalogue prices."),
    row("ringgate_cost_unknown_total", MetricKind::Counter, MetricSource::CostUnknown, "Calls with tokens but no known price, missing from ringgate_cost_usd_total."),
    row("ringgate_cost_reported_total", MetricKind::Counter, MetricSource::CostReported, "Calls whose cost the provider reported."),
    row("ringgate_errors_total", MetricKind::Counter, MetricSource::Errors, "Failed requests by side and code (provider: the provider's own status)."),
    row("ringgate_request_duration_seconds", MetricKind::Histogram, MetricSource::Duration, "From the first byte of a request to the last byte of its response."),
    row("ringgate_time_to_first_byte_seconds", MetricKind::Histogram, MetricSource::FirstByte, "From the first byte of a request to the first byte of its response."),
    row("ringgate_overhead_seconds", MetricKind::Histogram, MetricSource::Overhead, "Duration minus the wait for the provider."),
    gauge("ringgate_open_connections", Gauge::OpenConnections, "Client connections."),
    gauge("ringgate_requests_in_flight", Gauge::RequestsInFlight, "Requests in flight."),
    gauge("ringgate_buffered_bytes", Gauge::BufferedBytes, "Bytes of bodies kept in memory."),
    gauge("ringgate_upstream_connections_open", Gauge::UpstreamConnectionsOpen, "Provider connections in use or idle, as of the last second."),
    gauge("ringgate_upstream_connections_idle", Gauge::UpstreamConnectionsIdle, "Provider connections in pools, as of the last second."),
    gauge("ringgate_draining_shards", Gauge::Draining, "Shards that no longer accept connections."),
    counter("ringgate_connections_accepted_total", Counter::ConnectionsAccepted, "Client connections accepted."),
    counter("ringgate_connections_refused_total", Counter::ConnectionsRefused, "Client connections closed at once: over server.connections_max."),
    counter("ringgate_accept_errors_total", Counter::AcceptErrors, "Failed accepts, for example when out of file descriptors."),
    counter("ringgate_requests_overloaded_total", Counter::RequestsOverloaded, "Requests refused: over server.in_flight_max."),
    counter("ringgate_upstream_connects_total", Counter::UpstreamConnectsStarted, "Connection attempts to providers."),
    counter("ringgate_upstream_connect_errors_total", Counter::UpstreamConnectErrors, "Failed connection attempts to providers."),
    counter("ringgate_upstream_reused_total", Counter::UpstreamReused, "Provider connections reused from the pool."),
    counter("ringgate_upstream_retried_stale_total", Counter::UpstreamRetriedStale, "Requests resent on a new connection because the provider had closed the idle one first."),
    counter("ringgate_upstream_discarded_total", Counter::UpstreamDiscarded, "Idle provider connections closed: by the provider, surplus bytes, or age."),
    counter("ringgate_upstream_surplus_total", Counter::UpstreamSurplus, "Provider connections closed because of unexpected bytes, as of the last second."),
    counter("ringgate_dns_lookups_total", Counter::DnsLookups, "DNS lookups, as of the last second."),
    counter("ringgate_dns_errors_total", Counter::DnsErrors, "Requests that failed because a host name did not resolve."),
    counter("ringgate_tls_handshake_errors_total", Counter::TlsHandshakeErrors, "TLS handshakes that failed, with clients or providers."),
    row("ringgate_events_dropped_total", MetricKind::Counter, MetricSource::EventsDropped, "Events that an exporter did not get because its queue was full (all: none of the exporters, because the queue of the shard was full)."),
    counter("ringgate_log_write_errors_total", Counter::LogWriteErrors, "Lines the request log could not write."),
    row("ringgate_messages_dropped_total", MetricKind::Counter, MetricSource::MessagesDropped, "Messages to standard error that could not be written, or that did not fit into their queue."),
    counter("ringgate_credential_refreshes_total", Counter::CredentialRefreshes, "Provider tokens and keys fetched."),
    counter("ringgate_credential_errors_total", Counter::CredentialErrors, "Failed fetches of a provider's token or keys; standard error names the provider."),
    counter("ringgate_settings_reloads_total", Counter::SettingsReloads, "Successful reloads."),
    counter("ringgate_settings_reload_errors_total", Counter::SettingsReloadErrors, "Failed reloads."),
    counter("ringgate_labels_folded_total", Counter::LabelsFolded, "Requests counted under model other: a name that neither settings nor catalogue know and no provider has answered with success, too many series, or an unprintable name."),
    counter("ringgate_cache_hits_total", Counter::CacheHits, "Hits of the exact cache."),
    counter("ringgate_cache_normalised_hits_total", Counter::CacheNormalisedHits, "Hits of the exact cache after normalization of spacing, case and greetings."),
    counter("ringgate_cache_semantic_hits_total", Counter::CacheSemanticHits, "Hits of the semantic cache."),
    counter("ringgate_cache_misses_total", Counter::CacheMisses, "Requests not found in the exact cache, where the semantic cache is not used."),
    counter("ringgate_cache_semantic_misses_total", Counter::CacheSemanticMisses, "Requests found neither in the exact nor in the semantic cache."),
    counter("ringgate_cache_semantic_skips_total", Counter::CacheSemanticSkips, "Semantic lookups skipped: no model, a full queue, or a timeout."),
    counter("ringgate_cache_refreshes_total", Counter::CacheRefreshes, "Requests that forced a refresh."),
    counter("ringgate_cache_rejections_total", Counter::CacheRejections, "Semantic hits evicted by client feedback."),
    counter("ringgate_cache_stores_total", Counter::CacheStores, "Responses stored."),
    counter("ringgate_cache_joins_total", Counter::CacheJoins, "Requests that joined an identical request in flight."),
    counter("ringgate_check_errors_total", Counter::CheckErrors, "Failed active health checks."),
    counter("ringgate_mirrors_dropped_total", Counter::MirrorsDropped, "Mirrored requests dropped: 256 in flight on the shard, or server.buffered_bytes_max reached."),
    counter("ringgate_pictures_fetched_total", Counter::PicturesFetched, "Images fetched from their URLs for providers that accept bytes only."),
    counter("ringgate_picture_errors_total", Counter::PictureErrors, "Failed image fetches: not allowed, not found, not an image, too large, or too slow."),
    counter("ringgate_panics_total", Counter::Panics, "Connections ended by a panic in the gateway; any is a bug."),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn metric_names_are_unique_and_conventional() {
        let names: HashSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
        for metric in METRICS {
            assert!(metric.name.starts_with("ringgate_"), "{}", metric.name);
            let total = metric.name.ends_with("_total");
            assert_eq!(total, metric.kind == MetricKind::Counter, "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }

    #[test]
    fn every_cell_belongs_to_one_metric() {
        for number in 0..Counter::COUNT {
            let shown = METRICS.iter().filter(
                |it| matches!(it.source, MetricSource::Counter(counter) if counter as usize == number),
            );
            assert_eq!(shown.count(), 1, "counter {number}");
        }
        for number in 0..Gauge::COUNT {
            let shown = METRICS.iter().filter(
                |it| matches!(it.source, MetricSource::Gauge(gauge) if gauge as usize == number),
            );
            assert_eq!(shown.count(), 1, "gauge {number}");
        }
    }
}
