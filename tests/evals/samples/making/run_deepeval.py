"""Runs DeepEval with a metric that looks for a word; DEEPEVAL_RESULTS_FOLDER says where the results go."""

from deepeval import evaluate
from deepeval.metrics import BaseMetric
from deepeval.test_case import LLMTestCase

CASES = {
    "refund-1": ("billing", "yes"),
    "refund-2": ("billing", "yes"),
    "delete-1": ("privacy", "no"),
    "hello-1": ("small talk", "yes"),
}


class Includes(BaseMetric):
    """Whether the expected word occurs."""

    def __init__(self) -> None:
        self.threshold, self.evaluation_model, self.async_mode = 0.5, "rule", False
        self.include_reason, self.strict_mode, self.error, self.evaluation_cost = True, False, None, 0

    def measure(self, test_case, *_, **__) -> float:
        self.score = float(test_case.expected_output in test_case.actual_output)
        self.success, self.reason = self.score >= self.threshold, "looked for the word"
        return self.score

    async def a_measure(self, test_case, *_, **__) -> float:
        return self.measure(test_case)

    def is_successful(self) -> bool:
        return self.success

    @property
    def __name__(self) -> str:
        return "Includes"


evaluate(
    test_cases=[
        LLMTestCase(
            name=name,
            input=f"Question {name}?",
            actual_output=said,
            expected_output="yes",
            tags=[category],
            token_cost=0.002,
            completion_time=0.4,
        )
        for name, (category, said) in CASES.items()
    ],
    metrics=[Includes()],
    hyperparameters={"model": "made-up-1", "prompt": "v43"},
)
