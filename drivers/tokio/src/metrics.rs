//! Prometheus metrics.
//!
//! Those of upstream's proxies under their names, and what these lack under names that begin with `strait_`. All are counted once a
//! connection or once a session, at its end: what a session carries costs nothing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use strait::bridge::{Carried, Outcome};
use strait::k8s::Verb;
use tokio::runtime::Handle;

use crate::answer;
use crate::session::Summary;

/// The media type of [`Metrics::to_text`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What servers count. Clones count together.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

/// Counters that differ in the value of labels: words.
type ByWords<const N: usize> = Family<[(&'static str, &'static str); N], Counter>;

/// Counters that differ in the value of one label: an HTTP status code.
type ByCode = Family<[(&'static str, u16); 1], Counter>;

struct Inner {
    registry: Registry,
    translator_requests: ByCode,
    tunnel_requests: ByCode,
    api_streaming_requests: ByWords<2>,
    kubelet_streaming_requests: ByWords<1>,
    connections: Counter,
    connections_open: Gauge,
    tasks: Gauge,
    answers: ByCode,
    sessions_active: Gauge,
    sessions_ended: ByWords<1>,
    session_duration: Histogram,
    bytes: ByWords<2>,
    payload: ByWords<1>,
    round_trip: Family<[(&'static str, &'static str); 1], Histogram>,
    upstream_connect: Histogram,
    upstream_refused: Counter,
    limits_hit: ByWords<1>,
    tls_failures: Counter,
}

/// A limit that a client ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Connections,
    Sessions,
    Handshake,
    Head,
    Body,
}

/// How a WebSocket streaming request is served: the label `proxy_type` of upstream's metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProxyType {
    /// v5 channels to SPDY.
    Translated,
    /// A port-forward: its tunnel, or its channels, end here.
    Tunneled,
    /// Its bytes are passed on as they are.
    PassedOn,
}

