"""What workers do: answers to the site, broadcasts, retries, expiry, notices by e-mail. Also the e-mail backend."""
