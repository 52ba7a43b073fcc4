"""The pages of the mailbox: to read, to write, and files to download."""
