"""The sessions of a member: the browsers in which they are signed in, which they can end."""
