//! `[telemetry]`.

use crate::schema::section;

section! {
    /// Traces. Metrics and logs need no settings: `/metrics` is answered where health is, and `N2S_LOG` says what is logged.
    TelemetryConfig at "telemetry" {
        /// A collector that takes OTLP over HTTP, such as `http://collector:4318`; spans go to `/v1/traces` below it. The variables of OpenTelemetry
        /// (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME) win over it. Unset: nowhere.
        otlp_endpoint: Option<String> = None,
    }
}
