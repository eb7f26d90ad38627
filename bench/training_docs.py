"""The parts of docs/results.md on speed and kills: from bench.training, bench.feeding and bench.soak."""

from __future__ import annotations

from typing import Any

from bench.record import machine, read_record
from tagwise.pages.markdown import table_lines
from tagwise.pages.page import Table

STEP_TARGETS = {
    "our defaults over timm's": 1.5,
    "float32, else alike": 1.0,
    "bfloat16, else alike": 1.0,
    "compiled, our layout over timm's": 1.1,
    "compiled, else alike": 1.0,
    "recomputed over kept": 0.75,
}
"""Least speed of the first as a multiple of the second."""
OPTIMISER_TARGET, KEPT_TARGET, RESNEST_TARGET = 2.5, 0.35, 0.5
FEED_TARGETS = {
    "decode + crop, 500 x 375": (1.4, 0.1),
    "decode + crop, 2048 x 1536": (1.9, 1.0),
    "batches of crops": (1.0, None),
    "batches of tiny pictures": (10.0, None),
}
"""Least speed over torchvision's road, and grey levels by which pixels may differ from it on average."""


def soak_words() -> str:
    """How often trainings were killed, and whether they ended the same."""
    record = read_record("soak")
    if record is None:
        return "Not measured yet."
    found = record["results"]
    lines = [
        f"- {_processes(part)}: {part['kills']} kills in {part['runs']} runs of {part['steps_a_run']} steps, "
        f"{part['inside_a_checkpoint_write']} of them inside a checkpoint's write and {part['in_the_start']} while the "
        f"job started; {', '.join(part['faults']) or 'every run ended the same'}."
        for part in found["parts"]
    ]
    return "\n".join([*lines, "", f"{found['minutes']} minutes on {machine(record)}."])


def _processes(part: dict[str, Any]) -> str:
    return ("One process" if part["processes"] == 1 else f"{part['processes']} processes") + f", feed={part['feed']}"


def training_tables() -> str:
    """Our step beside timm's, on the CPU and on a GPU."""
    return "\n\n".join([_training("training", "CPU"), _training("training_gpu", "GPU")])


def _training(name: str, where: str) -> str:
    record = read_record(name)
    if record is None:
        return f"{where}: not measured yet."
    found = record["results"]
    rows = [
        [case["case"], compared, *entry["of"], _range(entry["speed"]), _target(entry["speed"], STEP_TARGETS[compared]),
         round(entry["memory"], 2)]
        for case in found["cases"]
        for compared, entry in case["ratios"].items()
    ]  # fmt: skip
    columns = ("net and batch", "compared", "first", "second", "speed", "target", "memory")
    table = Table(columns=columns, rows=rows, numeric=("speed", "target"))
    kept = ", ".join(f"{case['kept_bytes_fraction']:.2f} ({case['case']})" for case in found["cases"])
    extras = [f"Bytes kept for the backward pass when blocks are recomputed, target {KEPT_TARGET} at most: {kept}."]
    if "fused_optimiser_speed" in found:
        speed = found["fused_optimiser_speed"]
        told = f"{_range(speed)}, target {_target(speed, OPTIMISER_TARGET)}"
        extras.append(f"The fused optimiser over torch's loop, ResNeXt-50's parameters: {told}.")
    if name == "training_gpu":
        extras.append(_resnest(found["cases"]))
    told = f"Medians of {found['rounds']} rounds, least and most in brackets; on {_gpu(record)}{machine(record)}."
    return "\n\n".join([f"{where}:", table_lines(table), " ".join(extras), told])


def _gpu(record: dict[str, Any]) -> str:
    return f"{record['hardware']['gpu']} and " if "gpu" in record["hardware"] else ""


def _resnest(cases: list[dict[str, Any]]) -> str:
    """ResNeSt-50 beside ResNet-50, both compiled."""
    rates = {
        design: next(
            case["ways"][case["ratios"]["compiled, else alike"]["of"][0]]["pictures_per_second"]["median"]
            for case in cases
            if case["case"].startswith(f"{design},")
        )
        for design in ("resnet50", "resnest50")
    }
    share = rates["resnest50"] / rates["resnet50"]
    return f"ResNeSt-50 runs at {share:.2f} of ResNet-50's pictures a second, target {RESNEST_TARGET}."


def feeding_table() -> str:
    """Pictures in, beside the roads of torchvision and timm."""
    record = read_record("feeding")
    if record is None:
        return "Not measured yet."
    found = record["results"]
    rows = []
    for row, (least, most_off) in FEED_TARGETS.items():
        entry = found[row]
        ours, *others = entry["pictures_per_second"]
        off = "" if most_off is None else f"{entry['grey_levels_off']:.2f}, target {most_off:g} at most"
        for number, other in enumerate(others):
            rates = [round(entry["pictures_per_second"][road]["median"]) for road in (ours, other)]
            speed = entry["speed_over"][other]
            targets = [_target(speed, least), off] if number == 0 else ["", ""]
            rows.append([row, other, *rates, _range(speed), *targets])
    columns = ("what", "beside", "our pictures/s", "theirs", "speed", "target", "grey levels apart")
    table = table_lines(Table(columns=columns, rows=rows, numeric=("speed", "target")))
    told = f"Medians of {found['rounds']} rounds, least and most in brackets; on {machine(record)}."
    return f"{table}\n\n{told}"


def _range(speed: dict[str, float]) -> str:
    return f"{speed['median']:.2f} ({speed['least']:.2f} to {speed['most']:.2f})"


def _target(speed: dict[str, float], least: float) -> str:
    return f"{least:g}, {'reached' if speed['median'] >= least else 'missed'}"
