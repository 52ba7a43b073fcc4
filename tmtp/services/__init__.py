"""The verbs on the models: plain synchronous functions, called alike by the protocol, views, the admin and tasks.

They are the only writers. Each runs in the caller's transaction, raises `Refused` when it cannot be done, and
then has changed nothing.
"""
