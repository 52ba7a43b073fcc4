"""Faults under load: servers are killed, stopped and cut off from the power while clients keep a ledger.

python -m tmtp.tests.faults          all faults, many rounds each, and a table (`make faults`)
tmtp/tests/test_faults.py            a short selection, and servers with a bug, which the ledger must notice
"""
