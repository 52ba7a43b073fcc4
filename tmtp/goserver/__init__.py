"""The data directory of a Go server, mnm v0.2: read it, and import it (docs/decisions/0027-import-and-api.md)."""
