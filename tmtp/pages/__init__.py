"""Pages on which members manage their devices, names, groups and privacy."""
