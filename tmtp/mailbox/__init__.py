"""A mailbox in the browser for each member.

The mailbox is a node of the member's (`tmtp.services.people.placeholders.mailbox_of`). Its messages are those in its
queue, so no message is stored twice. For fast pages there is an index of them (`models`, `search`), which is updated
when pages are requested (`index`). It can be built anew at any time, except for the times at which messages were read.
"""

NEWS = "live/mailbox"  # the path of the WebSocket that tells pages when something has come
