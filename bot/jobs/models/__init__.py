"""Jobs about models: which one answered, and which are switched off."""
