"""A device on which tensors have shapes and types and no values: what a GPU refuses is refused there, too.

It stands for a GPU where there is none. Its tensors are torch's fake ones. Together with a tensor of the host
they are an error, as on a GPU, and so is asking for a value, for which a GPU would have to be waited for. Its
autocast follows CUDA's lists of operations (torch's documentation, "CUDA Ops that can autocast"), as far as
they occur here.

To be used in a process of its own: torch cannot forget a device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import backend_registration

NAME = "pretended"
DEVICE = torch.device("cpu")
"""The device itself, once `register` was called."""

IN_BFLOAT16 = ("conv2d", "conv_transpose2d.input", "linear", "matmul", "mm", "bmm", "addmm", "baddbmm")
IN_FLOAT32 = (
    "binary_cross_entropy_with_logits", "cdist", "cosine_similarity", "cumsum", "exp", "expm1", "log",
    "log_softmax.int", "mse_loss", "nll_loss", "norm.Scalar", "pow.Tensor_Scalar", "pow.Tensor_Tensor",
    "prod", "rsqrt", "smooth_l1_loss", "softmax.int", "softplus", "sum", "sum.dim_IntList",
)  # fmt: skip


class _Module(backend_registration._DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


_libraries: list[Any] = []  # a library's operations go with it


def register() -> torch.device:
    """Make the device known to torch, for good."""
    global DEVICE
    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
    DEVICE = torch.device(NAME, 0)
    rest = torch.library.Library("_", "IMPL")
    rest.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    listed = torch.library.Library("aten", "IMPL")
    for names, kind in ((IN_BFLOAT16, torch.bfloat16), (IN_FLOAT32, torch.float32)):
        for name in names:
            packet, _, overload = name.partition(".")
            operation = getattr(getattr(torch.ops.aten, packet), overload or "default")
            listed.impl(name, _cast(operation, kind), "AutocastPrivateUse1")
    _libraries.extend((rest, listed))
    return DEVICE


def _cast(operation: Callable[..., Any], kind: torch.dtype) -> Callable[..., Any]:
    def to_kind(value: Any) -> Any:
        floating = isinstance(value, Tensor) and value.is_floating_point() and value.dtype != torch.float64
        return value.to(kind) if floating else value

    def cast(*given: Any, **named: Any) -> Any:
        keys = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)
        with torch._C._ExcludeDispatchKeyGuard(keys):
            return operation(*map(to_kind, given), **{name: to_kind(value) for name, value in named.items()})

    return cast


@contextmanager
def in_use() -> Iterator[None]:
    """Within, tensors are made on the device, and backward passes run."""
    usual = torch.tensor

    def tensor(data: Any, *, device: Any = None, **named: Any) -> Tensor:
        """Its shape: the numbers would have to be copied to the device, which takes none."""
        made = usual(data, **named)
        return made if device is None else torch.empty(made.shape, dtype=made.dtype, device=device)

    torch.tensor = tensor
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), torch.autograd.set_multithreading_enabled(False):
            yield
    finally:
        torch.tensor = usual


def move(model: nn.Module) -> None:
    """Put parameters and buffers of a module on the device; `Module.to` cannot, and changes nothing after."""
    model.to = lambda *_, **__: model  # type: ignore[method-assign]
    for module in model.modules():
        for name, values in module._parameters.items():
            if values is not None:
                moved = torch.empty_like(values, device=DEVICE)
                module._parameters[name] = nn.Parameter(moved, requires_grad=values.requires_grad)
        for name, values in module._buffers.items():
            if values is not None:
                module._buffers[name] = torch.empty_like(values, device=DEVICE)
