"""Parameters and multiply-adds of the whole family against the published and recomputed tables."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tagwise.base.errors import UsageError
from tagwise.nets import build, count_macs, count_parameters, find_design
from tagwise.nets.cost import Costs, count_costs
from tagwise.nets.cost_table import _table, costs_of, sights
from tagwise.nets.designs import DESIGNS

# name, parameters with 1000 classes, millions of multiply-adds at 224 pixels
IMAGENET = """
resnet18 11,689,512 1,814.1
resnet34 21,797,672 3,663.8
resnet26 15,995,176 2,342.3
resnet50 25,557,032 4,089.2
resnet101 44,549,160 7,801.4
resnet152 60,192,808 11,513.6
resnet200 64,673,832 15,007.5
resnet18d 11,708,744 2,053.7
resnet34d 21,816,904 3,903.4
resnet26d 16,014,408 2,581.9
resnet50d 25,576,264 4,328.8
resnet101d 44,568,392 8,041.0
resnet152d 60,212,040 11,753.3
resnet200d 64,693,064 15,247.1
resnet50c 25,576,264 4,328.8
resnet101c 44,568,392 8,041.0
resnet152c 60,212,040 11,753.3
resnet50s 25,680,808 5,444.3
resnet101s 44,672,936 9,156.6
resnet152s 60,316,584 12,868.8
resnet50t 25,573,728 4,297.2
wide_resnet50_2 68,883,240 11,398.0
wide_resnet101_2 126,886,696 22,753.1
resnet50_msra 25,557,032 3,858.0
resnet101_msra 44,549,160 7,570.2
resnet152_msra 60,192,808 11,282.4
resnext50_1x64d 25,557,032 4,089.2
resnext50_2x40d 25,425,000 4,124.5
resnext50_4x24d 25,292,968 4,159.8
resnext50_8x14d 25,603,016 4,267.4
resnext50_32x4d 25,028,904 4,230.5
resnext101_1x64d 44,549,160 7,801.4
resnext101_2x40d 44,456,296 7,843.6
resnext101_4x24d 44,363,432 7,885.7
resnext101_8x14d 45,104,328 8,076.9
resnext101_32x4d 44,177,704 7,970.0
resnext101_1x100d 85,611,336 15,272.9
resnext101_2x64d 84,198,184 15,123.1
resnext101_64x4d 83,455,272 15,460.3
resnext101_32x8d 88,791,336 16,414.0
resnext101_32x16d 194,026,792 36,163.3
resnext101_32x32d 468,530,472 87,106.8
resnext101_32x48d 828,411,176 153,310.2
resnext152_32x4d 59,951,400 11,709.5
resnext152_64x4d 114,971,944 22,939.3
resnext50d_32x4d 25,048,136 4,470.1
seresnet18 11,779,624 1,814.2
seresnet34 21,960,416 3,663.9
legacy_seresnet18 11,778,592 1,814.2
legacy_seresnet34 21,958,868 3,663.9
seresnet50 28,088,024 4,091.7
seresnet101 49,326,872 7,806.1
seresnet152 66,821,848 11,520.2
se_resnet50 28,088,024 3,860.5
se_resnet101 49,326,872 7,574.9
se_resnet152 66,821,848 11,289.0
seresnext50_32x4d 27,559,896 4,233.0
seresnext101_32x4d 48,955,416 7,974.7
seresnext101_32x8d 93,569,048 16,418.8
seresnext101_64x4d 88,232,984 15,465.0
senet154 115,088,984 20,688.4
skresnet18 11,958,056 1,814.3
skresnet34 22,282,376 3,664.2
skresnet50 25,803,160 4,089.4
skresnet50d 25,822,392 4,329.1
skresnext50_32x4d 27,479,784 4,462.7
resnest14d 10,611,688 2,749.4
resnest26d 17,069,448 3,623.4
resnest50 27,483,240 5,371.2
resnest50d 27,483,240 5,371.2
resnest101 48,275,016 10,200.6
resnest200 70,201,544 17,408.4
resnest269 110,929,480 22,434.1
resnest50_fast_1s1x64d 26,217,896 4,329.5
resnest50_fast_2s1x64d 27,483,240 4,330.7
resnest50_fast_4s1x64d 31,912,712 4,335.1
resnest50_fast_1s2x40d 25,946,680 4,364.6
resnest50_fast_2s2x40d 26,943,792 4,365.6
resnest50_fast_4s2x40d 30,417,592 4,369.1
resnest50_fast_1s4x24d 25,677,000 4,399.8
"""

# name, resolution, millions of multiply-adds with 1000 classes
OTHER_RESOLUTIONS = """
resnet101d 256 10,502.0
resnet152d 256 15,350.6
resnet200d 256 19,914.0
resnest101 256 13,321.5
resnest200 320 35,519.7
resnest269 416 77,348.7
"""

# name, parameters with 10 and with 100 classes, millions of multiply-adds at 32 pixels with 10 classes
CIFAR = """
resnet20_cifar 269,722 275,572 40.551
resnet20_cifar_end 269,722 275,572 40.551
resnet20_cifar_b 272,474 278,324 40.813
resnet32_cifar 464,154 470,004 68.863
resnet32_cifar_b 466,906 472,756 69.125
resnet44_cifar 658,586 664,436 97.174
resnet44_cifar_b 661,338 667,188 97.436
resnet56_cifar 853,018 858,868 125.486
resnet56_cifar_b 855,770 861,620 125.748
resnet110_cifar 1,727,962 1,733,812 252.888
resnet110_cifar_b 1,730,714 1,736,564 253.150
resnet1202_cifar 19,421,274 19,427,124 2,829.239
resnet1202_cifar_b 19,424,026 19,429,876 2,829.501
resnext29_1x64d_cifar 4,914,250 5,006,500 748.4
resnext29_2x64d_cifar 9,130,314 9,222,564 1,411.1
resnext29_4x64d_cifar 17,562,442 17,654,692 2,736.5
resnext29_8x64d_cifar 34,426,698 34,518,948 5,387.3
resnext29_16x64d_cifar 68,155,210 68,247,460 10,688.9
resnext29_32x4d_cifar 4,775,754 4,868,004 774.1
resnext29_8x14d_cifar 4,901,098 4,993,348 780.9
resnext29_1x128d_cifar 13,775,178 13,867,428 2,090.5
resnext29_1x192d_cifar 27,280,970 27,373,220 4,112.2
resnext29_1x256d_cifar 45,431,626 45,523,876 6,813.3
resnext29_1x8d_cifar 971,178 1,063,428 131.3
resnext29_1x16d_cifar 1,316,746 1,408,996 187.6
resnext29_2x16d_cifar 1,935,306 2,027,556 289.6
resnext29_4x16d_cifar 3,172,426 3,264,676 493.6
"""


@functools.cache
def counted(name: str, resolution: int, num_classes: int = 1000) -> Costs:
    """Once for all tests of the same net."""
    return count_costs(find_design(name), resolution, resolution, num_classes)


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.split("\n") if line]


def printed(count: int, like: str) -> str:
    """``count`` in millions with as many decimals as ``like`` has."""
    decimals = len(like.partition(".")[2])
    return f"{count / 1e6:,.{decimals}f}"


@pytest.mark.parametrize(("name", "parameters", "macs"), rows(IMAGENET))
def test_m1_m2_imagenet_designs_cost_exactly_what_the_table_says(name: str, parameters: str, macs: str) -> None:
    costs = counted(name, 224)
    assert f"{costs.parameters:,}" == parameters
    assert printed(costs.macs.total, macs) == macs


@pytest.mark.parametrize(("name", "resolution", "macs"), rows(OTHER_RESOLUTIONS))
def test_m2_macs_at_the_published_resolutions(name: str, resolution: str, macs: str) -> None:
    assert printed(counted(name, int(resolution)).macs.total, macs) == macs


@pytest.mark.parametrize(("name", "ten", "hundred", "macs"), rows(CIFAR))
def test_m1_m2_cifar_designs_cost_exactly_what_the_table_says(name: str, ten: str, hundred: str, macs: str) -> None:
    costs = counted(name, 32, 10)
    assert f"{costs.parameters:,}" == ten
    assert f"{costs.parameters + 90 * (find_design(name).channels[-1] + 1):,}" == hundred
    assert printed(costs.macs.total, macs) == macs


def test_m1_every_row_of_the_table_builds() -> None:
    """Rows without a published count at least build, and no row is a copy of another under a second name."""
    counted = {line[0] for table in (IMAGENET, CIFAR) for line in rows(table)}
    for name in DESIGNS.keys() - counted:
        assert count_parameters(DESIGNS[name]) > 0
    assert len(set(DESIGNS.values())) >= len(DESIGNS) - 2, "resnext*_1x64d are the resnets"


@pytest.mark.parametrize("name", ["resnet18", "resnext50_32x4d", "resnet50d", "se_resnet50", "skresnet18", "resnest14"])
def test_m2_macs_equal_torchs_own_flop_counter_at_odd_sizes(name: str) -> None:
    design = find_design(name)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        build(design).eval()(torch.empty(1, 3, 97, 131))
    assert count_macs(design, 97, 131).total * 2 == counter.get_total_flops()


def test_m2_attention_share_is_apart_and_tiny() -> None:
    assert count_macs(find_design("resnet50"), 224, 224).attention == 0
    for name in ("seresnet50", "skresnext50_32x4d", "resnest50", "senet154"):
        macs = count_macs(find_design(name), 224, 224)
        assert 0.00005 < macs.attention / macs.total < 0.0015, name


def test_the_carried_table_says_what_is_counted() -> None:
    assert list(_table()) == sights(), "run: python -m bench.write_models"
    for sight, costs in _table().items():
        assert costs == counted(*sight), f"{sight}: run python -m bench.write_models"


def test_costs_that_are_not_carried_are_counted() -> None:
    assert costs_of("resnet18", 64, 7) == count_costs(find_design("resnet18"), 64, 64, 7)
    with pytest.raises(UsageError, match="resnet18"):
        costs_of("resnet18x", 224, 1000)


SMALL_NETS = [("resnet20_cifar", 32), ("resnext29_1x8d_cifar_preact", 32), ("resnest14", 64), ("skresnet18", 64)]


@pytest.mark.parametrize(("name", "side"), SMALL_NETS)
def test_activations_are_what_hooks_on_a_real_net_see(name: str, side: int) -> None:
    net, seen = build(find_design(name), num_classes=10).eval(), list[int]()

    def see(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(output.numel())

    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.Linear):
            module.register_forward_hook(see)
    with torch.inference_mode():
        net(torch.zeros(1, 3, side, side))
    assert count_costs(find_design(name), side, side, 10).activations == sum(seen)


@pytest.mark.parametrize(("name", "side"), [("resnet20_cifar", 32), ("resnext50_32x4d", 64), ("seresnet50", 64)])
def test_activations_are_about_what_autograd_keeps_of_a_picture(name: str, side: int) -> None:
    net, kept = build(find_design(name)).train(), dict[int, Tensor]()
    parameters = {parameter.untyped_storage().data_ptr() for parameter in net.state_dict().values()}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in parameters:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        net(torch.zeros(2, 3, side, side))
    kept_bytes = sum(tensor.untyped_storage().nbytes() for tensor in kept.values()) / 2
    assert 0.8 < counted(name, side).activation_bytes / kept_bytes < 1.05


def test_counting_the_largest_net_takes_no_memory_and_leaves_no_compiler_behind() -> None:
    """A meta net is not initialised: torch's normal_ on meta would import its compiler for seconds."""
    with torch.device("meta"):
        net = build(find_design("resnext101_32x48d"))
    assert all(parameter.is_meta for parameter in net.parameters())
    assert len(net.state_dict()) == 626
