"""A real service behind real HTTP, as for the tests of HTTP itself."""

from tests.http.conftest import canary, rollout_file, running, serve, surface_file

__all__ = ["canary", "rollout_file", "running", "serve", "surface_file"]
