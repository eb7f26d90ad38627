"""The library that computes COCO's numbers and masks: pycocotools, else faster-coco-eval; no other room asks for it."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from tagwise.base.errors import UsageError, unknown

LibraryName = Literal["pycocotools", "faster-coco-eval"]
LIBRARIES: tuple[LibraryName, ...] = get_args(LibraryName)
"""In the order in which they are asked for."""


@dataclass(frozen=True, kw_only=True)
class CocoLibrary:
    """One of the two, with the classes of its evaluation."""

    name: LibraryName
    version: str
    dataset: Callable[[], Any]
    """COCO: pictures, categories and annotations, with an index."""
    evaluation: Callable[[Any, Any, str], Any]
    """COCOeval: of a truth, detections and the kind of overlap."""
    masks: Any
    """The module of masks: encode, decode, area, toBbox, iou, merge and frPyObjects."""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def coco_library(name: LibraryName | None = None) -> CocoLibrary:
    """The library of this name, or the first that is installed.

    Raises:
        UsageError: It is not installed, or neither is, or there is none of this name.
    """
    if name is not None and name not in LIBRARIES:
        raise unknown("library", name, LIBRARIES)
    for candidate in LIBRARIES if name is None else (name,):
        try:
            return _pycocotools() if candidate == "pycocotools" else _faster_coco_eval()
        except ImportError:
            continue
    needed = " or ".join(LIBRARIES) if name is None else name
    raise UsageError(
        f"Boxes, masks and keypoints need {needed}, which is not installed: pip install 'tagwise[detection]'."
    )


def coco_masks() -> Any:
    """The module of masks of the library that is there; both give the same run lengths.

    Raises:
        UsageError: Neither library is installed.
    """
    return coco_library().masks


def _pycocotools() -> CocoLibrary:
    from pycocotools import mask
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    version = importlib.metadata.version("pycocotools")
    return CocoLibrary(name="pycocotools", version=version, dataset=COCO, evaluation=COCOeval, masks=mask)


def _faster_coco_eval() -> CocoLibrary:
    from faster_coco_eval import COCO, COCOeval_faster
    from faster_coco_eval.core import mask

    version = importlib.metadata.version("faster-coco-eval")
    return CocoLibrary(name="faster-coco-eval", version=version, dataset=COCO, evaluation=COCOeval_faster, masks=mask)
