"""What a caller may have switched in torch, and a run does not want: dtype, device, gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from cwbench.machine.guests import visiting


@contextmanager
def plain_torch() -> Iterator[None]:
    """Inside, float32 on the CPU is the default and gradients are on; afterwards all is as before.

    So is the working directory.
    A notebook may have called `torch.set_default_dtype`, or call a run under `torch.no_grad`,
    `torch.inference_mode` or `torch.autocast`: the numbers of a run do not depend on it.
    """
    import torch

    dtype = torch.get_default_dtype()
    with ExitStack() as stack:
        stack.enter_context(visiting())
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
