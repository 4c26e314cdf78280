"""Parse a rollout, bundle, surface or policy file, and report every problem with its line."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from core.files.kinds.bundle_file import BundleFile
from core.files.kinds.policy_file import PolicyFile
from core.files.kinds.rollout_file import RolloutFile
from core.files.kinds.surface_file import SurfaceFile
from core.files.prompt_files import ReadPrompt, insert_prompts, refuse_prompt_file
from core.files.syntax.fields import ITEM, ITEMS, KnownMetrics
from core.files.syntax.problems import FieldPath, FileProblem, UnreadableFile
from core.files.syntax.suggest import suggest_nearest
from core.files.syntax.yaml_with_lines import SourceFile, parse_yaml, split_documents
from core.metrics.own_metrics import OwnMetrics

AnyFile: TypeAlias = RolloutFile | SurfaceFile | PolicyFile | BundleFile
MODELS_BY_KIND: Mapping[str, type[AnyFile]] = {
    "rollout": RolloutFile,
    "surface": SurfaceFile,
    "policy": PolicyFile,
    "bundle": BundleFile,
}

_SHARED = {"version", "kind"}
_MISSING = {
    "rollback_when": "no rollback limits: nothing would stop this. Write at least one for quality, one for cost "
    "and one for latency",
    "where": "a cohort needs `where`: who is in it, such as where: {email_domain: example.com}",
}


def parse_file(
    text: str, filename: str, read_prompt: ReadPrompt = refuse_prompt_file, own_metrics: OwnMetrics | None = None
) -> AnyFile:
    """The parsed file; its kind follows from `kind`, or else from the fields it has.

    `read_prompt` reads a prompt that stands in a file beside it. A rollout file may name the `own_metrics` of its
    surface; None: it is not known what surfaces there are. Raises UnreadableFile with every problem.
    """
    documents = split_documents(text)
    if len(documents) > 1:
        return _parse_bundle(documents, filename, read_prompt, own_metrics)
    file = _parse_document(text, filename, read_prompt, own_metrics)
    if isinstance(file, BundleFile):
        message = "its rollouts are missing: write each as a document of its own below, after a line ---"
        raise UnreadableFile([file.source.problem_at(("bundle",), message)])
    return file


def _parse_bundle(
    documents: Sequence[str], filename: str, read_prompt: ReadPrompt, own_metrics: OwnMetrics | None
) -> BundleFile:
    """The bundle that the first document describes, with the rollouts of the others."""
    found: list[AnyFile] = []
    problems: list[FileProblem] = []
    for text in documents:
        try:
            found.append(_parse_document(text, filename, read_prompt, own_metrics))
        except UnreadableFile as unreadable:
            problems += unreadable.problems
    bundle = next((file for file in found if isinstance(file, BundleFile)), None)
    if problems:
        raise UnreadableFile(problems)
    if bundle is None or found[0] is not bundle:
        message = "a file with several documents is a bundle: its first document names it (bundle: …)"
        raise UnreadableFile([found[0].source.problem_at((), message)])
    others = [file for file in found[1:] if not isinstance(file, RolloutFile)]
    if others:
        raise UnreadableFile([file.source.problem_at((), "only rollouts go into a bundle") for file in others])
    bundle.attach_rollouts(tuple(file for file in found if isinstance(file, RolloutFile)))
    return bundle


def _parse_document(text: str, filename: str, read_prompt: ReadPrompt, own_metrics: OwnMetrics | None) -> AnyFile:
    source = insert_prompts(parse_yaml(text, filename), read_prompt)
    model = _choose_model(source)
    if lost := [
        _shortened_number_problem(source, path, written)
        for path, written in source.shortened.items()
        if "where" in path
    ]:
        raise UnreadableFile(lost)
    try:
        file = model.model_validate(source.data, context=_find_known_metrics(source, own_metrics))
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise UnreadableFile(
            [_problem_from_details(source, model, one) for one in found if not _is_consequence(one, found)]
        ) from error
    file.attach_source(source)
    return file


def _find_known_metrics(source: SourceFile, own_metrics: OwnMetrics | None) -> KnownMetrics:
    """The own metrics that the file may name, by the surface that it says it is about."""
    surface = source.data.get("surface") if isinstance(source.data, dict) else None
    if own_metrics is None or not isinstance(surface, str):
        return KnownMetrics()
    return KnownMetrics(surface=surface, own=own_metrics.of_surface(surface), defined=own_metrics)


def _shortened_number_problem(source: SourceFile, path: FieldPath, written: str) -> FileProblem:
    """Segments are compared as text: 1.10 and 1.1 are two versions of an app, so the number must be quoted."""
    return source.problem_at(path, f'"{written}" is the number {float(written):g} here: write "{written}", in quotes')


def _choose_model(source: SourceFile) -> type[AnyFile]:
    """The model of the kind of file."""
    data = source.data
    if not isinstance(data, dict):
        raise UnreadableFile([source.problem_at((), "a file is a list of fields, such as version: 1")])
    kind = data.get("kind")
    if kind is not None:
        if not isinstance(kind, str) or kind not in MODELS_BY_KIND:
            near = suggest_nearest(str(kind), MODELS_BY_KIND)
            message = f'unknown kind "{kind}": write rollout, bundle, surface or policy.{near}'
            raise UnreadableFile([source.problem_at(("kind",), message)])
        return MODELS_BY_KIND[kind]
    scores = {model: len(data.keys() & (set(_field_names(model)) - _SHARED)) for model in MODELS_BY_KIND.values()}
    best = max(scores, key=lambda model: scores[model])
    if scores[best] == 0:
        message = (
            "this is not a rollout (rollout: …), a bundle (bundle: …), a surface (kind: surface) or a policy "
            "(kind: policy)"
        )
        raise UnreadableFile([source.problem_at((), message)])
    return best


def _is_consequence(details: ErrorDetails, found: Iterable[ErrorDetails]) -> bool:
    """Whether the error only follows from others: a list counts as too short if its only items are invalid."""
    path = details["loc"]
    return details["type"] == "too_short" and any(o["loc"][: len(path)] == path and o["loc"] != path for o in found)


def _problem_from_details(source: SourceFile, model: type[BaseModel], details: ErrorDetails) -> FileProblem:
    path: FieldPath = tuple(step for step in details["loc"] if step not in (ITEM, ITEMS))
    kind, context, given = details["type"], details.get("ctx", {}), details["input"]
    if path and path[-1] == "[key]":
        return source.problem_at(path[:-1], _format_message(details), at_key=True)
    match kind:
        case "extra_forbidden":
            name = str(path[-1])
            names = _field_names_at(model, path[:-1])
            return source.problem_at(path, f'unknown field "{name}".{suggest_nearest(name, names)}', at_key=True)
        case "missing":
            return source.problem_at(path, _MISSING.get(str(path[-1]), details["msg"]))
        case "written":
            field = context.get("field")
            return source.problem_at((*path, field) if field else path, details["msg"], at_key=field is not None)
        case "literal_error" | "enum" if isinstance(given, str):
            choices = [word.strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(", ")]
            return source.problem_at(path, details["msg"] + suggest_nearest(given, choices, after="."))
        case "string_type" if isinstance(given, int | float):
            written = source.shortened.get(path, str(given).lower() if isinstance(given, bool) else given)
            return source.problem_at(path, f'{details["msg"]}: write "{written}", in quotes')
        case "too_short" if int(context.get("min_length") or 1) > 1:
            return source.problem_at(path, f"this has too few entries: write at least {context['min_length']}")
        case "too_short":
            return source.problem_at(
                path, _MISSING.get(str(path[-1]), "this is empty: write at least one, or leave it out")
            )
        case "model_type" | "model_attributes_type" | "dict_type":
            names = _field_names_at(model, path)
            expected = f"fields such as {', '.join(list(names)[:4])}" if names else "fields with their values"
            return source.problem_at(path, f"this should contain {expected}")
        case "tuple_type" | "list_type":
            return source.problem_at(path, 'this should be a list: [a, b], or lines that begin with "- "')
        case _:
            return source.problem_at(path, _format_message(details))


def _format_message(details: ErrorDetails) -> str:
    context = details.get("ctx", {})
    if details["type"] == "unknown":
        return details["msg"] + suggest_nearest(context["given"], context["choices"])
    return details["msg"].removeprefix("Value error, ")


def _field_names(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(field.alias or name for name, field in model.model_fields.items())


def _field_names_at(annotation: Any, path: FieldPath) -> tuple[str, ...]:
    """The field names of the model at `path` below `annotation`; empty if there is no model."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not path:
            return _field_names(annotation)
        for name, field in annotation.model_fields.items():
            if (field.alias or name) == path[0]:
                return _field_names_at(field.annotation, path[1:])
        return ()
    inside = path[1:] if get_origin(annotation) in (tuple, list, dict) else path
    found = (_field_names_at(argument, inside) for argument in get_args(annotation))
    return next((names for names in found if names), ())
