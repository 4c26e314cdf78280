"""Readers of the results of one eval tool each."""
