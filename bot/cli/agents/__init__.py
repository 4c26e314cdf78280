"""Coding agents: the server that they talk to, and what they may ask for."""
