"""The views: a member's preferences, what scripts of pages ask for, the end of the digest, and installing."""
