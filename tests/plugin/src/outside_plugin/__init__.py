"""A task and a method that live outside cwbench, as a user would package them."""
