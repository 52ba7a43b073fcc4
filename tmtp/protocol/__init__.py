"""The protocol as a pure state machine: bytes to events and back. No Django, no asyncio, no I/O."""
