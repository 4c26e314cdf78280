"""OTLP over HTTP: traces, logs and metrics from OpenTelemetry exporters and collectors."""
