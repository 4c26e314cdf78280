"""What a rollout has shown once it has ended, drafted from its events: the review."""
