"""The web page on which people watch the sandbox and act in it."""
