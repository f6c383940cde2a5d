"""Records to boards: statistics, ranks, verdicts, tables and the page."""
