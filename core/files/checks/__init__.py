"""Checks for what is wrong or unwise in a well-formed file; one file per kind of check."""
