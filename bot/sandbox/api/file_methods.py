"""The three steps of a file upload: request an address, send the bytes there, share the file."""

from dataclasses import replace
from typing import Any

from bot.sandbox.api.chat_methods import require_channel
from bot.sandbox.rules.errors import MethodError
from bot.sandbox.workspace import people, slack_json
from bot.sandbox.workspace.slack_state import SlackState
from bot.sandbox.workspace.workspace import SandboxMessage, StoredFile

Json = dict[str, Any]


def get_upload_url(slack: SlackState, args: Json) -> Json:
    """files.getUploadURLExternal: announces a file and returns the address to send its bytes to."""
    name = str(args.get("filename") or "")
    try:
        length = int(args.get("length") or 0)
    except ValueError:
        length = 0
    if not name or length <= 0:
        raise MethodError("invalid_arguments", ["filename and a length above 0 are required"])
    file = StoredFile(id=slack.workspace.new_id("F"), name=name, length=length)
    slack.workspace.keep_file(file)
    return {"upload_url": f"{slack.url}/upload/{file.id}", "file_id": file.id}


def receive_upload(slack: SlackState, file_id: str, content: bytes) -> str | None:
    """Store the bytes sent to an upload address; returns the reason if they are refused, else None."""
    file = slack.workspace.files.get(file_id)
    if file is None:
        return "no upload is expected here"
    if len(content) != file.length:
        return f"announced {file.length} bytes, got {len(content)}"
    slack.workspace.keep_file(replace(file, content=content))
    return None


def complete_upload(slack: SlackState, args: Json) -> Json:
    """files.completeUploadExternal: completes uploads and shares them in a channel or thread if one is named."""
    wanted = args.get("files")
    if not isinstance(wanted, list) or not wanted:
        raise MethodError("invalid_arguments", ["files must be a list of objects with an id"])
    ids = [str(item.get("id", "")) for item in wanted if isinstance(item, dict)]
    for file_id in ids:
        file = slack.workspace.files.get(file_id)
        if file is None or file.content is None:
            raise MethodError("file_not_found")
    if args.get("channel_id") or args.get("channels"):
        channel = require_channel(slack, {"channel": args.get("channel_id") or args.get("channels")})
        slack.workspace.post(
            SandboxMessage(
                channel=channel.id,
                ts=slack.workspace.new_ts(),
                user=people.BOT_USER_ID,
                text=str(args.get("initial_comment") or ""),
                thread_ts=str(args["thread_ts"]) if args.get("thread_ts") else None,
                files=tuple(ids),
            )
        )
    return {"files": [slack_json.file_to_json(slack.workspace.files[file_id]) for file_id in ids]}
