"""The conditional Wasserstein GAN with the full gradient penalty, in (x, y) jointly.

The critic is then 1-Lipschitz in (x, y), and the game estimates the joint W_1, which may be small
though posteriors are wrong; its authors report it more accurate than the partial penalty. `cwgan`
with `gradient = full`.

Solution of physics-based inverse problems using conditional generative adversarial networks with
full gradient penalty (Ray, Murgoitio-Esandi, Dasgupta, Oberai, 2023),
https://arxiv.org/abs/2306.04895
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from cwbench.method import MethodInfo
from cwbench_baselines.cwgan import ConditionalWassersteinGAN, WassersteinGANParams


class FullPenaltyParams(WassersteinGANParams):
    """Settings of the full penalty."""

    gradient: Literal["partial", "full"] = Field("full", description="penalty in x, or (x, y)")


class FullPenaltyWassersteinGAN(ConditionalWassersteinGAN):
    """A generator against a critic that is Lipschitz in (x, y)."""

    info = MethodInfo(
        name="cwgan-full",
        version=3,
        title="Conditional Wasserstein GAN with full gradient penalty",
        citation="ray2023solution",
    )
    Params: ClassVar[type[FullPenaltyParams]] = FullPenaltyParams
    params: FullPenaltyParams
