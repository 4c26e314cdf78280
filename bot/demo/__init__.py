"""The demonstration: a sandbox Slack, the bot, and an AI feature with simulated users, in one process."""
