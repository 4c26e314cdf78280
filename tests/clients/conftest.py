"""A real service behind real HTTP, as for the tests of HTTP itself."""

from tests.http.conftest import canary, everywhere, rollout_file, running, serve, surface_file

__all__ = ["canary", "everywhere", "rollout_file", "running", "serve", "surface_file"]
