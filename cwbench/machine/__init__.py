"""What the machine gives: processor, files, weights, signals, streams of random numbers."""
