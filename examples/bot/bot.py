"""A bot that rolls dice for whoever writes “2d6” to it. `python bot.py =127.0.0.1:7443` starts it."""

import asyncio
import contextlib
import re
import secrets
import sys

from tmtp.client import Client, Invitation, Message, Ping, RequestRefused

bot = Client(sys.argv[1], "bot.json", alias="the dice bot", label="bot")


@bot.on(Message)
@bot.on(Ping)
async def answer(received):
    dice = re.search(r"\b(\d{1,2})d(\d{1,3})\b", received.text)
    rolled = [1 + secrets.randbelow(int(dice[2]) or 1) for _ in range(int(dice[1]))] if dice else []
    if not received.is_own:  # another device of the bot wrote it
        with contextlib.suppress(RequestRefused):  # the member blocks the bot, for example
            await received.reply(f"{rolled} = {sum(rolled)}" if dice else "Write how many dice, such as 2d6.")


bot.on(Invitation)(lambda invitation: invitation.accept())

asyncio.run(bot.run())
