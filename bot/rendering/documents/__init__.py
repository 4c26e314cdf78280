"""Texts to keep: differences, evidence bundles, histories and reviews as files."""
