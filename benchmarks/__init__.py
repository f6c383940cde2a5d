"""Speed, measured side by side: ratios of two things timed in turns in one process.

`python -m benchmarks` prints all of them with their targets and the machine; `--only NAME` picks
one.
"""
