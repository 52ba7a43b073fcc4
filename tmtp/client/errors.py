"""The errors of a client. All are ClientError. `LinkEnded` is not among them: a client connects again."""

from __future__ import annotations


class ClientError(Exception):
    """The client cannot go on, or could not do what it was asked for. The text says why, and what to do."""


class RequestRefused(ClientError):
    """The server has refused a request, which has had no effect. The text is the server's reason."""


class LoginRefused(ClientError):
    """The server does not let this device log in or register."""


class AliasRefused(ClientError):
    """The alias is taken, or is not one. The device is registered all the same."""


class CertificateRefused(ClientError):
    """The server's certificate is not the one that this device trusts."""


class NotADeviceFile(ClientError):
    """The device's file cannot be read or written."""
