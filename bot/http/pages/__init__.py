"""The read-only HTML pages and the API reference."""
