"""What members write to the site: a worker gives each message to the function that TMTP_DELIVERY["HANDLER"] names.

`messages` is what the function gets, `handling` calls it, `models` remembers its failures, `admin` shows them.
"""
