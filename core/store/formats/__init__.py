"""Storage formats: the hash chain, events as canonical JSON, encrypted text, timestamps."""
