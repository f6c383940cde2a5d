"""plugin-name, a metric for cwbench."""
