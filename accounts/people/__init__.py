"""A member among others: their aliases, groups, who sees them online, whom they block."""
