"""The page on which people watch the sandbox and act in it."""
