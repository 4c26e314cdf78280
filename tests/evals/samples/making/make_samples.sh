#!/usr/bin/env bash
# Makes the sample files beside this folder again, offline: make_samples.sh NODE PROMPTFOO PYTHON
#   NODE      a Node that promptfoo supports        PROMPTFOO  its dist/src/main.js (npm install promptfoo)
#   PYTHON    a Python with inspect-ai, deepeval, mlflow, pyarrow and pytest
set -euo pipefail
node=$1 promptfoo=$2 python=$3
here=$(cd "$(dirname "$0")" && pwd)
into=$(dirname "$here")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here"/* "$work"
cd "$work"

export PROMPTFOO_DISABLE_TELEMETRY=1 PROMPTFOO_DISABLE_UPDATE=1 PROMPTFOO_CONFIG_DIR=$work/config
"$node" "$promptfoo" eval --no-cache --no-table --no-share --repeat 2 -o promptfoo.json -o promptfoo.csv || [ $? = 100 ]
"$node" "$promptfoo" eval --no-cache --no-table --no-share -o promptfoo.jsonl -o promptfoo.junit.xml -o promptfoo.xml || [ $? = 100 ]
"$python" run_inspect.py "$work"
DEEPEVAL_TELEMETRY_OPT_OUT=YES DEEPEVAL_RESULTS_FOLDER=$work/deepeval "$python" run_deepeval.py
mv deepeval/test_run_*.json deepeval.json
"$python" run_mlflow.py "$work"
"$python" -m pytest -q -p no:cacheprovider --junitxml=pytest.junit.xml cases_for_pytest.py || [ $? = 1 ]

# what a machine is called and where its files lie is no part of a sample
sed -i "s#$work#work#g; s#$(hostname)#host#g" promptfoo.* deepeval.json mlflow.json mlflow.csv pytest.junit.xml
"$python" -m pip list --format=freeze | grep -E '^(inspect_ai|deepeval|mlflow|pytest)=='
mv promptfoo.* inspect.eval inspect.json inspect-failed.eval deepeval.json mlflow.json mlflow.csv mlflow.parquet pytest.junit.xml "$into"
