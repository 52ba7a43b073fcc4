"""A member's devices on the website: what they are, and how to connect one."""
