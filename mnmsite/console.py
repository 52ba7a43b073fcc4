"""Print mails on the terminal, for trying the site out."""

from __future__ import annotations

from django.core.mail import EmailMessage
from django.core.mail.backends import console


class EmailBackend(console.EmailBackend):
    """Print mails as a person reads them. Lines are not wrapped, so that the links in them can be followed."""

    def write_message(self, message: EmailMessage) -> None:
        """Print subject, sender, recipients and text. Raise ValueError for headers that cannot be sent."""
        message.message()
        headers = {"Subject": message.subject, "From": message.from_email, "To": ", ".join(message.recipients())}
        lines = [f"{name}: {value}" for name, value in headers.items()]
        text = "\n".join([*lines, "", str(message.body), "-" * 79, ""])
        encoding = getattr(self.stream, "encoding", None) or "utf-8"  # of a console that may not be UTF-8
        self.stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
