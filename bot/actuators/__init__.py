"""Systems of others that a rollout drives: each behind two calls, what it is at and what it is to be at."""
