"""What a method needs of a task, as it declares, and why a task cannot serve it."""

from __future__ import annotations

from pydantic import BaseModel

from cwbench.errors import ContractError
from cwbench.known.classes import Need, checked_needs
from cwbench.known.offered import lacking
from cwbench.method import Method, ProblemSpec
from cwbench.task import Task


def unsupported(
    task: Task, method: type[Method], params: BaseModel, spec: ProblemSpec
) -> str | None:
    """Why a method cannot do a task: it lacks what is needed, or the method says so.

    Raises:
        ContractError: if what the method says is no reason.
    """
    reason = lacking(task, needs_of(method, params)) or method.unsupported(spec)
    if reason is not None and not isinstance(reason, str):
        kind = type(reason).__name__
        raise ContractError(f"unsupported returned a {kind}; a reason as text or None is needed")
    return reason or None


def needs_of(method: type[Method], params: BaseModel) -> frozenset[Need]:
    """What a method declares that it uses beyond pairs.

    Raises:
        ContractError: if it names something else than there is.
    """
    return checked_needs(method.needs(params), method.info.name)
