"""A real service behind real HTTP, as for the tests of HTTP itself."""

from tests.http.conftest import canary, running, serve

__all__ = ["canary", "running", "serve"]
