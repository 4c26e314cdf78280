"""Loads what reports are made of: digests, reviews, investigations, eval coverage, known traffic."""
