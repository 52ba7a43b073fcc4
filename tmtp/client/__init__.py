"""A client for TMTP, for bots and other programs: asyncio, TLS, one device. It needs no Django settings.

    import asyncio
    from tmtp.client import Client, Message

    bot = Client("=127.0.0.1:7443", "bot.json", alias="echo of rome")

    @bot.on(Message)
    async def answer(message):
        await message.reply(f"You wrote: {message.text}")

    asyncio.run(bot.run())

This module is stable; the modules in it are not (docs/how-to/client.md).
"""

from __future__ import annotations

from ..services.messages.post_format import Person
from .client import Client, Group, Sent
from .device_file import Device
from .errors import AliasRefused, CertificateRefused, ClientError, LoginRefused, NotADeviceFile, RequestRefused
from .events import GroupChange, Invitation, Message, Other, Ping, Presence, ReceivedFile

__all__ = [
    "AliasRefused",
    "CertificateRefused",
    "Client",
    "ClientError",
    "Device",
    "Group",
    "GroupChange",
    "Invitation",
    "LoginRefused",
    "Message",
    "NotADeviceFile",
    "Other",
    "Person",
    "Ping",
    "Presence",
    "ReceivedFile",
    "RequestRefused",
    "Sent",
]
