"""One interface over the runtimes that execute the networks."""
