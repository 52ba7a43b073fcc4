"""Pages on which members look after their devices, names, groups and privacy."""
