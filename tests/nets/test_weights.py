"""Published weights: the table's rows, honest downloads, and models made of them."""

from __future__ import annotations

import hashlib
import io
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor

import tagwise.nets.weights as table
from tagwise.base.errors import TagwiseError, UsageError
from tagwise.base.views import View
from tagwise.nets import Weights, build, create_model, find_design, find_weights, load_weights
from tagwise.nets.designs import DESIGNS
from tagwise.nets.weights import WEIGHTS


def test_m13_every_row_is_whole_and_unique() -> None:
    for row in WEIGHTS:
        assert row.design in DESIGNS
        assert find_design(row.name) == DESIGNS[row.design], "the name of weights is also a model's name"
        assert re.fullmatch(r"[0-9a-f]{8}", row.sha256_prefix)
        assert 69 < row.top1 < 86
        assert row.timm_top1 is None or abs(row.timm_top1 - row.top1) < 1.5
        for name in (row.name, *row.aliases):
            assert find_weights(name) is row
    assert len({row.name for row in WEIGHTS}) == len({row.url for row in WEIGHTS}) == len(WEIGHTS) == 33


def test_m13_torchvision_rows_are_torchvisions_own() -> None:
    """Address, accuracy and picture size, asked of the library itself."""
    for row in WEIGHTS:
        if row.who == "torchvision":
            theirs = torchvision.models.get_model_weights(row.design)[row.tag.upper()]
            assert theirs.url == row.url
            assert theirs.meta["_metrics"]["ImageNet-1K"]["acc@1"] == row.top1
            view = theirs.transforms()
            assert (view.crop_size, view.resize_size) == ([row.view.resolution], [row.view.resize])


def test_m13_wsl_and_semi_supervised_weights_forbid_commercial_use() -> None:
    closed = [row for row in WEIGHTS if not row.commercial]
    assert {row.tag for row in closed} == {"wsl", "ssl", "swsl"}
    assert len(closed) == 4 + 12
    assert {row.view for row in closed} == {View(resolution=224, resize=256)}


def test_find_weights_by_tag_by_default_and_by_others_names() -> None:
    assert find_weights("resnet50", "swsl").name == "resnet50_swsl"
    assert find_weights("resnet50", "IMAGENET1K_V1").top1 == 76.130
    assert find_weights("resnet50").tag == "imagenet1k_v2"
    assert find_weights("ig_resnext101_32x48d").sha256_prefix == "3e41cc8a"


def test_unknown_weights_are_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="There is no weights 'swls' in the table for resnet50; the nearest are swsl"):
        find_weights("resnet50", "swls")
    with pytest.raises(UsageError, match="gluon_resnet50_v1b"):
        find_weights("gluon_resnet50_v1b")  # another file than torchvision's, though the same design
    with pytest.raises(UsageError, match=r"resnet50\.a1_in1k"):
        find_weights("resnet50.a1_in1k")
    with pytest.raises(UsageError, match="no weights 'resnest50'"):
        create_model("resnest50", pretrained=True)
    with pytest.raises(UsageError, match="not for a Design"):
        create_model(find_design("resnet50"), pretrained=True)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder served as the mirror, with an empty torch.hub folder beside it."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    handler = partial(_Silent, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("TAGWISE_MIRROR", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    table._say_terms.cache_clear()
    yield folder
    server.shutdown()
    server.server_close()
    thread.join()


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


def publish(shelf: Path, state: dict[str, Tensor], *, lie: bool = False) -> Weights:
    """Puts a state dict of the first SSL row's design on the shelf, under its true or a false hash."""
    content = io.BytesIO()
    torch.save(state, content)
    digest = "0" * 8 if lie else hashlib.sha256(content.getvalue()).hexdigest()[:8]
    (shelf / f"own-{digest}.pth").write_bytes(content.getvalue())
    return Weights(
        design="resnet18",
        tag="ssl",
        who="a test",
        url=f"https://nowhere.invalid/own-{digest}.pth",
        licence="CC-BY-NC-4.0",
        view=View(resolution=224, resize=256),
        top1=72.8,
    )


