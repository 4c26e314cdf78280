"""Attributes that are read, one file per convention: each is a table from attribute to reader."""
