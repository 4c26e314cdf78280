"""Receives batches of observations: parses, checks and writes them."""
