"""Compiles recorded payloads as literals of the types that Slack publishes for its own JavaScript SDK."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parent
PACKAGES = Path(sys.prefix) / "payload-types"
_ERROR = re.compile(r"payloads\.ts\((\d+),\d+\): error (.*)")
_PREAMBLE = """\
import type { HomeView, KnownBlock, ModalView } from '@slack/types';
import type * as api from '@slack/web-api';

// Not in @slack/types 3.2.0: https://docs.slack.dev/reference/block-kit/blocks/data-visualization-block
type Series = { name: string; data: { label: string; value: number }[] };
type Axes = { categories: string[]; x_label?: string; y_label?: string };
type Chart =
  | { type: 'line' | 'bar' | 'area'; series: Series[]; axis_config: Axes }
  | { type: 'pie'; segments: { label: string; value: number }[] };
type ChartBlock = { type: 'data_visualization'; block_id?: string; title: string; chart: Chart };

// The types call it alt_text; the method's page and Slack's Python SDK call it alt_txt:
// https://docs.slack.dev/reference/methods/files.getUploadURLExternal
type UploadArguments = Omit<api.FilesGetUploadURLExternalArguments, 'alt_text'> & { alt_txt?: string };

type Blocks = (KnownBlock | ChartBlock)[];
type Plain<T> = T extends unknown ? Omit<T, 'blocks' | 'view' | 'attachments'> : never;
"""
_TYPES = {
    "blocks": "Blocks",
    "view.modal": "Omit<ModalView, 'blocks'> & { blocks: KnownBlock[] }",
    "view.home": "Omit<HomeView, 'blocks'> & { blocks: KnownBlock[] }",
    "files.getUploadURLExternal": "UploadArguments",
    "manifest": "api.AppsManifestValidateArguments['manifest']",
}


class PackagesUnavailable(Exception):
    """npm is missing, or could not install what package-lock.json names; says which."""


def find_compiler() -> Path:
    """The TypeScript compiler beside Slack's types, installed by npm where that was not done yet."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise PackagesUnavailable("there is no npm")
    compiler, stamp = PACKAGES / "node_modules" / ".bin" / "tsc", PACKAGES / "installed.json"
    lock = (HERE / "package-lock.json").read_text(encoding="utf-8")
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != lock:
        PACKAGES.mkdir(exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, PACKAGES / name)
        installing = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(installing, cwd=PACKAGES, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            raise PackagesUnavailable(f"npm could not install Slack's types: {done.stderr.strip()[-300:]}")
        stamp.write_text(lock, encoding="utf-8")
    return compiler


def find_type_errors(shapes: Iterable[str], compiler: Path, folder: Path) -> list[str]:
    """The errors of the compiler, each with its payload; `shapes` are JSON of `[kind, payload]`."""
    lines = _PREAMBLE.splitlines()
    payloads: dict[int, str] = {}
    for number, shape in enumerate(shapes):
        kind, payload = json.loads(shape)
        literal = json.dumps(payload)
        lines.append(f"export const p{number}: {_TYPES.get(kind) or _name_arguments(kind)} = {literal};")
        payloads[len(lines)] = f"{kind} {literal}"
    source = folder / "payloads.ts"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    modules = folder / "node_modules"
    if not modules.exists():
        modules.symlink_to(PACKAGES / "node_modules")
    options = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext"]
    done = subprocess.run(
        [compiler, *options, "--moduleResolution", "nodenext", "--pretty", "false", source.name],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    found = [
        f"{match[2]}\n    {payloads.get(int(match[1]), 'not a payload')[:2000]}"
        for match in _ERROR.finditer(done.stdout)
    ]
    if done.returncode != 0 and not found:
        raise RuntimeError(done.stdout + done.stderr)
    return found


def _name_arguments(method: str) -> str:
    """`chat.postMessage` takes ChatPostMessageArguments."""
    words = [word[0].upper() + word[1:] for word in method.split(".")]
    return f"Plain<api.{''.join(words)}Arguments>"
