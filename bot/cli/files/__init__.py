"""Commands on files: rollouts, surfaces and policies, the prompts and sources that they name, eval results."""
