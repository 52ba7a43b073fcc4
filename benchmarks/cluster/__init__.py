"""Measure servers of several processes, and several servers over one PostgreSQL."""
