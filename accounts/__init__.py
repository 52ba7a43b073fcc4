"""People on the website: what a member sees and does in a browser."""
