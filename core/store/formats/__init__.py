"""How things are stored: the hash chain, events as JSON, sealed text, moments."""
