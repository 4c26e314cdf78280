"""Everything that was said, in order, as plain text lines: what a headless demo prints."""

from bot.sandbox.workspace import plain_text
from bot.sandbox.workspace.workspace import Said, Workspace


def transcript(workspace: Workspace) -> str:
    """The whole journal; times are the workspace's clock in UTC."""
    with workspace.changes.lock:
        journal = list(workspace.journal)
    return "\n".join(line(workspace, said) for said in journal)


def line(workspace: Workspace, said: Said) -> str:
    """One entry: `[12:04] #support Rampart: ...`, replies indented, further lines under the first."""
    message = said.message
    author = workspace.people[message.user]
    head = f"[{said.at:%H:%M}] #{workspace.channels[message.channel].name} "
    if message.in_thread:
        head += "  > "
    head += author.name if author.is_bot else f"@{author.handle}"
    if message.ephemeral_to and message.ephemeral_to != message.user:
        head += f" (only to @{workspace.people[message.ephemeral_to].handle})"
    mark = {"posted": "", "edited": " (edited)", "deleted": " (deleted)"}[said.what]
    body = "" if said.what == "deleted" else plain_text.of_message(workspace, message)
    indent = "\n" + " " * (12 if message.in_thread else 8)
    first, *rest = body.split("\n")
    text = indent.join([first, *rest])
    return f"{head}{mark}: {text}".rstrip()
