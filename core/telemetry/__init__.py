"""OpenTelemetry: the spans and events of one request become one observation (pure)."""
