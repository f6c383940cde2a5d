"""Flow matching: the shared loop, and one coupling a file."""
