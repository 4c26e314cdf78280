"""What each subject of events changes of a rollout: pure functions that never refuse."""
