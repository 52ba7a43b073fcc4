"""Fuzzing: targets that take any octets (`targets`), and `make fuzz`, which lets atheris look for inputs that fail.

`test_fuzz.py` gives each target its seeds (`corpus`) and small changes of them, so that `make test` runs it, too.
"""
