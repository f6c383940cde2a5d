"""plugin-name, a task for cwbench."""
