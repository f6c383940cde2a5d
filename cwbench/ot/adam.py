"""Adam and AdamW of torch, step for step, without torch's compiler.

torch's own optimisers import the compiler at their first call, only to keep it away from
themselves. That takes every process that trains about two seconds; here nothing is compiled.
"""

from __future__ import annotations

from inspect import unwrap

import torch
from torch.optim import Optimizer


class _NotCompiled(Optimizer):
    """The methods that import the compiler, without what is wrapped around them."""

    add_param_group = unwrap(Optimizer.add_param_group)
    zero_grad = unwrap(Optimizer.zero_grad)
    state_dict = unwrap(Optimizer.state_dict)
    load_state_dict = unwrap(Optimizer.load_state_dict)


class Adam(_NotCompiled, torch.optim.Adam):
    """`torch.optim.Adam`."""

    step = torch.no_grad()(unwrap(torch.optim.Adam.step))


class AdamW(_NotCompiled, torch.optim.AdamW):
    """`torch.optim.AdamW`."""

    step = torch.no_grad()(unwrap(torch.optim.AdamW.step))
