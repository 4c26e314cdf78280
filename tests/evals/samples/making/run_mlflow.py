"""Runs MLflow's genai.evaluate with a scorer that looks for a word, and breaks down on one case."""

import os
import sys
from pathlib import Path

into = Path(sys.argv[1])
os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{into}/mlflow.db"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

from mlflow.genai import evaluate, scorer  # noqa: E402

CASES = {
    "refund-1": ("billing", "yes"),
    "refund-2": ("billing", "yes"),
    "delete-1": ("privacy", "no"),
    "hello-1": ("small talk", "yes"),
    "broken-1": ("small talk", "boom"),
}


@scorer
def includes(outputs, expectations) -> bool:
    if outputs == "boom":
        raise RuntimeError("the judge is unavailable")
    return expectations["expected_response"] in outputs


rows = [
    {
        "inputs": {"question": f"Question {name}?"},
        "expectations": {"expected_response": "yes"},
        "outputs": said,
        "tags": {"case": name, "category": category},
    }
    for name, (category, said) in CASES.items()
]


def clean(value):
    """Without the stack traces and folders of the machine that made it."""
    if isinstance(value, dict):
        return {key: clean(each) for key, each in value.items() if key != "stack_trace"}
    if isinstance(value, list):
        return [clean(each) for each in value]
    return value.replace(str(into), "work") if isinstance(value, str) else value


table = evaluate(data=rows, scorers=[includes]).result_df.drop(columns=["trace", "spans"])
for column in ("tags", "trace_metadata", "assessments"):
    table[column] = table[column].map(clean)
table.to_json(into / "mlflow.json", orient="records")
table.to_csv(into / "mlflow.csv", index=False)
table.to_parquet(into / "mlflow.parquet")
