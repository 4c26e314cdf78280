"""Delivery from Slack to the app: payloads over signed HTTP or Socket Mode."""
