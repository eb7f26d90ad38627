"""Files of weights, and what people wrap around a state dict."""

from __future__ import annotations

import argparse
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tagwise.base.errors import TagwiseError, UsageError
from tagwise.base.progress import printable, say
from tagwise.nets.layouts.torch7_nets import read_torch7_state

_AVERAGED = ("state_dict_ema", "model_ema")
_DEEPEST = 5
_OUTER = ("state_dict", "model", "net")
_WRAPPERS = ("module.", "_orig_mod.", "model.")
_PREFIXES = (*_WRAPPERS, "backbone.", "bottom_up.", "encoder.")
_DETECTORS = re.compile(
    r"(neck|rpn_head|roi_head|bbox_head|mask_head|decode_head|auxiliary_head|proposal_generator|roi_heads|"
    r"sem_seg_head|top_block|fpn_lateral\d|fpn_output\d)\..+|pixel_mean|pixel_std"
)
"""What a detector or segmenter has beside its backbone (mmdet, mmseg, detectron2)."""
_SUFFIXES = (".safetensors", ".t7", ".pth", ".pt", ".th", ".tar", ".bin", ".ckpt", ".pkl", ".pickle")


def read_state(path: Path, *, whole: bool = False) -> dict[str, Tensor]:
    """The tensors in a file, by their names without wrappers: safetensors, PyTorch's formats or Torch7.

    Nothing in the file is run. Averaged weights are taken where a file has both, and the parts of a
    detector beside its backbone are left aside; both are said.

    Args:
        path: A ``.safetensors``, ``.t7``, ``.pth``, ``.pt``, ``.th``, ``.tar`` or ``.bin`` file.
        whole: The parts of a detector or segmenter stay, and its backbone keeps its prefix.

    Raises:
        UsageError: There is no such file, it is MXNet's, or of another kind by its name and first bytes.
        TagwiseError: It is damaged, holds no state dict, or could only be read by running its code.
    """
    if path.suffix == ".params":
        raise UsageError(
            f"{path.name} is a file of MXNet (Gluon), which is not read; its authors and timm publish the same "
            "weights as .pth or safetensors."
        )
    _refuse_at_sight(path)
    if path.suffix == ".t7":
        return read_torch7_state(path)
    return strip_wrappers(_loaded(path), str(path), whole=whole)


def tensor_names(path: Path) -> list[str]:
    """What the tensors in a file are called, inside its wrappers; none of what cannot be read."""
    try:
        _refuse_at_sight(path)
        return [] if path.suffix in (".t7", ".params") else list(map(str, _inner(_loaded(path), str(path), told=False)))
    except TagwiseError:
        return []


def _loaded(path: Path) -> Any:
    return _load_safetensors(path) if path.suffix == ".safetensors" else _load_pickle(path)


def strip_wrappers(loaded: Any, where: str = "This state dict", *, whole: bool = False) -> dict[str, Tensor]:
    """The state dict inside what ``torch.load`` gave, without outer dicts and common prefixes.

    Args:
        loaded: Usually a dict of tensors, or a checkpoint that holds one.
        where: The file, for the messages.
        whole: As for ``read_state``.

    Raises:
        TagwiseError: There is no state dict inside, or its net wants other pixels than ours.
    """
    state = _inner(loaded, where)
    if not state:
        raise TagwiseError(f"{where} holds no tensors.")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise TagwiseError(f"{where} holds no state dict: {name!r:.60} is a {type(value).__name__}.")
        if value.layout is not torch.strided or value.is_quantized:
            raise TagwiseError(f"{where} holds no plain tensors: {name:.60} is sparse or quantised; save it dense.")
    prefixes = _WRAPPERS if whole else _PREFIXES
    while (stripped := _without_prefix(state, prefixes)) is not None:
        state = stripped
    return dict(state)


