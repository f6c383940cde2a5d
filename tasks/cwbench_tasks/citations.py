"""BibTeX entries that several tasks share."""

from cwbench.citations import CONDITIONAL_WASSERSTEIN

__all__ = ["CONDITIONAL_WASSERSTEIN"]
