"""Sentences that several messages and answers share."""
