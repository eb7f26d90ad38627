"""Training on classes: small nets learn shapes, the given net stays as it is, a fresh head knows nothing."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tagwise.base.errors import UsageError
from tagwise.base.views import View
from tagwise.corpus.drawn.pictures import draw_pictures
from tagwise.corpus.drawn.scenes import BACKGROUNDS, COLOURS, Scenes
from tagwise.corpus.drawn.shapes import SHAPES
from tagwise.nets import build
from tagwise.nets.design import Design
from tagwise.nets.dropblock import DropBlock
from tagwise.pixels.augment import Augment
from tagwise.pixels.batches import LabelledPictures
from tagwise.pixels.decode import fit
from tagwise.training.loop import Job, train
from tagwise.training.models import replace_head
from tagwise.training.plans import Plan
from tagwise.training.ranks import Ranks
from tagwise.training.runs import open_run
from tagwise.training.tasks import LabelTask
from tagwise.transfer.features import score
from tagwise.transfer.finetune import class_index, class_net, train_classes
from tests.training.tiny import CPU, DESIGN, state_bytes, tiny_plan

SMALL_VIEW = View(resolution=24, resize=24)
SMALL = Design(
    block="bottleneck",
    depths=(1, 1, 1),
    planes=(16, 32, 64),
    strides=(1, 2, 2),
    cardinality=4,
    base_width=8,
    stem_widths=(16,),
    stem_kernel=5,
    stem_pool=None,
)


def clean_shapes(count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Plain circles, triangles, crosses and rings, evenly, in colours that say nothing."""
    generator = np.random.default_rng(0)
    truth = np.arange(count) % 4
    shapes = np.array([list(SHAPES).index(name) for name in ("circle", "triangle", "cross", "ring")])
    scenes = Scenes(
        shapes=shapes[truth],
        colours=generator.integers(len(COLOURS), size=count),
        textures=np.zeros(count, np.int64),
        backgrounds=generator.integers(len(BACKGROUNDS), size=count),
    )
    pictures = draw_pictures(scenes, generator)
    return np.stack([fit(picture, SMALL_VIEW) for picture in pictures]), truth


def test_a_tiny_net_learns_clean_shapes_in_seconds() -> None:
    """One block a stage and ten epochs of 480 pictures: 65 % of 120 new ones; chance is 25 %, colour helps none.

    A net whose last gammas start at zero learns colour but not shape in so short a time, so the
    design's default is one.
    """
    assert not SMALL.zero_init_last
    images_NHWC, truth = clean_shapes(600)
    plan = Plan(
        task="train",
        data="clean shapes",
        design=SMALL,
        view=SMALL_VIEW,
        images=4800,
        batch=32,
        rate_per_256=0.4,
        augment=Augment(smallest_area_fraction=0.7),
    )
    net = train_classes(plan, images_NHWC[:480], truth[:480], 4, device=CPU)
    right = score(net, images_NHWC[480:], SMALL_VIEW, CPU).argmax(1) == truth[480:]
    assert right.mean() > 0.5


def noise(pictures: int = 40) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    generator = np.random.default_rng(1)
    images_NHWC = generator.integers(0, 256, (pictures, 20, 20, 3), dtype=np.uint8)
    return images_NHWC, generator.integers(0, 3, pictures)


def test_two_trainings_of_one_plan_are_equal_whatever_torch_drew_before() -> None:
    nets = []
    for before, seed in ((1, 0), (2, 0), (2, 9)):
        torch.manual_seed(before)
        nets.append(train_classes(tiny_plan(images=32, seed=seed), *noise(), 3, device=CPU))
    first, second, other = (state_bytes(net) for net in nets)
    assert first == second
    assert first != other


def test_the_net_to_begin_from_stays_as_it_is() -> None:
    start = build(DESIGN, num_classes=7)
    before = state_bytes(start)
    net = train_classes(tiny_plan(images=32), *noise(), 3, device=CPU, start=start)
    assert state_bytes(start) == before
    assert (start.fc.out_features, net.fc.out_features) == (7, 3)
    moved = [name for name, content in state_bytes(net).items() if content != before[name] and "fc" not in name]
    assert "conv1.weight" in moved, "all parameters move"


@pytest.mark.parametrize(("freeze", "still"), [("stem", {"conv1", "bn1"}), ("stem+1", {"conv1", "bn1", "layer1"})])
def test_frozen_parts_stay_as_they_were_and_the_rest_moves(freeze: str, still: set[str]) -> None:
    start = build(DESIGN, num_classes=3)
    before = state_bytes(start)
    net = train_classes(tiny_plan(images=32, freeze=freeze), *noise(), 3, device=CPU, start=start)
    same = {name.split(".")[0] for name, content in state_bytes(net).items() if content == before[name]}
    moved = {name.split(".")[0] for name, content in state_bytes(net).items() if content != before[name]}
    assert same == still
    assert moved == {"conv1", "bn1", "layer1", "fc"} - still


def test_a_plan_refuses_parts_that_its_design_has_not() -> None:
    with pytest.raises(UsageError, match=r"the first of the 1 stages too, not 'stem\+2'"):
        tiny_plan(freeze="stem+2")


def test_m11_a_training_raises_dropblocks_probability_to_its_designs() -> None:
    design = dataclasses.replace(DESIGN, drop_block=0.2)
    seen: list[float] = []
    start = build(design, num_classes=3)
    layer = next(module for module in start.modules() if isinstance(module, DropBlock))
    layer.register_forward_hook(lambda module, *_: seen.append(module.probability))
    plan = tiny_plan(design=design, images=32)
    hooked = train_classes(plan, *noise(), 3, device=CPU, start=start)
    assert hooked is not start
    assert seen == pytest.approx([0.05, 0.1, 0.15, 0.2])


def test_a_fine_tuning_begins_with_the_weights_given() -> None:
    """At a rate of next to nothing it ends with them too."""
    start = build(DESIGN, num_classes=7)
    plan = tiny_plan(images=8, rate_per_256=1e-12, weight_decay=0.0)
    net = train_classes(plan, *noise(), 3, device=CPU, start=start)
    for name, parameter in net.named_parameters():
        if not name.startswith("fc"):
            torch.testing.assert_close(parameter, start.get_parameter(name), rtol=0, atol=1e-9)


@pytest.mark.parametrize("classes", [3, 10])
def test_w13_a_fresh_head_begins_with_all_classes_alike(tmp_path: Path, classes: int) -> None:
    start = build(DESIGN, num_classes=7)
    replace_head(start, torch.zeros(7))
    plan = tiny_plan(images=8)
    run = open_run(tmp_path, plan)
    images_NHWC, truth = noise()
    pictures, index = LabelledPictures.of_classes(images_NHWC, truth), class_index(truth, classes)
    net = class_net(plan, classes, start)
    task = LabelTask(plan, net, pictures, CPU, Ranks())
    train(Job(plan=plan, task=task, index=index, device=CPU, run=run, title=None))
    assert run.log()[0].loss == pytest.approx(math.log(classes), abs=1e-5)
    assert run.log()[0].excess_loss == pytest.approx(math.log(classes), abs=1e-5)
