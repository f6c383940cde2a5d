"""A preset: the named size of an experiment, equal for every method that is judged on it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt

NFE = PositiveInt | Literal["adaptive"]
"""Evaluations of the velocity network per sample, or the adaptive solver."""

NOT_KEYED = {"nfe", "metrics", "follow", "follow_metric", "follow_images"}
"""Preset values that decide what is computed from a fit, not the fit."""


def _split(value: Any) -> Any:
    """Accept `1,3,adaptive` from the command line where a tuple is meant."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


class Preset(BaseModel):
    """Budget and sizes of a run.

    A *network pass* is one forward of one example; its backward counts two. The budget is
    `3 * steps * batch_size` passes, whatever a method spends them on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    training_pairs: PositiveInt = Field(description="joint samples (x, y) in the training set")
    steps: PositiveInt = Field(description="optimiser steps of a flow on one batch each")
    batch_size: PositiveInt = Field(200, description="pairs in a network batch")
    width: PositiveInt = Field(256, description="units in a hidden layer")
    depth: PositiveInt = Field(3, description="hidden layers")
    activation: Literal["silu", "leaky-relu", "gelu"] = Field(
        "silu", description="between the layers of an mlp"
    )
    network: Literal[
        "auto", "mlp", "residual", "convolutional", "unet-small", "unet-192", "unet-256"
    ] = Field(
        "auto",
        description="auto is convolutional for images of at least 12x12 pixels that have A^T y or "
        "classes, else mlp; residual is an mlp of residual blocks, its hidden layers four times "
        "the width; unet-* are diffusers' U-Nets, see cwbench.training.unet",
    )
    learning_rate: float | None = Field(
        None, gt=0, description="overrides the family's own, where a paper fixes it"
    )
    warmup: Annotated[int, Field(ge=0)] = Field(
        0, description="steps over which the learning rate rises from 0"
    )
    average: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="overrides the family's decay of averaged weights, where a paper fixes it",
    )
    gradient_clip: float | None = Field(
        None,
        gt=0,
        description="overrides the family's largest norm of the gradient, where a paper fixes it",
    )
    beta_2: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="overrides Adam's second decay, where a paper fixes it",
    )
    bfloat16: bool = Field(False, description="training steps in mixed precision")
    compiled: bool = Field(False, description="U-Nets are compiled by torch")
    decay: bool = Field(True, description="learning rate falls linearly to 0 over the last 70 %")
    standardise: bool = Field(
        True,
        description="x and y are standardised for training and couplings, and a task's own latents "
        "as x; false leaves them raw, where a paper does",
    )
    validation_pairs: Annotated[int, Field(ge=0)] = Field(
        0,
        description="held-out pairs on which flows choose their network, once an epoch, where a "
        "paper does so; 0 judges the last step",
    )
    observations: Annotated[int, Field(ge=2)] = Field(
        description="observations y a run is judged on"
    )
    samples: Annotated[int, Field(ge=2)] = Field(
        description="n: posterior samples a side in every distance (2n are drawn)"
    )
    images: Annotated[int, Field(ge=0)] = Field(
        0,
        description="images generated for each metric of labelled images",
    )
    follow: Annotated[int, Field(ge=0)] = Field(
        0,
        description="how often a metric of labelled images is taken in a fit, for a figure; it "
        "changes nothing of the fit",
    )
    follow_metric: str | None = Field(None, description="which; none is the task's main metric")
    follow_images: PositiveInt | None = Field(
        None,
        description="on how many images, at the first NFE of the grid; none is `images`",
    )
    split: Literal["test", "dev"] = Field("test", description="which held-out observations")
    nfe: Annotated[tuple[NFE, ...], BeforeValidator(_split)] = Field(
        (1, 3, 10, "adaptive"), min_length=1, description="the NFE grid of samplers that have one"
    )
    metrics: Annotated[tuple[str, ...], BeforeValidator(_split)] = Field(
        (), description="opt-in metrics computed besides the default ones"
    )


def vector_presets(**overrides: dict[str, Any]) -> dict[str, Preset]:
    """The presets that all vector tasks share; `overrides` changes or adds some by name.

    Raises:
        pydantic.ValidationError: if an override is not a preset value.
    """
    values: dict[str, dict[str, Any]] = {
        "smoke": {
            "training_pairs": 2_000, "steps": 200, "width": 64, "depth": 2,
            "observations": 8, "samples": 100, "nfe": (1, 3, "adaptive"),
        },
        "quick": {
            "training_pairs": 20_000, "steps": 5_000, "observations": 50, "samples": 500,
        },
        "ladder": {
            "training_pairs": 20_000, "steps": 5_000, "observations": 30, "samples": 200,
        },
        "standard": {
            "training_pairs": 100_000, "steps": 20_000, "observations": 100, "samples": 500,
            "nfe": (1, 2, 3, 5, 10, 25, "adaptive"),
        },
    }  # fmt: skip
    for name, override in overrides.items():
        values[name] = values.get(name, {}) | override
    return {name: Preset(**value) for name, value in values.items()}
