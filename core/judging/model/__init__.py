"""The values of a judgement: limits, the question, the evidence, the state between looks, the verdict."""
