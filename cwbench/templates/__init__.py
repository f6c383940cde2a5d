"""What a new plugin starts from, and the command that copies it."""
