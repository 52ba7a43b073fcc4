"""One message to many members: written and previewed in the admin, sent by workers, a portion at a time.

`models` is what is stored, `audience` finds the recipients, `lifecycle` starts, pauses and cancels, `sending` sends,
`tasks` is what workers run, `reporting` counts what arrived.
"""
