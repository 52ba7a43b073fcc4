"""Services: the functions that change the models. The protocol, views, the admin and tasks all call them.

No other code writes to the models. A service is a plain synchronous function. It runs in the caller's transaction or
in one of its own (see `queue.batch`). If it cannot do what it is asked for, it raises `Refused` and changes nothing.
Services that only the store calls (`users.log_in`, `posting.post`) need a transaction of the caller's.
"""
