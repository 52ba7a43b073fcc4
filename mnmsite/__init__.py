"""The deployable site: settings from the environment, HTTP and TCP routes, and the command `serve`."""
