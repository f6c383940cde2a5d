"""Many runs: the matrix, its workers and the engines that carry them out."""
