"""What servers count and measure: written by them, read by everything that shows it."""
