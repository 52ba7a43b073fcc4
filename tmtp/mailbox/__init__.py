"""A member's mailbox in the browser.

The mailbox is a node of the member's (`tmtp.services.people.placeholders.mailbox_of`), and its queue is what is in it:
no message is stored twice. What pages need to be fast is an index beside it (`models`, `search`), filled from new
entries as pages are asked for and cleaned when a message is gone (`index`). It can be thrown away at any time but for
one thing: when a message was read.
"""

NEWS = "live/mailbox"  # the path of the WebSocket that tells pages when something has come
