"""BibTeX entries that several tasks share."""

CONDITIONAL_WASSERSTEIN = """@article{chemseddine2025conditional,
  title   = {Conditional {W}asserstein Distances with Applications in {B}ayesian {OT} Flow
             Matching},
  author  = {Chemseddine, Jannis and Hagemann, Paul and Steidl, Gabriele and Wald, Christian},
  journal = {Journal of Machine Learning Research},
  volume  = {26},
  number  = {141},
  year    = {2025},
  url     = {https://arxiv.org/abs/2403.18705}
}"""