impl Metrics {
    /// Nothing is counted yet.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let inner = Inner {
            translator_requests: ByCode::default(),
            tunnel_requests: ByCode::default(),
            api_streaming_requests: ByWords::default(),
            kubelet_streaming_requests: ByWords::default(),
            connections: Counter::default(),
            connections_open: Gauge::default(),
            tasks: Gauge::default(),
            answers: ByCode::default(),
            sessions_active: Gauge::default(),
            sessions_ended: ByWords::default(),
            // 10 ms to 12 hours.
            session_duration: Histogram::new(exponential_buckets(0.01, 4.0, 12)),
            bytes: ByWords::default(),
            payload: ByWords::default(),
            round_trip: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 14))),
            // 1 ms to 33 s.
            upstream_connect: Histogram::new(exponential_buckets(0.001, 2.0, 16)),
            upstream_refused: Counter::default(),
            limits_hit: ByWords::default(),
            tls_failures: Counter::default(),
            registry: Registry::default(),
        };
        inner.register(&mut registry);
        Self(Arc::new(Inner { registry, ..inner }))
    }

    /// All metrics in the `OpenMetrics` text format, which Prometheus reads.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        if let Ok(runtime) = Handle::try_current() {
            self.0.tasks.set(i64::try_from(runtime.metrics().num_alive_tasks()).unwrap_or(i64::MAX));
        }
        // It fails only if the string does.
        let _ = encode(&mut text, &self.0.registry);
        text
    }

    /// A connection was accepted; it is open until the guard is dropped.
    pub(crate) fn connection(&self) -> Open {
        self.0.connections.inc();
        Open::new(&self.0.connections_open)
    }

    /// A session begins; it is active until the guard is dropped.
    pub(crate) fn session(&self) -> Open {
        Open::new(&self.0.sessions_active)
    }

    /// A request was answered with these bytes, and not by a session.
    pub(crate) fn answered(&self, answer: &[u8]) {
        if let Some(code) = answer::status(answer) {
            self.0.answers.get_or_create(&[("code", code)]).inc();
        }
    }

    pub(crate) fn limit_hit(&self, limit: Limit) {
        self.0.limits_hit.get_or_create(&[("limit", limit.name())]).inc();
    }

    pub(crate) fn tls_failed(&self) {
        self.0.tls_failures.inc();
    }

    /// A WebSocket request for a stream at an API server's path is about to be served.
    pub(crate) fn api_streaming_request(&self, verb: Verb, proxy: ProxyType) {
        let labels = [("subresource", subresource(verb)), ("proxy_type", proxy.name())];
        self.0.api_streaming_requests.get_or_create(&labels).inc();
    }

    /// A WebSocket request for a stream at a kubelet's path is about to be served.
    pub(crate) fn kubelet_streaming_request(&self, verb: Verb) {
        self.0.kubelet_streaming_requests.get_or_create(&[("subresource", subresource(verb))]).inc();
    }

    /// A WebSocket handshake for a translated session failed.
    pub(crate) fn translator_refused(&self) {
        self.0.translator_requests.get_or_create(&[("code", 400)]).inc();
    }

    /// The handshake of a tunnelled port-forward was answered: 101, 400, 500, or what upstream answered.
    pub(crate) fn tunnel_request(&self, code: u16) {
        self.0.tunnel_requests.get_or_create(&[("code", code)]).inc();
    }

    /// The upgrade of an upstream connection took so long, and succeeded or not.
    pub(crate) fn upstream_connected(&self, duration: Duration, connected: bool) {
        self.0.upstream_connect.observe(duration.as_secs_f64());
        if !connected {
            self.0.upstream_refused.inc();
        }
    }

    /// A session has ended that was translated, or passed on as it was.
    pub(crate) fn carried(&self, summary: &Summary, is_translated: bool) {
        if is_translated {
            let code = if summary.outcome == Outcome::Completed { 200 } else { 500 };
            self.0.translator_requests.get_or_create(&[("code", code)]).inc();
        }
        for (leg, direction, bytes) in [
            ("client", "received", summary.from_client),
            ("client", "sent", summary.to_client),
            ("upstream", "received", summary.from_upstream),
            ("upstream", "sent", summary.to_upstream),
        ] {
            self.0.bytes.get_or_create(&[("leg", leg), ("direction", direction)]).inc_by(bytes);
        }
        let Carried { stdin, stdout, stderr, to_ports, from_ports } = summary.carried;
        let streams = [
            ("stdin", stdin),
            ("stdout", stdout),
            ("stderr", stderr),
            ("to_ports", to_ports),
            ("from_ports", from_ports),
        ];
        for (stream, bytes) in streams {
            self.0.payload.get_or_create(&[("stream", stream)]).inc_by(bytes);
        }
        for (leg, round_trip) in
            [("client", summary.client_round_trip), ("upstream", summary.upstream_round_trip)]
        {
            if let Some(round_trip) = round_trip {
                self.0.round_trip.get_or_create(&[("leg", leg)]).observe(round_trip.as_secs_f64());
            }
        }
        self.session_ended(reason(summary.outcome), summary.duration);
    }

    /// A session has ended.
    pub(crate) fn session_ended(&self, reason: &'static str, duration: Duration) {
        self.0.sessions_ended.get_or_create(&[("reason", reason)]).inc();
        self.0.session_duration.observe(duration.as_secs_f64());
    }
}

