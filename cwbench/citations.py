"""BibTeX of the suite, of the theory that it measures by, and of the papers behind its metrics."""

from __future__ import annotations

from cwbench.version import VERSION

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

SUITE = f"""@software{{cwbench,
  title   = {{cwbench: benchmark of conditional generative methods by their posteriors}},
  author  = {{{{The cwbench developers}}}},
  version = {{{VERSION}}},
  year    = {{2026}}
}}"""

C2OT = """@inproceedings{cheng2025curse,
  title     = {The Curse of Conditions: Analyzing and Improving Optimal Transport for Conditional
               Flow-Based Generation},
  author    = {Cheng, Ho Kei and Schwing, Alexander},
  booktitle = {IEEE/CVF International Conference on Computer Vision},
  year      = {2025},
  url       = {https://arxiv.org/abs/2503.10636}
}"""

CALIBRATION = """@article{talts2018validating,
  title   = {Validating {B}ayesian Inference Algorithms with Simulation-Based Calibration},
  author  = {Talts, Sean and Betancourt, Michael and Simpson, Daniel and Vehtari, Aki and
             Gelman, Andrew},
  journal = {arXiv preprint arXiv:1804.06788},
  year    = {2018},
  url     = {https://arxiv.org/abs/1804.06788}
}

@article{modrak2023simulation,
  title   = {Simulation-Based Calibration Checking for {B}ayesian Computation: The Choice of Test
             Quantities Shapes Sensitivity},
  author  = {Modr{\\'a}k, Martin and Moon, Angie H. and Kim, Shinyoung and B{\\"u}rkner, Paul and
             Huurre, Niko and Faltejskov{\\'a}, Kate{\\v r}ina and Gelman, Andrew and Vehtari, Aki},
  journal = {Bayesian Analysis},
  year    = {2023},
  url     = {https://arxiv.org/abs/2211.02383}
}"""

ENERGY = """@article{szekely2013energy,
  title   = {Energy Statistics: A Class of Statistics Based on Distances},
  author  = {Sz{\\'e}kely, G{\\'a}bor J. and Rizzo, Maria L.},
  journal = {Journal of Statistical Planning and Inference},
  volume  = {143},
  number  = {8},
  pages   = {1249--1272},
  year    = {2013},
  url     = {https://doi.org/10.1016/j.jspi.2013.03.018}
}"""

SBIBM = """@inproceedings{lueckmann2021benchmarking,
  title     = {Benchmarking Simulation-Based Inference},
  author    = {Lueckmann, Jan-Matthis and Boelts, Jan and Greenberg, David and
               Goncalves, Pedro and Macke, Jakob},
  booktitle = {International Conference on Artificial Intelligence and Statistics},
  series    = {Proceedings of Machine Learning Research},
  volume    = {130},
  pages     = {343--351},
  year      = {2021},
  url       = {https://arxiv.org/abs/2101.04653}
}"""

SCORES = """@article{gneiting2007strictly,
  title   = {Strictly Proper Scoring Rules, Prediction, and Estimation},
  author  = {Gneiting, Tilmann and Raftery, Adrian E.},
  journal = {Journal of the American Statistical Association},
  volume  = {102},
  number  = {477},
  pages   = {359--378},
  year    = {2007},
  url     = {https://doi.org/10.1198/016214506000001437}
}"""

SLICED = """@article{bonneel2015sliced,
  title   = {Sliced and {R}adon {W}asserstein Barycenters of Measures},
  author  = {Bonneel, Nicolas and Rabin, Julien and Peyr{\\'e}, Gabriel and Pfister, Hanspeter},
  journal = {Journal of Mathematical Imaging and Vision},
  volume  = {51},
  number  = {1},
  pages   = {22--45},
  year    = {2015},
  url     = {https://doi.org/10.1007/s10851-014-0506-3}
}"""

STRUCTURAL_SIMILARITY = """@article{wang2004image,
  title   = {Image Quality Assessment: From Error Visibility to Structural Similarity},
  author  = {Wang, Zhou and Bovik, Alan C. and Sheikh, Hamid R. and Simoncelli, Eero P.},
  journal = {IEEE Transactions on Image Processing},
  volume  = {13},
  number  = {4},
  pages   = {600--612},
  year    = {2004},
  url     = {https://doi.org/10.1109/TIP.2003.819861}
}"""

TARP = """@inproceedings{lemos2023sampling,
  title     = {Sampling-Based Accuracy Testing of Posterior Estimators for General Inference},
  author    = {Lemos, Pablo and Coogan, Adam and Hezaveh, Yashar and Perreault-Levasseur, Laurence},
  booktitle = {International Conference on Machine Learning},
  year      = {2023},
  url       = {https://arxiv.org/abs/2302.03026}
}"""
