"""The parts of a criterion's mixture: what each e-process contributes, by what it tests."""
