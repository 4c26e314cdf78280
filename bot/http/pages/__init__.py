"""The read-only pages, and the API reference."""
