"""plugin-name, a method for cwbench."""
