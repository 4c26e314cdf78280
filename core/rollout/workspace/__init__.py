"""What belongs to the workspace and to no rollout: freezes that people declare, and who follows what (pure)."""
