"""Traces of the tools that keep them: one system a file."""
