"""Detectors and segmenters of others as models: by name, by file, with their classes, completely or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models import detection, get_model_weights, segmentation

import tagwise
from tagwise.base.errors import TagwiseError, UsageError
from tagwise.base.settings import to_plain
from tagwise.localise.models import load_located
from tagwise.localise.recognising import recognise_net
from tagwise.localise.released import RELEASED, layout_of, tells_where
from tagwise.localise.task import backbone_of
from tagwise.nets import build
from tagwise.nets.designs import find_design
from tagwise.training.heads import Sizing
from tagwise.verbs.locate import start_of
from tests.localise.drawn_target import write_target
from tests.localise.small_detectors import pictures
from tests.references.coco import need
from tests.verbs.located_models import write_detector

DETECTORS = [name for name, row in RELEASED.items() if row.detector is not None]
SEGMENTERS = [name for name, row in RELEASED.items() if row.segmenter is not None]


def drawn(net: nn.Module) -> Any:
    """With statistics of its own."""
    for name, values in net.named_buffers():
        if name.endswith("running_var"):
            nn.init.uniform_(values, 0.5, 1.5)
        elif name.endswith("running_mean"):
            nn.init.normal_(values, std=0.1)
    return net.eval()


def fine_tuned() -> Any:
    """A Faster R-CNN of torchvision with two classes, that tells a few boxes of small pictures."""
    torch.manual_seed(0)
    few = {"min_size": 96, "max_size": 128, "box_score_thresh": 0.0, "rpn_post_nms_top_n_test": 20}
    return drawn(detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=3, **few))


@pytest.fixture(scope="module")
def faster(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    theirs, path = fine_tuned(), tmp_path_factory.mktemp("others") / "fine_tuned.pth"
    torch.save({"model": theirs.state_dict(), "epoch": 25}, path)
    return theirs, path


def shown_alike(net: Any) -> Any:
    """Small pictures and all boxes, as ``fine_tuned`` has them."""
    net.transform.min_size, net.transform.max_size = (96,), 128
    net.roi_heads.score_thresh, net.rpn._post_nms_top_n["testing"] = 0.0, 20
    return net


def test_l20_a_file_of_torchvisions_gives_its_outputs(faster: tuple[Any, Path]) -> None:
    theirs, path = faster
    model = load_located(path, classes=["square", "disc"])
    assert [(one.id, one.name) for one in model.categories] == [(1, "square"), (2, "disc")]
    assert model.facts.sizing is not None
    assert (model.facts.sizing.antialiased, model.facts.licence, model.published) == (False, "unknown", "")
    with torch.no_grad():
        for one, other in zip(theirs(pictures()[0]), shown_alike(model.net)(pictures()[0]), strict=True):
            assert len(one["boxes"])
            for name, expected in one.items():
                torch.testing.assert_close(other[name], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", SEGMENTERS)
def test_l20_segmenters_of_torchvision_give_its_outputs(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = drawn(getattr(segmentation, name)(weights=None, weights_backbone=None, aux_loss="50" in name))
    torch.save(theirs.state_dict(), tmp_path / "own.pth")
    model = load_located(tmp_path / "own.pth")
    assert model.facts.segmenter is not None
    assert model.facts.segmenter.kind == name.partition("_")[0]
    assert (model.facts.classes or ())[::20] == ("background", "tvmonitor")
    with torch.no_grad():
        images_BCHW = torch.rand(1, 3, 64, 48)
        expected, found = theirs(images_BCHW), model.net(images_BCHW)
    assert expected.keys() == found.keys()
    for part, logits in expected.items():
        torch.testing.assert_close(found[part], logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", RELEASED)
def test_l20_what_a_released_file_is_is_read_off_its_tensors(name: str) -> None:
    """And files, scores and hashes are those of torchvision's enum."""
    row = RELEASED[name]
    more = {"aux_loss": True} if row.segmenter is not None else {}
    with torch.device("meta"):
        theirs = getattr(detection if row.detector else segmentation, name)(weights=None, weights_backbone=None, **more)
    state = theirs.state_dict()
    layout = layout_of(list(state))
    assert layout is not None
    known = recognise_net(state, layout, None, name)
    assert (known.detector, known.segmenter) == (row.detector, row.segmenter)
    assert (known.num_classes, known.num_keypoints) == (row.num_classes, row.num_keypoints)
    assert known.design == find_design(row.design)
    weights: Any = get_model_weights(name)
    assert weights.DEFAULT.url == row.url
    assert row.epsilon == (0.0 if row.detector and not name.endswith("v2") else 1e-5)
    words = {"box_map": "box AP", "mask_map": "mask AP", "kp_map": "keypoint AP", "miou": "mean IoU"}
    words |= {"pixel_acc": "pixel accuracy"}
    (metrics,) = weights.DEFAULT.meta["_metrics"].values()
    assert row.scores == ", ".join(f"{words[kind]} {value}" for kind, value in metrics.items())


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faster: tuple[Any, Path]) -> Iterator[Path]:
    """A folder that a server on this machine gives out; a released detector's file is to come from there."""
    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("TAGWISE_OFFLINE", raising=False)
    handler = type("Silent", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    monkeypatch.setenv("TAGWISE_MIRROR", f"http://127.0.0.1:{server.server_port}")
    yield folder
    server.shutdown()
    server.server_close()
    thread.join()


def published(served: Path, monkeypatch: pytest.MonkeyPatch, state: dict[str, Tensor], digest: str = "") -> str:
    """Lets the server have a file of a released name, under its hash or another one."""
    name = "retinanet_resnet50_fpn"
    torch.save(state, served / "whole.pth")
    digest = digest or hashlib.sha256((served / "whole.pth").read_bytes()).hexdigest()[:8]
    row = dataclasses.replace(RELEASED[name], file=f"{name}_coco-{digest}.pth")
    monkeypatch.setitem(RELEASED, name, row)
    (served / "whole.pth").rename(served / row.file)
    return name


def test_l20_a_released_detector_comes_by_its_name_with_cocos_ids_and_its_score(
    served: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    theirs = drawn(detection.retinanet_resnet50_fpn(weights=None, weights_backbone=None))
    name = published(served, monkeypatch, theirs.state_dict())
    assert tells_where(name)
    model = load_located(name)
    assert (model.name, model.published) == (name, "published by torchvision: box AP 36.4 on COCO's val2017")
    ids = {one.name: one.id for one in model.categories}
    assert [ids[kind] for kind in ("person", "stop sign", "toothbrush")] == [1, 13, 90]
    assert [one.id for one in model.categories] == list(range(1, 91))
    assert sum(one.name.startswith("N/A") for one in model.categories) == 10
    own, var = backbone_of(model.net).bn1.running_var, theirs.backbone.body.bn1.running_var
    torch.testing.assert_close(own, var - 1e-5, rtol=0, atol=1e-8)  # its norms add nothing to the variance
    cached = next(tmp_path.glob("torch/hub/checkpoints/*.pth"))
    assert load_located(cached).published == model.published, "a published file is known wherever it lies"


def test_l20_a_file_with_another_hash_is_refused(
    served: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, faster: tuple[Any, Path]
) -> None:
    name = published(served, monkeypatch, {"a": torch.zeros(1)}, digest="0badc0de")
    with pytest.raises(TagwiseError, match="not 0badc0de"):
        load_located(name)
    (served / RELEASED[name].file).rename(tmp_path / RELEASED[name].file)
    with pytest.raises(TagwiseError, match="damaged or not what its name says"):
        load_located(tmp_path / RELEASED[name].file)
    assert not list(tmp_path.glob("torch/hub/checkpoints/*.pth"))


class Hostile:
    def __reduce__(self) -> Any:
        return os.system, ("touch hostile",)


def test_l20_a_file_that_wants_to_run_code_is_refused(
    faster: tuple[Any, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(faster[0].state_dict() | {"evil": Hostile()}, "evil.pth")
    Image.new("RGB", (8, 8)).save("a.png")
    for opening in (load_located, lambda path: tagwise.predict(["a.png"], model=path)):
        with pytest.raises(TagwiseError, match=r"evil.pth wants \w+.system to run while it is read, which is refused"):
            opening("evil.pth")
    assert not Path("hostile").exists()


def test_l20_what_does_not_fit_is_named(faster: tuple[Any, Path], tmp_path: Path) -> None:
    state = faster[0].state_dict()
    del state["rpn.head.bbox_pred.bias"]
    torch.save(state | {"teacher.weight": torch.zeros(1)}, tmp_path / "odd.pth")
    with pytest.raises(TagwiseError, match=r"1 missing: rpn.head.bbox_pred.bias; 1 left over: teacher.weight"):
        load_located(tmp_path / "odd.pth")
    with pytest.raises(UsageError, match=r"1 classes are named and fine_tuned.pth has 2 outputs beside the"):
        load_located(faster[1], classes=["one"])


def test_nets_of_whole_pictures_are_told_apart(faster: tuple[Any, Path], tmp_path: Path) -> None:
    torch.save(build(find_design("resnet18"), num_classes=3).state_dict(), tmp_path / "tags.pth")
    (tmp_path / "torn.pth").write_bytes(b"PK")
    assert tells_where(faster[1])
    for thing in (tmp_path / "tags.pth", tmp_path / "torn.pth", tmp_path, "resnet50", tmp_path / "none.pth"):
        assert not tells_where(thing)


def test_predict_takes_a_file_of_torchvisions(
    faster: tuple[Any, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "names.txt").write_text("square\ndisc\n")
    monkeypatch.setattr("tagwise.localise.foreign_facts.Sizing", small_sizing)
    done: Any = tagwise.predict(
        [tmp_path / "a.png"], model=faster[1], classes=tmp_path / "names.txt", threshold=0.0, device="cpu"
    )
    (answer,) = done.answers
    assert answer.problem is None
    assert all(one.name in ("square", "disc") for one in answer.objects)


def small_sizing(**settings: Any) -> Any:
    return Sizing(**{**settings, "shorter": (96,), "longest": 128, "test_shorter": 96, "test_longest": 128})


def test_evaluate_tells_the_publishers_numbers_beside_its_own(
    faster: tuple[Any, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("pycocotools")
    (tmp_path / "names.txt").write_text("square\ndisc\n")
    monkeypatch.setattr("tagwise.localise.foreign_facts.Sizing", small_sizing)
    digest = hashlib.sha256(faster[1].read_bytes()).hexdigest()[:8]
    row = dataclasses.replace(RELEASED["fasterrcnn_resnet50_fpn"], file=f"own-{digest}.pth")
    monkeypatch.setitem(RELEASED, "fasterrcnn_resnet50_fpn", row)
    target = write_target(tmp_path / "target", train=2, val=2)
    done: Any = tagwise.evaluate(target, model=faster[1], classes=tmp_path / "names.txt", device="cpu")
    assert done.published == "published by torchvision: box AP 37.0 on COCO's val2017"
    assert str(done).splitlines()[1] == done.published
    assert done.absent == ()


def test_a_checkpoint_of_a_detectors_run_is_the_model_that_it_would_become(tmp_path: Path) -> None:
    path = write_detector(tmp_path / "own.safetensors")
    own = load_located(path)
    facts = dataclasses.replace(own.facts, lineage=("drawn, 8 pictures seen",))
    state = {"net": own.net.state_dict(), "mean": None, "seen": 4, "facts": json.dumps(to_plain(facts))}
    torch.save(state, tmp_path / "0004.pt")
    assert tells_where(tmp_path / "0004.pt")
    taken = load_located(tmp_path / "0004.pt")
    assert taken.facts.lineage == ("drawn, 8 pictures seen, taken after 4",)
    assert all(torch.equal(value, taken.net.state_dict()[name]) for name, value in own.net.state_dict().items())


def test_a_training_begins_with_all_tensors_of_a_file_that_fit(faster: tuple[Any, Path], tmp_path: Path) -> None:
    target = write_target(tmp_path / "target", train=2, val=2)
    start = start_of(faster[1])
    assert start is not None
    assert start.facts.design == find_design("resnet50")
    done: Any = tagwise.train(target, head="faster", from_=faster[1], dry_run=True, out=tmp_path / "run", device="cpu")
    assert any("fine_tuned" in value for value in done.facts.values())


def test_models_lists_what_tells_where_things_are() -> None:
    found = tagwise.models("fasterrcnn*")
    assert [one.name for one in found.locating] == ["fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2"]
    assert "box AP 46.7 on COCO's val2017" in str(found)
