"""Runs Inspect on a model that is made up, twice per case: a run that succeeds, and one that ends with an error."""

import sys
from pathlib import Path

from inspect_ai import Epochs, Task
from inspect_ai import eval as run
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, solver

CASES = {
    "refund-1": "billing",
    "refund-2": "billing",
    "delete-1": "privacy",
    "hello-1": "small talk",
}
ANSWERS = ["yes", "yes", "no", "no", "yes", "yes", "no", "yes"]  # epoch by epoch: hello-1 fails once


def answer(text: str) -> ModelOutput:
    output = ModelOutput.from_content("mockllm/model", text)
    output.usage = ModelUsage(input_tokens=12, output_tokens=3, total_tokens=15)
    return output


@solver
def break_down():
    async def solve(state, generate):
        raise RuntimeError("the sandbox is gone")

    return solve


def build_task(steps) -> Task:
    samples = [
        Sample(id=name, input=f"Question {name}?", target="yes", metadata={"category": category, "language": "en"})
        for name, category in CASES.items()
    ]
    return Task(
        name="support",
        dataset=MemoryDataset(samples, name="support"),
        solver=steps,
        scorer=includes(),
        epochs=Epochs(2),
    )


def main() -> None:
    into = Path(sys.argv[1])
    settings = {"log_dir": str(into), "display": "none", "max_connections": 1, "max_samples": 1}
    for form in ("eval", "json"):
        model = get_model("mockllm/model", custom_outputs=[answer(text) for text in ANSWERS])
        (log,) = run(build_task(generate()), model=model, log_format=form, **settings)
        Path(log.location.removeprefix("file://")).rename(into / f"inspect.{form}")
    (log,) = run(build_task(break_down()), model="mockllm/model", log_format="eval", **settings)
    Path(log.location.removeprefix("file://")).rename(into / "inspect-failed.eval")


main()
