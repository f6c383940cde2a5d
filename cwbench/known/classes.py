"""What a method may use beyond pairs, in words, and the classes that are compared within."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from cwbench.errors import ContractError

Need = Literal[
    "likelihood", "operator", "denoiser", "density", "posterior", "simulator", "stored-images"
]
NEEDS: tuple[Need, ...] = get_args(Need)

Sees = Literal["pairs", "+ likelihood", "+ operator", "+ exact prior"]
CLASSES: tuple[Sees, ...] = get_args(Sees)
"""From what knows least to what knows most."""

CLASS_OF: dict[Need, Sees] = {
    "likelihood": "+ likelihood",
    "operator": "+ operator",
    "denoiser": "+ exact prior",
    "density": "+ exact prior",
}


def sees(needs: Iterable[str]) -> Sees:
    """The class of a method by the most that it uses; controls that draw from the task see pairs.

    Their needs, `posterior`, `simulator` and `stored-images`, bound the scale of every class.
    """
    seen = {CLASS_OF[need] for need in NEEDS if need in set(needs) and need in CLASS_OF}
    return max(seen, key=CLASSES.index, default="pairs")


def checked_needs(needs: object, method: str) -> frozenset[Need]:
    """What a method says it needs.

    Raises:
        ContractError: if it is no set of the words there are.
    """
    if isinstance(needs, (set, frozenset)) and needs <= set(NEEDS):
        return frozenset(needs)
    raise ContractError(
        f"needs of method {method!r} returns {needs!r}; return a frozenset of {', '.join(NEEDS)}"
    )
