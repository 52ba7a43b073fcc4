"""Signals for the site's code. An exception in a receiver is logged, and has no other effect.

`site_received` is sent by each server process (`runtmtp`) soon after new messages wait in the site's own mailbox,
whichever process queued them. Argument: `number`, the number of the newest message. It is only a hint: one signal may
stand for several messages, each running server sends it, and it is not repeated if a receiver fails. Receivers run in
a thread and may use the database; the next signal waits for them.

`messages_arrived` is sent by each server process soon after new messages of any kind are in the database. Argument:
`number`, the number of the newest one. It is a hint like `site_received`.

`messages_expired` is sent after a process has let messages of the site expire (`services.messages.expiry`) and has
committed that. Argument: `msgids`, a list. Each of them has recipients who will never receive it; see
`services.queue.reports.report`.

`deletion_requested` is sent after it was committed that an account will be deleted (`members_data.deletion`).
Arguments: `account`, `due` (the time), and `url`, with which the member keeps the account; it may be empty.

`housekeeping` is sent about every ten seconds by each process that writes for links. A receiver deletes some rows that
its app does not need any more, and returns soon: messages wait for it. It runs in a transaction of its own.
"""

from django.dispatch import Signal

site_received = Signal()
messages_arrived = Signal()
messages_expired = Signal()
deletion_requested = Signal()
housekeeping = Signal()
