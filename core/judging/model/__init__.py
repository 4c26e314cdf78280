"""Value types of a judgement: limits, the question, the evidence, the state between looks and the verdict."""
