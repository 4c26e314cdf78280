"""A plan tried out before anybody sees it: simulated users, the real engine, and what came of many runs."""
