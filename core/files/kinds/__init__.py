"""The four kinds of file: surface, policy, rollout, and bundle."""
