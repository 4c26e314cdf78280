"""How the events of each subject change a rollout: pure functions that never refuse."""