def _refuse_at_sight(path: Path) -> None:
    """What the first bytes already tell."""
    if not path.is_file():
        raise UsageError(f"{path} is {'a folder' if path.is_dir() else 'not there'}; give a file of weights.")
    try:
        with path.open("rb") as handle:
            start = handle.read(64)
    except OSError as error:
        raise TagwiseError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not start:
        raise TagwiseError(f"{path} is empty; fetch it again.")
    if re.match(rb"\s*<[!?a-zA-Z]", start):  # safetensors may begin with the bytes of a space and of a <
        raise TagwiseError(f"{path} is a web page, not weights; open its address in a browser to see what it says.")
    if path.suffix.lower() not in _SUFFIXES and not start.startswith((b"PK", b"\x80")):
        raise UsageError(f"{path} is no file of weights, such as .safetensors, .pth or .pt; give one of these.")


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise TagwiseError(f"{path} cannot be read as safetensors: {printable(str(error))}; fetch it again.") from error


def _load_pickle(path: Path) -> Any:
    try:
        # The settings of a training, which timm saves beside its weights, are an inert Namespace.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Mapped, a file of gigabytes takes memory only as its tensors are used; the old format cannot be.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # torn or hostile bytes fail in the unpickler in any way
        if wanted := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise TagwiseError(
                f"{path} wants {wanted[1]} to run while it is read, which is refused; "
                "save its state_dict() alone, best as safetensors."
            ) from error
        if re.search(r"Unsupported operand 1[45]\d", str(error)):  # what protocols 4 and 5 brought into pickles
            raise TagwiseError(
                f"{path} is a pickle of protocol 4 or 5, which cannot be read without running what is in it; "
                "save its state_dict() alone, best as safetensors."
            ) from error
        torn = isinstance(error, RuntimeError)
        reason = printable(re.split(r"[.;] ", str(error))[0]) if torn else "it holds other bytes"
        raise TagwiseError(f"{path} cannot be read as PyTorch's weights: {reason}; fetch it again.") from error


def _inner(loaded: Any, where: str, *, told: bool = True) -> Mapping[Any, Any]:
    """The innermost dict of wrappers such as ``{"state_dict": {...}, "epoch": 90}``."""
    for _ in range(_DEEPEST):
        if not isinstance(loaded, Mapping):
            raise TagwiseError(f"{where} holds a {type(loaded).__name__} instead of a state dict.")
        wrapped = [key for key in (*_AVERAGED, *_OUTER) if isinstance(loaded.get(key), Mapping)]
        if not wrapped:
            return loaded
        if told and wrapped[0] in _AVERAGED:
            say(f"The averaged weights ({wrapped[0]}) are taken{', not the last ones' if wrapped[1:] else ''}.")
        loaded = loaded[wrapped[0]]
    raise TagwiseError(f"{where} wraps its state dict more than {_DEEPEST} times.")


def _without_prefix(state: Mapping[str, Tensor], prefixes: Sequence[str]) -> dict[str, Tensor] | None:
    """The state without the first prefix that most of the net has; None if there is none.

    What else stands beside the prefix stays, so that nothing unknown is lost.
    """
    for prefix in prefixes:
        inside = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
        parts = {name: tensor for name, tensor in state.items() if _DETECTORS.fullmatch(name)}
        beside = {name: state[name] for name in state if not name.startswith(prefix) and name not in parts}
        if len(inside) > len(beside) and not inside.keys() & beside.keys():
            _refuse_pixels(parts)
            if parts:
                say(f"Tensors beside the backbone, such as {next(iter(parts))}, are left aside: {len(parts)} in all.")
            return inside | beside
    return None


def _refuse_pixels(parts: Mapping[str, Tensor]) -> None:
    """A detector of detectron2 says in two buffers which pixels its backbone wants, in 0 to 255."""
    if "pixel_mean" in parts and "pixel_std" in parts:
        mean, std = (parts[name].flatten().tolist() for name in ("pixel_mean", "pixel_std"))
        if len(mean) != 3 or mean[0] < mean[-1] or not all(50 < value < 65 for value in std):
            raise TagwiseError(
                f"The backbone wants pixels with mean {mean} and deviation {std}, blue first as in Caffe; "
                "nets here see RGB, so these weights would compute something else."
            )
