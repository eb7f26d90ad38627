"""A flag that cannot be meant is refused by its own name, before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.verbs.road import Done, Road

Here = Callable[..., Done]


@pytest.mark.parametrize(
    ("verb", "flags", "said"),
    [
        ("train", ("--lr", "-1"), "--lr is above 0, not -1."),
        ("train", ("--workers", "0"), "--workers is 1 thread or more, not 0; "),
        ("train", ("--class-column", "kind"), "is no table; leave --class-column and --picture-column away."),
        ("compare", ("--model", "RUN", "--workers", "0"), "--workers is 1 thread or more, not 0; "),
        ("compare", ("--model", "RUN", "--by"), "--by names nothing; give some of knn, linear, train, "),
        ("compare", ("--model", "RUN", "--picture-column", "file"), "is no table; leave --class-column"),
        ("gather", ("--workers", "0"), "--workers is 1 thread or more, not 0; "),
        ("pretrain", ("--labels", "SPACE", "--workers", "0"), "--workers is 1 thread or more, not 0; "),
        ("predict", ("--model", "RUN", "--workers", "0"), "--workers is 1 thread or more, not 0; "),
    ],
)
def test_a_flag_that_cannot_be_meant_is_refused_by_name(
    road: Road, here: Here, tmp_path: Path, verb: str, flags: tuple[str, ...], said: str
) -> None:
    places: dict[str, str | Path] = {"RUN": road / "runs/a", "SPACE": road / "space.json"}
    given = [places.get(flag, flag) for flag in flags]
    thing, out = (road / "new", tmp_path / "t.csv") if verb == "predict" else (road / "target", tmp_path / "run")
    device = () if verb == "gather" else ("--device", "cpu")
    done = here(verb, thing, "-o", out, *device, *given)
    assert (done.code, said in done.err) == (2, True), done.err
    assert not out.exists()


def test_one_picture_is_one_picture(road: Road, here: Here, tmp_path: Path) -> None:
    picture = min(path for path in (road / "new").iterdir() if path.stem != "broken")
    done = here("predict", picture, "--model", road / "runs/a", "-o", tmp_path / "t.csv", "--device", "cpu")
    assert done.out == f"1 picture, 0 unreadable: {tmp_path / 't.csv'}\n"
