//! Traces by OTLP over HTTP: one span a request, sent when, and only when, the environment names an endpoint.
//!
//! The variables are OpenTelemetry's own (`OTEL_EXPORTER_OTLP_ENDPOINT`, `…_HEADERS`, `…_PROTOCOL`, `OTEL_SERVICE_NAME`,
//! `OTEL_TRACES_SAMPLER`, …), read by its library. Spans wait in a bounded queue for a thread of their own: no request waits for a collector.

use std::io;

use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::Span;
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt as _};
use tracing_subscriber::registry::LookupSpan;

/// The name of this service, where `OTEL_SERVICE_NAME` gives none.
const SERVICE: &str = "breakwater";

const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];

/// What sends spans. Dropping it sends what waits.
#[derive(Debug)]
pub(super) struct Sender(SdkTracerProvider);

impl Sender {
    /// Starts the thread that sends. Not from within a runtime.
    pub(super) fn start(version: &'static str) -> io::Result<Self> {
        let is_chosen = PROTOCOLS.iter().any(|name| std::env::var_os(name).is_some());
        let builder = SpanExporter::builder().with_http();
        // What the specification has for nothing chosen, which the library makes depend on how it was built.
        let builder = if is_chosen { builder } else { builder.with_protocol(Protocol::HttpBinary) };
        let exporter = builder.build().map_err(io::Error::other)?;
        let name = std::env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| SERVICE.to_owned());
        let version = opentelemetry::KeyValue::new("service.version", version);
        let resource = Resource::builder().with_service_name(name).with_attribute(version).build();
        Ok(Self(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build()))
    }

    pub(super) fn layer<S>(&self) -> OpenTelemetryLayer<S, SdkTracer>
    where
        S: tracing::Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer().with_tracer(self.0.tracer(SERVICE)).with_location(false).with_threads(false)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        // At the end of the program; a collector that is gone has been warned of.
        let _ = self.0.shutdown();
    }
}

/// Makes a span part of the trace that a request says it belongs to (W3C Trace Context).
pub fn adopt<'a>(span: &Span, header: &dyn Fn(&str) -> Option<&'a str>) {
    let parent = TraceContextPropagator::new().extract(&Headers(header));
    // A span that is not recorded has no parent either.
    let _ = span.set_parent(parent);
}

struct Headers<'f, 'a>(&'f dyn Fn(&str) -> Option<&'a str>);

impl Extractor for Headers<'_, '_> {
    fn get(&self, key: &str) -> Option<&str> {
        (self.0)(key)
    }

    fn keys(&self) -> Vec<&str> {
        Vec::new()
    }
}
