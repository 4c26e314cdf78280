"""The workspace's journal as plain text lines, as a headless demo prints it."""

from bot.sandbox.workspace import plain_text
from bot.sandbox.workspace.workspace import JournalEntry, SandboxWorkspace


def render_transcript(workspace: SandboxWorkspace) -> str:
    """The whole journal, one entry after the other; times are those of the workspace's clock.

    An edit after which the message reads as before is left out, as nobody would see anything of it.
    """
    with workspace.changes.lock:
        journal = list(workspace.journal)
    shown: dict[tuple[str, str], str] = {}
    lines = []
    for entry in journal:
        place, said = (entry.message.channel, entry.message.ts), plain_text.render_message(workspace, entry.message)
        if entry.action != "edited" or shown.get(place) != said:
            lines.append(format_entry(workspace, entry))
        shown[place] = said
    return "\n".join(lines)


def format_entry(workspace: SandboxWorkspace, entry: JournalEntry) -> str:
    """One journal entry: `[12:04] #support Rampart: ...`; replies and further lines are indented."""
    message = entry.message
    author = workspace.people[message.user]
    head = f"[{entry.at:%H:%M}] #{workspace.channels[message.channel].name} "
    if message.in_thread:
        head += "  > "
    head += author.name if author.is_bot else f"@{author.handle}"
    if message.ephemeral_to and message.ephemeral_to != message.user:
        head += f" (only to @{workspace.people[message.ephemeral_to].handle})"
    mark = {"posted": "", "edited": " (edited)", "deleted": " (deleted)"}[entry.action]
    body = "" if entry.action == "deleted" else plain_text.render_message(workspace, message)
    indent = "\n" + " " * (12 if message.in_thread else 8)
    first, *rest = body.split("\n")
    text = indent.join([first, *rest])
    return f"{head}{mark}: {text}".rstrip()
