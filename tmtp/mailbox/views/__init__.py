"""The views of the mailbox: reading, writing and downloads."""
