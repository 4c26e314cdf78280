"""Value types of a judgement: the question, the evidence, the state between looks and the verdict."""
