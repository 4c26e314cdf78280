"""The REST API: rollouts, files and eval results."""
