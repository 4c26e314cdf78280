"""Offers a page to the person who asked: a link that is theirs alone, in an answer that only they see."""

from bot.commands.parsing.parsed_command import ParsedCommand
from bot.commands.request import CommandContext
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message

SAID = "The link opens this page in your name, for an hour. Do not pass it on."


def offer_page(answer: Message, page: str, parsed: ParsedCommand, context: CommandContext) -> Message:
    """The answer with a button that opens `page`, unless everybody sees the answer or there is no link."""
    address = "" if "public" in parsed.flags else context.link_page(page)
    if not address:
        return answer
    return blocks.append_blocks(answer, blocks.actions(buttons.open_page(address)), blocks.context(SAID))
