"""Sequential tests: e-processes that stay valid under any number of looks."""
