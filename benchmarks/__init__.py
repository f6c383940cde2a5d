"""Speed, measured side by side: every number is a ratio of two things timed in turns in one process.

`python -m benchmarks` prints all ratios with their targets and the machine; `--only NAME` picks one.
"""
