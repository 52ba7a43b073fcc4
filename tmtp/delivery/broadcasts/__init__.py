"""One message to many members: written and previewed in the admin, sent by workers, a portion at a time.

`models` is what is kept, `audience` who is meant, `verbs` what can be done with a broadcast, `sending` how it gets
out, `tasks` when.
"""