def test_a_true_file_loads_and_its_terms_are_said_once(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = publish(shelf, {"x": torch.arange(3.0)})
    for _ in range(2):
        assert torch.equal(load_weights(row)["x"], torch.arange(3.0))
    talk = capsys.readouterr()
    assert talk.err.count("CC-BY-NC-4.0: not for commercial use") == 1
    assert talk.out == ""


def test_a_file_that_lies_about_its_hash_is_refused_and_not_kept(shelf: Path, tmp_path: Path) -> None:
    row = publish(shelf, {"x": torch.arange(3.0)}, lie=True)
    with pytest.raises(TagwiseError, match=r"is not the published resnet18_ssl: invalid hash value.*TAGWISE_MIRROR"):
        load_weights(row)
    assert not list((tmp_path / "hub").rglob("*.pth"))


def test_a_missing_file_and_a_silent_host_are_refused(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = publish(shelf, {})
    for path in shelf.iterdir():
        path.unlink()
    with pytest.raises(TagwiseError, match=r"resnet18_ssl cannot be had from http://127\.0\.0\.1.*404"):
        load_weights(row)
    monkeypatch.setenv("TAGWISE_MIRROR", "http://127.0.0.1:9")
    with pytest.raises(TagwiseError, match="cannot be had"):
        load_weights(row)


def test_a_file_with_code_in_it_is_refused(shelf: Path) -> None:
    row = publish(shelf, {"x": View})  # type: ignore[dict-item]
    with pytest.raises(TagwiseError, match="is not the published"):
        load_weights(row)


@pytest.fixture
def published(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Random weights in the place of resnet18_ssl."""
    torch.manual_seed(0)
    state = build(find_design("resnet18")).state_dict()
    monkeypatch.setattr(table, "WEIGHTS", (publish(shelf, state),))
    return state


def test_m24_pretrained_models_take_other_classes_and_channels_and_say_so(
    published: dict[str, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    model = create_model("resnet18", pretrained="ssl")
    assert all(torch.equal(tensor, published[key]) for key, tensor in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert "new" not in capsys.readouterr().err

    model = create_model("resnet18_ssl", pretrained=True, num_classes=7, in_channels=1)
    talk = capsys.readouterr().err
    assert "classifier over 7 classes is new" in talk
    assert "fitted from RGB to 1 channels" in talk
    assert model.fc.weight.shape == (7, 512)
    assert not model.fc.weight.is_meta
    grey = torch.randn(2, 1, 32, 32)
    rgb = create_model("resnet18", pretrained=True).eval()
    torch.testing.assert_close(model.eval().embed(grey), rgb.embed(grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)
    five = create_model("resnet18", pretrained=True, in_channels=5).eval()
    six = create_model("resnet18", pretrained=True, in_channels=6).eval()
    torch.testing.assert_close(
        six.embed(grey.expand(-1, 6, -1, -1)), rgb.embed(grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5
    )
    assert five.get_submodule("conv1").weight.shape == (64, 5, 7, 7)


def test_m20_two_pretrained_models_share_no_tensor(published: dict[str, Tensor]) -> None:
    one, two = (create_model("resnet18", pretrained=True) for _ in range(2))
    addresses = [{tensor.data_ptr() for tensor in net.state_dict().values()} for net in (one, two)]
    assert not addresses[0] & addresses[1]


def test_a_file_of_another_design_is_refused(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = build(find_design("resnet20_cifar"), num_classes=10).state_dict()
    monkeypatch.setattr(table, "WEIGHTS", (publish(shelf, state),))
    with pytest.raises(TagwiseError, match="resnet18_ssl does not fit its design"):
        create_model("resnet18", pretrained=True)


@pytest.mark.parametrize("pretrained", [None, False])
def test_nothing_is_downloaded_unless_asked(shelf: Path, tmp_path: Path, pretrained: bool | None) -> None:
    """timm's habit: the name of weights alone builds their design."""
    assert create_model("resnet18_swsl", pretrained=pretrained).fc.out_features == 1000
    assert not (tmp_path / "hub").exists()
