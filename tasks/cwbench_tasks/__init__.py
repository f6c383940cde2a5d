"""The tasks that come with cwbench, one a file."""
