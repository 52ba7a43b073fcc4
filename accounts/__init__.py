"""How members sign up and sign in on this site, and how their devices do (`accounts.provider`)."""
