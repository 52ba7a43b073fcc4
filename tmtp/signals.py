"""Signals for the site's code. A receiver that raises is logged, and harms nothing else.

`site_received` is sent by the server process (`runtmtp`) soon after something new waits in the mailbox of the site
itself, whichever process queued it; argument `number`: the number of the newest message there. Only a hint: several
messages may come with one signal, each running server sends its own, and one whose receiver fails is not repeated. It
comes in a thread of its own, so a receiver may use the database, but keeps the next signal waiting.

`messages_expired` is sent by the process that let messages of the site expire (`services.messages.expiry`), once that
has committed; argument `msgids`: a list of ids. Each has recipients who will not get it:
`services.queue.reports.report(msgid)`.
"""

from django.dispatch import Signal

site_received = Signal()
messages_expired = Signal()
