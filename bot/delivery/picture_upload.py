"""Uploads the pictures of a message's charts to Slack, for workspaces that refuse its own chart block."""

import structlog
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from bot.rendering.blocks.blocks import Message
from bot.rendering.charts import picture

log = structlog.get_logger()


def upload_pictures(client: WebClient, message: Message) -> dict[str, tuple[str, str]]:
    """(file id, alternative text) by the title of each chart that was uploaded. A chart that cannot be drawn or
    uploaded is left out, so that its words are sent instead: no message waits for a picture."""
    uploaded: dict[str, tuple[str, str]] = {}
    for drawn in message.pictures:
        content = picture.draw_png(drawn)
        if content is None:
            log.warning("no chart is drawn, as this machine has no fonts: install fonts-dejavu-core")
            continue
        try:
            answer = client.files_upload_v2(
                content=content, filename="chart.png", title=drawn.title, alt_txt=drawn.alt[:1000]
            )
            uploaded[drawn.title] = (str(answer["files"][0]["id"]), drawn.alt)
        except SlackApiError as error:
            log.warning("a chart was not uploaded", why=str(error.response.get("error")))
        except (SlackClientError, OSError) as error:
            log.warning("a chart was not uploaded", why=str(error))
    return uploaded
