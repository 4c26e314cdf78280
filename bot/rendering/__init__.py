"""Everything people read, as pure functions: values in, text and Block Kit out; no Slack client, clock or database."""
