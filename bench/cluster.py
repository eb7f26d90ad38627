"""A label space made by Spark on several worker processes, one of them killed half-way, beside the same in memory.

    python -m bench.cluster 100000

The cluster is Spark's local one: a master and two workers with an executor of one core each, all processes of their
own. One executor is killed while the tags are sorted; its work is done again. The exit code is 1 if a byte differs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.corpus import draw_corpus
from bench.record import write_record
from tagwise.base.files import TEMPORARY_PREFIX
from tagwise.corpus.table import Corpus
from tagwise.tags.fates import Labelling
from tagwise.tags.labelling import build_label_space
from tagwise.tags.space import LabelOptions

CLUSTER = (
    "--master local-cluster[2,1,1024] --executor-memory 900m --conf spark.ui.enabled=false "
    "--conf spark.sql.shuffle.partitions=8 pyspark-shell"
)
OPTIONS = LabelOptions(min_count=5, top=20_000)


@dataclass
class Killer:
    """Kills an executor as soon as the sorted table begins to be written."""

    work: Path
    killed_after_seconds: float | None = None

    def watch(self, done: threading.Event) -> None:
        began = time.perf_counter()
        while not done.wait(0.1):
            begun = (self.work / f"{TEMPORARY_PREFIX}entries.parquet").is_dir()
            if begun and (running := executors(os.getpid())):
                self.killed_after_seconds = time.perf_counter() - began
                os.kill(min(running), signal.SIGKILL)
                return


def executors(pid: int) -> set[int]:
    """Spark's executors among a process and those that it started."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:  # it has just ended
        return set()
    own = {pid} if any(word.endswith(b"CoarseGrainedExecutorBackend") for word in words) else set()
    return own.union(*(executors(child) for child in children))


def content(labelling: Labelling) -> str:
    """A hash of the label space's file, and of the label ids of all pictures."""
    digest = hashlib.sha256(labelling.space.to_json().encode())
    for array in (labelling.assignment.ids, labelling.assignment.offsets):
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def measure(folder: Path, pictures: int) -> dict[str, Any]:
    """Both ways to one label space."""
    draw_corpus(folder / "corpus", pictures)
    corpus, work = Corpus.open(folder / "corpus"), folder / "work"
    in_memory = content(build_label_space(corpus.tag_table(), OPTIONS))
    killer, done = Killer(work), threading.Event()
    watching = threading.Thread(target=killer.watch, args=(done,))
    watching.start()
    began = time.perf_counter()
    try:
        with corpus.tags(work, engine="pyspark") as tags:
            by_cluster = content(build_label_space(tags, OPTIONS))
    finally:
        done.set()
        watching.join()
    return {
        "pictures": pictures,
        "in_memory": in_memory,
        "by_cluster": by_cluster,
        "killed_after_seconds": killer.killed_after_seconds,
        "wall_seconds": time.perf_counter() - began,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=int)
    arguments = parser.parse_args()
    os.environ.update(PYSPARK_SUBMIT_ARGS=CLUSTER, SPARK_LOCAL_IP="127.0.0.1")
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), arguments.pictures)
    print(write_record("cluster", results, packages=("tagwise", "narwhals", "pyspark", "pyarrow", "numpy")))
    print(results)
    sys.exit(results["in_memory"] != results["by_cluster"] or results["killed_after_seconds"] is None)


if __name__ == "__main__":
    main()
