"""What is agreed before a rollout starts: the plan, the policy, the baseline it builds on (pure)."""
