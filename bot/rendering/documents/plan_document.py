"""A plan as a Markdown document, as for a comment on a pull request. It holds no text of prompts."""

from collections.abc import Sequence

from bot.rendering import wording
from bot.rendering.answers.planning import plan_foresight, plan_outlook
from bot.rendering.answers.served.version_answers import VersionPair
from bot.rendering.markup import escape_markdown
from bot.rendering.messages import plan_facts
from bot.rendering.messages.plan_facts import FactSection
from bot.rendering.neighbours import shared_words
from bot.rendering.numbers.detectability import power_words, unseen_by_evals
from bot.rendering.sentences import difference_words, way_back_words
from core.report_sources.planned_file import PlannedFile


def render_markdown(planned: PlannedFile, pair: VersionPair, zone: str) -> str:
    """What changes, what people notice, limits, dates, approvals, what evals cannot show, and what is unwise."""
    plan, outlook = planned.plan, planned.outlook
    change = escape_markdown(f"{plan.surface} {plan.from_version} -> {plan.to_version}")
    approvals = plan_outlook.describe_approvals(plan)
    end = way_back_words.describe_end(plan, outlook.way_back)
    sections = [
        FactSection(title="What changes", lines=(f"{difference_words.format_in_line(pair.difference)}.",)),
        FactSection(
            title="Other rollouts", lines=tuple(shared_words.describe(one) for one in planned.shared), is_list=True
        ),
        *plan_facts.list_plan_sections(plan, outlook, zone),
        FactSection(title=way_back_words.TITLE, lines=(end,) if end else ()),
        FactSection(title="Who has to approve", lines=(approvals,) if approvals else ()),
        FactSection(
            title=unseen_by_evals.TITLE,
            lines=tuple(unseen_by_evals.list_lines(plan, planned.evals, outlook.coverage)),
            is_list=True,
        ),
    ]
    lines = [f"## Rollout {escape_markdown(plan.name)}: {change}, {plan.risk} risk"]
    for section in sections:
        lines += _format_section(section.title, section.lines, is_list=section.is_list)
    lines += _format_section("Think about this before you start", _list_warnings(planned), is_list=True)
    return "\n".join([*lines, "", "Nothing is planned until this file is applied."]) + "\n"


def _list_warnings(planned: PlannedFile) -> list[str]:
    """Everything that the checks of the file and the forecast of its first compared stage call unwise."""
    found = [*planned.outlook.warnings, *power_words.list_warnings(planned.outlook.comparisons)]
    if planned.outlook.foreseen and planned.outlook.foreseen[0]:
        first, *later = planned.outlook.foreseen
        found += plan_foresight.render_warnings(first, planned.plan.risk, later)
    return found


def _format_section(title: str, lines: Sequence[str], *, is_list: bool) -> list[str]:
    plain = [escape_markdown(wording.to_plain_text(line).strip("_")) for line in lines]
    return ["", f"### {title}", "", *(f"- {line}" if is_list else line for line in plain)] if plain else []
