"""Which device the numbers run on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tagwise.base.errors import UsageError

if TYPE_CHECKING:
    import torch


def choose_device(name: str | None = None) -> torch.device:
    """The device asked for, or the best one here: CUDA, then Apple's MPS, then the CPU.

    Raises:
        UsageError: The name is no device, or the device is not here.
    """
    import torch

    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"The device {name!r} is not here; leave --device away or give cpu.") from error
    return device


def native_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware; emulated, it is slower than float32."""
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    # torch names these checks with an underscore; where they are gone, float32 is the safe answer.
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(bool(check()) for check in checks if check is not None)
