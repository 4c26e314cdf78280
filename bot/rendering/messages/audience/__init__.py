"""Who gets which version, in plain words: layers, strata, holdouts, and conversations under way."""
