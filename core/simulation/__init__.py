"""Simulate a rollout plan before anybody is exposed: simulated users, the real engine, and a summary of many runs."""
