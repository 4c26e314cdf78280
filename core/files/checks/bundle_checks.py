"""Whether a bundle names each of its rollouts once, knows them, and has at most one on each AI feature."""

from collections.abc import Iterator
from dataclasses import replace

from core.files.checks import drives_checks
from core.files.kinds.bundle_file import BundleFile
from core.files.syntax.problems import FieldPath, FileProblem
from core.files.syntax.suggest import suggest_nearest


def check(bundle: BundleFile) -> Iterator[FileProblem]:
    """Every problem with the bundle itself; its rollouts are checked as any other."""
    yield from _check_names(bundle)
    yield from _check_documents(bundle)


def _check_names(bundle: BundleFile) -> Iterator[FileProblem]:
    known, source = [file.rollout for file in bundle.rollouts], bundle.source
    field = "together" if bundle.together is not None else "in_order"
    for index, name in enumerate(bundle.names):
        path: FieldPath = (field, index)
        if name in bundle.names[:index]:
            waits = "it would wait for itself" if field == "in_order" else "once is enough"
            yield source.problem_at(path, f"{name} is named twice: {waits}")
        elif name not in known:
            near = suggest_nearest(name, known)
            yield source.problem_at(
                path, f"there is no rollout {name} in this file: write it as a document of its own, after ---.{near}"
            )
    if bundle.bundle in known:
        yield source.problem_at(("bundle",), f"{bundle.bundle} is also the name of a rollout in this file")


def _check_documents(bundle: BundleFile) -> Iterator[FileProblem]:
    seen_names: set[str] = set()
    seen_surfaces: dict[str, str] = {}
    for file in bundle.rollouts:
        if file.rollout in seen_names:
            yield file.source.problem_at(("rollout",), f"{file.rollout} is written twice in this file")
        elif file.rollout not in bundle.names:
            yield file.source.problem_at(("rollout",), f"{file.rollout} is not named under together or in_order")
        if (other := seen_surfaces.get(file.surface)) is not None:
            yield file.source.problem_at(
                ("surface",),
                f"{other} changes {file.surface} as well, and two changes of one AI feature cannot be told apart: make "
                "one rollout of both, or apply this one alone and queue it",
            )
        seen_names.add(file.rollout)
        seen_surfaces.setdefault(file.surface, file.rollout)
    if bundle.together is not None:  # the two would wait for each other
        yield from (replace(one, severity="error") for one in drives_checks.check_shared(bundle.rollouts))
