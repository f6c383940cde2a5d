"""Names of what runs measure of their task, in the `diagnostics` of a record."""

from __future__ import annotations

POSTERIOR_VARIANCE = "task_posterior_variance"
"""The mean of tr Cov(posterior) over the judged observations, in the squared unit of distances."""
