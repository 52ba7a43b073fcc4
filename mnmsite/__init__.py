"""The deployable site: settings from the environment, HTTP and TCP routes, and `serve`, which runs all of it."""
