"""Schemas of the OpenAPI document that routes do not declare themselves: responses, bodies and whole paths."""
