"""Rollouts, files and eval results over REST."""
