"""The HTTP server: evaluation, observations, REST API, pages, Slack events, health."""
