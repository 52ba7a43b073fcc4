"""What members write to the site: a worker gives each message to the function that TMTP_DELIVERY["HANDLER"] names.

Delivery reports go to TMTP_DELIVERY["REPORT_HANDLER"] in the same way: `report_batches` puts them into the mailbox.

`messages` is what the function gets, `handling` calls it, `models` remembers its failures, `admin` shows them.
"""
