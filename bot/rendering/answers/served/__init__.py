"""Answers about who was served which version."""