impl Inner {
    /// Names come without `_total`: counters get it when they are written.
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "apiserver_stream_translator_requests",
            "Translated sessions, counted at their end; 400 is a failed WebSocket handshake",
            self.translator_requests.clone(),
        );
        registry.register(
            "apiserver_stream_tunnel_requests",
            "Tunnelled port-forwards, counted at the handshake",
            self.tunnel_requests.clone(),
        );
        registry.register(
            "apiserver_websocket_streaming_requests",
            "WebSocket streaming requests at an API server's paths",
            self.api_streaming_requests.clone(),
        );
        registry.register(
            "kubelet_websocket_streaming_requests",
            "WebSocket streaming requests at a kubelet's paths",
            self.kubelet_streaming_requests.clone(),
        );
        registry.register("strait_connections", "Accepted connections", self.connections.clone());
        registry.register(
            "strait_connections_open",
            "Connections that are open now",
            self.connections_open.clone(),
        );
        registry.register(
            "strait_tasks",
            "Tasks of the runtime now: one for each connection, and some that always run",
            self.tasks.clone(),
        );
        registry.register(
            "strait_answers",
            "Requests that this server answered itself, without a session",
            self.answers.clone(),
        );
        registry.register("strait_sessions_active", "Sessions that run now", self.sessions_active.clone());
        registry.register("strait_sessions_ended", "Sessions by how they ended", self.sessions_ended.clone());
        registry.register(
            "strait_session_duration_seconds",
            "From a session's upgrade to its end",
            self.session_duration.clone(),
        );
        registry.register(
            "strait_bytes",
            "Bytes of sessions with their framing, counted at the end of each",
            self.bytes.clone(),
        );
        registry.register(
            "strait_payload_bytes",
            "Payload of translated sessions, counted at the end of each",
            self.payload.clone(),
        );
        registry.register(
            "strait_ping_round_trip_seconds",
            "The last answered heartbeat of each translated session, in whole milliseconds",
            self.round_trip.clone(),
        );
        registry.register(
            "strait_upstream_connect_seconds",
            "From dialling upstream to the end of its upgrade, refused ones included",
            self.upstream_connect.clone(),
        );
        registry.register(
            "strait_upstream_refused",
            "Upstream connections that failed or whose upgrade was refused",
            self.upstream_refused.clone(),
        );
        registry.register("strait_limits_hit", "Clients that ran into a limit", self.limits_hit.clone());
        registry.register(
            "strait_tls_failures",
            "TLS handshakes of clients that failed",
            self.tls_failures.clone(),
        );
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// Counts something as there until it is dropped.
pub(crate) struct Open(Gauge);

impl Open {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Limit {
    const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Sessions => "sessions",
            Self::Handshake => "handshake_time",
            Self::Head => "head_bytes",
            Self::Body => "body_bytes",
        }
    }
}

impl ProxyType {
    const fn name(self) -> &'static str {
        match self {
            Self::Translated => "translated_at_apiserver",
            Self::Tunneled => "tunneled_at_apiserver",
            Self::PassedOn => "proxied_to_kubelet",
        }
    }
}

const fn subresource(verb: Verb) -> &'static str {
    match verb {
        Verb::Exec => "exec",
        Verb::Attach => "attach",
        Verb::PortForward => "portforward",
    }
}

/// How a session ended, without the details that would make a label of every session.
const fn reason(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "completed",
        Outcome::Refused => "refused",
        Outcome::ClientClosed => "client_closed",
        Outcome::ClientLost => "client_lost",
        Outcome::UpstreamLost => "upstream_lost",
        Outcome::StreamCreationTimeout => "stream_creation_timeout",
        Outcome::ClientError(_) => "client_error",
        Outcome::UpstreamError(_) => "upstream_error",
        Outcome::ClientSilent => "client_silent",
        Outcome::UpstreamSilent => "upstream_silent",
        Outcome::Idle => "idle",
        Outcome::Shutdown => "shutdown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_counters_have_upstreams_names() {
        let metrics = Metrics::new();
        metrics.tunnel_request(101);
        metrics.kubelet_streaming_request(Verb::Attach);
        metrics.api_streaming_request(Verb::PortForward, ProxyType::Translated);
        metrics.translator_refused();
        let text = metrics.to_text();
        for sample in [
            "apiserver_stream_tunnel_requests_total{code=\"101\"} 1\n",
            "kubelet_websocket_streaming_requests_total{subresource=\"attach\"} 1\n",
            "apiserver_websocket_streaming_requests_total{subresource=\"portforward\",proxy_type=\"translated_at_apiserver\"} 1\n",
            "apiserver_stream_translator_requests_total{code=\"400\"} 1\n",
        ] {
            assert!(text.contains(sample), "{sample} in {text}");
        }
    }

    #[test]
    fn what_is_open_is_counted_until_it_is_dropped() {
        let metrics = Metrics::new();
        let (one, two) = (metrics.connection(), metrics.connection());
        drop(one);
        assert!(metrics.to_text().contains("strait_connections_open 1\n"));
        drop(two);
        let text = metrics.to_text();
        assert!(
            text.contains("strait_connections_open 0\n") && text.contains("strait_connections_total 2\n")
        );
    }
}
