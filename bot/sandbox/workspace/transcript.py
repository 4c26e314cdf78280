"""The workspace's journal as plain text lines, as a headless demo prints it."""

from bot.sandbox.workspace import plain_text
from bot.sandbox.workspace.workspace import JournalEntry, SandboxWorkspace


def render_transcript(workspace: SandboxWorkspace) -> str:
    """The whole journal, one entry after the other; times are those of the workspace's clock."""
    with workspace.changes.lock:
        journal = list(workspace.journal)
    return "\n".join(format_entry(workspace, said) for said in journal)


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
