"""Whether records can be believed: what follows from what, and what is computed again."""
