"""Pulls sums from a SQL database: the query, the engines that run it, and reading what comes back."""
