"""What support, marketing and downstream teams are told."""
