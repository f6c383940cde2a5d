"""The pair critic of Deep Bayesian Inversion: it judges two samples of one observation at once.

    1/2 E[D((x, G_1), y) + D((G_1, x), y)] - E[D((G_1, G_2), y)]

`cwgan` with `critic = pair`, and the paper's drift and critic steps; penalty weight and learning
rate are those that the search in `results/defaults.csv` found for `cwgan`.

Deep Bayesian Inversion (Adler and Oektem, 2018), https://arxiv.org/abs/1811.05910
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from cwbench.method import MethodInfo
from cwbench_baselines.cwgan import ConditionalWassersteinGAN, WassersteinGANParams


class PairCriticParams(WassersteinGANParams):
    """Settings of the pair critic."""

    critic: Literal["single", "pair"] = Field("pair", description="samples judged at once")


class PairCriticWassersteinGAN(ConditionalWassersteinGAN):
    """A generator against a critic of pairs, which catches one that ignores z."""

    info = MethodInfo(
        name="cwgan-pair",
        version=3,
        title="Conditional Wasserstein GAN with a pair critic (Deep Bayesian Inversion)",
        citation="adler2018deep",
    )
    Params: ClassVar[type[PairCriticParams]] = PairCriticParams
    params: PairCriticParams
