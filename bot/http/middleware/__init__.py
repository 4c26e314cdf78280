"""Shared request handling: tokens, body limits, rate limits, HEAD requests, and error responses."""
