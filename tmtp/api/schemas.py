"""What requests and answers look like. The OpenAPI document is made of these classes."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import Base64Encoder, ConfigDict, EncodedBytes, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError


class StrictBase64(Base64Encoder):
    """Base64 with nothing else in it. Python's decoder would skip it."""

    @classmethod
    def decode(cls, data: bytes) -> bytes:
        """Return the octets. Raise PydanticCustomError."""
        try:
            return base64.b64decode(data, validate=True)
        except ValueError as error:
            raise PydanticCustomError("base64", "not valid base64: {reason}", {"reason": str(error)}) from None


PEOPLE_MAX = 1000
FILES_MAX = 20
Short = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Names = Annotated[list[Short], Field(max_length=PEOPLE_MAX)]


class Input(Schema):
    """A body of a request. A member that is not known is an error, so that no misspelt one is ignored."""

    model_config = ConfigDict(extra="forbid")


class People(Input):
    """People, in any of these ways. Each list may be left out."""

    names: Names = Field(default=[], description="names (aliases) in messaging, exactly as they are registered")
    uids: Names = Field(default=[], description="uids")
    usernames: Names = Field(default=[], description="user names of this website")
    emails: Names = Field(default=[], description="confirmed e-mail addresses, if the site allows that")
    external_ids: Names = Field(default=[], description="what you call the users that you have created")


class Recipients(People):
    """People and groups. There must be one at least."""

    groups: Names = Field(default=[], description="groups of this token, by name")


class Attachment(Input):
    """A file."""

    name: Short
    content: Annotated[bytes, EncodedBytes(encoder=StrictBase64)] = Field(description="the octets in base64")


class NewMessage(Input):
    """A message to be sent. Each recipient gets a message of their own."""

    to: Recipients
    subject: str = Field(default="", max_length=1000, description="only an answer in a thread may have none")
    text: str = Field(description="CommonMark")
    thread: str = Field("", max_length=16, description="the msgid of the first message; empty begins a thread")
    key: str = Field(
        default="", max_length=200, description="the same key never sends twice; another request with it is refused"
    )
    together: bool = Field(default=False, description="store one message for all people, who do not see each other")
    attachments: list[Attachment] = Field(default=[], max_length=FILES_MAX)


class Sent(Schema):
    """What was sent: a msgid for each message, people first, then groups."""

    msgids: list[str]


class Message(Schema):
    """A message that was sent with this token."""

    msgid: str
    subject: str
    thread: str
    posted: datetime
    recalled: datetime | None


class MessageReport(Message):
    """A message, and the number of recipients in each state."""

    recipients: dict[str, int] = Field(description="by queued, sent, delivered, read, undeliverable")


class Device(Schema):
    """What became of a message at a device."""

    kind: Literal["device", "mailbox", "none"]
    sent: datetime | None
    acknowledged: datetime | None
    read: datetime | None
    ended: datetime | None
    why: str | None = Field(description="recalled, expired, dropped or discarded")


class Recipient(Schema):
    """What became of a message for a recipient."""

    uid: str
    name: str
    username: str | None
    state: str
    devices: list[Device]


class MessagePage(Schema):
    """Some messages, newest first. Ask for more with `after`, unless `next` is null."""

    items: list[Message]
    next: str | None


class RecipientPage(Schema):
    """Some recipients. Ask for more with `after`, unless `next` is null."""

    items: list[Recipient]
    next: str | None


class Recalled(Schema):
    """The number of devices and mailboxes that lost the message, and of those that keep it."""

    taken_back: int
    kept: int


Joining = Literal["invited", "closed", "anyone"]
Right = Literal["members", "moderators"]


class Rules(Input):
    """The rules of a group. What is left out stays as it is."""

    joining: Joining | None = Field(
        default=None, description="who may join: whom members or moderators invite, or anyone"
    )
    posting: Right | None = Field(default=None, description="who may write")
    barring: Right | None = Field(default=None, description="who may bar members")

    @model_validator(mode="before")
    @classmethod
    def _no_null(cls, data: Any) -> Any:
        if isinstance(data, dict) and None in data.values():
            raise ValueError("leave out what is not to change, instead of null")
        return data


class NewGroup(Rules):
    """A group to be created. Its owner and first member is the site."""

    gid: Short = Field(description="the name of the group")


class Group(Schema):
    """A group of this token."""

    id: int
    gid: str
    joining: Joining
    posting: Right
    barring: Right


class GroupPage(Schema):
    """Some groups. Ask for more with `after`, unless `next` is null."""

    items: list[Group]
    next: str | None


class Member(Schema):
    """A member of a group, under the name that the member has there."""

    uid: str
    name: str
    status: Literal["invited", "joined", "barred"]
    role: Literal["member", "moderator", "owner"]


class MemberPage(Schema):
    """Some members. Ask for more with `after`, unless `next` is null."""

    items: list[Member]
    next: str | None


class Added(Input):
    """Who is to be a member."""

    people: People


class Removed(Input):
    """Who is to leave. A barred member cannot join again until invited."""

    people: People
    bar: bool = False


class NewRole(Input):
    """Which role members get. A new owner takes the place of the old one."""

    people: People
    role: Literal["member", "moderator", "owner"]


class Changed(Schema):
    """The uids of those it was done to."""

    uids: list[str]


class NewUser(Input):
    """A user of your own site. Ask again with the same id: nothing is created twice."""

    external_id: Short = Field(description="what you call the user")
    name: str = Field(default="", max_length=255, description="under which others can write to the user")


class User(Schema):
    """A user in messaging."""

    uid: str
    name: str = Field(description="the oldest name, or the uid")
    names: list[str]
    external_id: str | None = Field(description="what you call the user, if you have created them")
    devices: int


class ExternalId(Input):
    """A user that you have created."""

    external_id: Short


class NewDevice(ExternalId):
    """A device of a user that you have created."""

    label: Short = Field(description="a name for the device")


class DeviceKey(Schema):
    """What a program for messages needs to log in. The secret, `nodeid`, cannot be read again."""

    uid: str
    nodeid: str
    address: str = Field(description="HOST:PORT of the service; empty if the site does not say it")


class ErrorDetail(Schema):
    """What is wrong with a part of a request."""

    where: str
    text: str


class Error(Schema):
    """Why a request was not carried out. The code is for programs, the text for people."""

    code: str
    text: str
    details: list[ErrorDetail]
