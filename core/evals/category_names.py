"""Names of categories: which spellings mean the same one."""

import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, TypeAlias
from unicodedata import normalize

from core.evals.eval_run import EvalCase

Categories: TypeAlias = tuple[str, ...] | Literal["all"]
EVERY_CATEGORY: Literal["all"] = "all"


@lru_cache(maxsize=4096)
def category_key(category: str) -> str:
    """Key under which categories are equal: ignores case, Unicode composition, and surrounding punctuation or space."""
    text = normalize("NFKC", normalize("NFKC", category).casefold())
    begin, end = 0, len(text)
    while begin < end and unicodedata.category(text[begin])[0] in "PZC":
        begin += 1
    while end > begin and unicodedata.category(text[end - 1])[0] in "PZC":
        end -= 1
    return " ".join(text[begin:end].split())


def select_categories(named: Categories) -> Callable[[EvalCase], bool]:
    """Whether a case is in one of the named categories, however they are spelt."""
    keys = {category_key(name) for name in named}
    return lambda case: named == EVERY_CATEGORY or category_key(case.category) in keys
