"""Messages about the workspace: the digest, models, the log's witness."""
