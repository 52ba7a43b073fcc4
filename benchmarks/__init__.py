"""How fast the service is, on this machine: `make bench`. Method and results are in README.md."""
