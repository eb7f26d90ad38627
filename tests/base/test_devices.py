"""Devices: what is asked for, or a sentence."""

from __future__ import annotations

import pytest
import torch

from tagwise.base.devices import choose_device, native_bf16
from tagwise.base.errors import UsageError


def test_the_best_device_here_is_chosen() -> None:
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert choose_device().type == best
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:99", "cpu cpu"])
def test_a_device_that_is_not_here_is_wrong_use(name: str) -> None:
    with pytest.raises(UsageError, match="is not here; leave --device away or give cpu"):
        choose_device(name)


def test_bfloat16_is_native_only_where_a_check_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert native_bf16(cpu)
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    assert not native_bf16(cpu)
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert not native_bf16(cpu), "a torch without the checks"
    assert not native_bf16(torch.device("meta"))
