"""Every change to the models: plain synchronous functions, called alike by the protocol, views, the admin and tasks.

They are the only writers. Each runs in the caller's transaction, or one of its own (see `queue.batch`); raises
`Refused` when it cannot be done, and then has changed nothing. What is for the store alone (`users.log_in`,
`posting.post`) needs a transaction.
"""
