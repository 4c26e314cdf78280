"""What people ask for, whichever way they came: how a rollout is named, and what a line means."""
