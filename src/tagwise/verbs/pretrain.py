"""``tagwise pretrain``: a backbone and a tagger from tagged pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagwise.base.progress import say
from tagwise.verbs.planning import (
    PlanFlags,
    feed_files,
    make_plan,
    memory_format_of,
    plan_facts,
    refuse_idle_flags,
    refuse_no_workers,
)
from tagwise.verbs.run_results import (
    SCORES_FILE,
    RunResult,
    write_examples,
    write_exposures,
    write_laws,
    write_scores,
)
from tagwise.verbs.tagged import Tagged

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from tagwise.pixels.batches import LabelledPictures
    from tagwise.pixels.feeding import FilePictures
    from tagwise.pixels.place import Place
    from tagwise.tags.space import LabelSpace
    from tagwise.training.models import Model, ModelFacts
    from tagwise.training.plans import Plan
    from tagwise.training.ranks import Ranks
    from tagwise.training.runs import Run


def pretrain(
    corpus: Path | str,
    *,
    labels: Path | str,
    out: Path | str,
    design: str | None = None,
    from_: str | Path | None = None,
    recipe: str | None = None,
    plan: Path | str | None = None,
    law: str | None = None,
    threshold: float | str | None = None,
    tag_weights: Path | str | None = None,
    images: str | None = None,
    batch: int | None = None,
    resolution: int | None = None,
    lr: float | None = None,
    set_: list[str] | None = None,
    seed: int | None = None,
    device: str | None = None,
    workers: int | None = None,
    dry_run: bool = False,
    ranks: int | None = None,
    rate: float | None = None,
    overwrite: bool = False,
) -> RunResult:
    """Trains a net to predict the tags: softmax over the label space, 1/k for each of k labels.

    The same command continues an interrupted run.

    Args:
        corpus: What ``gather`` wrote.
        labels: What ``labels`` wrote; of this or of another corpus.
        out: The run folder.
        design: A name of the family, such as resnext50_32x4d; by default the recipe's.
        from_: A model to continue: a run folder, a model file, or published weights. Labels that
            both know keep their classifier rows; new ones start at their prior.
        recipe: A name of docs/training.md; by default wsl_one_machine on a GPU, small elsewhere.
        plan: A JSON, YAML or TOML file of settings, such as a run's plan.json; flags win over it.
        law: How pictures are drawn: natural, sqrt, uniform, power:0.3, cap, raked, raked:uniform or raked:0.3; by
            default sqrt.
        threshold: Of the law, in pictures; or tail=0.3, quantile=0.2, or length=1.5, the default: an epoch half as
            long again as the corpus.
        tag_weights: A CSV or TSV file of tags and weights, by which their labels' parts of the loss are
            multiplied; labels that it does not name weigh 1.
        images: Pictures seen: 150000, 150k, 3.5e9, or '30 epochs' of labelled pictures; by default the recipe's.
        batch: Pictures a step, over all processes.
        resolution: Side of the square that the net sees, in pixels.
        lr: Peak learning rate at this batch; by default it scales with the batch.
        set_: Any other setting of the plan as name=value, such as weight_decay=0.0005, or noise=marginal:0.25 to
            replace a quarter of the labels.
        seed: Of everything random; by default 0.
        device: cpu, cuda or mps.
        workers: Threads that pack pictures, or processes that read them while the net learns, where the plan's
            feed is files.
        dry_run: Say steps, rates, memory and time, and train nothing.
        ranks: Processes that a dry run reckons with.
        rate: Pictures a second, of all processes, that a dry run reckons with; by default it is measured here.
        overwrite: Begin anew in a folder of another run.

    Raises:
        UsageError: A wrong name, number, folder or file of weights, or another plan in ``out``.
        DataRefused: No picture has a label of the space, or no tag of the weights is one.
        Interrupted: SIGINT or SIGTERM; the state is saved.
    """
    from tagwise.base.settings import digest
    from tagwise.training.loading import load
    from tagwise.training.ranks import join_ranks
    from tagwise.training.recipes import find_recipe
    from tagwise.training.runs import claim_run

    refuse_no_workers(workers)
    refuse_idle_flags(ranks, rate, dry_run=dry_run)
    corpus, labels, out = Path(corpus), Path(labels), Path(out)
    flags = PlanFlags(plan=plan, design=design, images=images, batch=batch, resolution=resolution, lr=lr, set_=set_)
    told = flags.settings()
    seed = told.get("seed", 0) if seed is None else seed
    if law is None:
        law, threshold = told.get("law", "sqrt"), told.get("threshold") if threshold is None else threshold
    with join_ranks(device) as (together, where):
        make = find_recipe(recipe if recipe is not None else "wsl_one_machine" if where.type == "cuda" else "small")
        weights = None if tag_weights is None else Path(tag_weights)
        tagged = Tagged.read(corpus, labels, law, threshold, weights, flags.noise(told), seed)
        start = load(from_, design=design) if from_ is not None else None
        resolved = make_plan(
            make,
            tagged.pictures,
            flags,
            start,
            where,
            elsewhere=ranks is not None,
            task="pretrain",
            data=digest([tagged.corpus.record.source_digest, tagged.space.digest]),
            law=law,
            threshold=tagged.report.chosen.drawn.threshold,
            tag_weights=None if tagged.weights is None else digest(tagged.weights.tolist()),
            seed=seed,
        )
        facts = _facts(resolved, tagged, here=ranks is None or images is None)
        if dry_run:
            from tagwise.training.estimate import estimate

            facts |= estimate(resolved, len(tagged.space), tagged.pictures, where, ranks=ranks or 1, rate=rate)
            return RunResult(folder=out, facts=facts, finished=False, scores={})
        run = claim_run(out, resolved, together, overwrite=overwrite)
        if not run.finished:
            _train(run, tagged, start, where, together, workers, facts)
        scores = run.read(SCORES_FILE) or {}
    facts |= {name.replace("_", " "): f"{value:,.4g}" for name, value in scores.items()}
    return RunResult(folder=out, facts=facts, finished=True, scores=scores)


def _train(
    run: Run,
    tagged: Tagged,
    start: Model | None,
    device: torch.device,
    together: Ranks,
    workers: int | None,
    facts: dict[str, str],
) -> None:
    """Trains, and writes what the run is to leave; the model comes last, for it makes the run a finished one.

    The facts are told once the pictures are there.
    """
    import torch

    from tagwise.tags.epoch import EpochIndex
    from tagwise.training.loop import Job, train
    from tagwise.training.models import MODEL_FILE, Model, save_model
    from tagwise.training.tasks import LabelTask

    plan, space, assignment = run.plan, tagged.space, tagged.assignment
    places = tagged.corpus.picture_places()
    pictures = _pictures(plan, tagged, places, together, workers)
    for name, value in facts.items():
        say(f"{name}: {value}")
    of_model = _model_facts(plan, space, start)
    net = _net(plan, space, tagged.report.chosen, start)
    index = EpochIndex.of(assignment.ids, assignment.offsets, tagged.report.chosen.drawn, plan.rounding)
    if together.first:
        write_laws(run, tagged)
    task = LabelTask(
        plan,
        net,
        pictures,
        device,
        together,
        weights_V=None if tagged.weights is None else torch.from_numpy(tagged.weights).to(device),
        layout=memory_format_of(run, device, together),
    )
    seen_V = train(
        Job(
            plan=plan,
            task=task,
            index=index,
            device=device,
            ranks=together,
            names=places,
            facts=of_model,
            run=run,
            title="pretraining",
        )
    )
    if together.first:
        write_exposures(run, tagged, seen_V)
        write_scores(run)
        write_examples(run, Model(net=net, facts=of_model, name=run.folder.name, digest=""), tagged, device)
        save_model(run.folder / MODEL_FILE, net, of_model)
    together.wait()


def _pictures(
    plan: Plan, tagged: Tagged, places: list[Place], together: Ranks, workers: int | None
) -> LabelledPictures | FilePictures:
    """Packed by the first process, or read from their files as they are needed."""
    from tagwise.corpus.pack import pack
    from tagwise.pixels.batches import LabelledPictures

    ids, offsets = tagged.assignment.ids, tagged.assignment.offsets
    if plan.feed == "files":
        return feed_files(plan, places, ids, offsets, workers)
    with together.first_alone():
        packed = pack(places, plan.view, tagged.corpus.folder / "pixels", workers=workers)
    _refuse_unreadable(packed.reasons, places, tagged.corpus.folder)
    return LabelledPictures(images_NHWC=packed.images_NHWC, ids=ids, offsets=offsets)


def _refuse_unreadable(reasons: dict[int, str], places: list[Place], corpus: Path) -> None:
    """A gathered picture was readable; one that no longer is would be trained on as black."""
    from tagwise.base.errors import DataRefused
    from tagwise.base.progress import printable

    if reasons:
        row, reason = next(iter(reasons.items()))
        raise DataRefused(
            f"{len(reasons):,} of {len(places):,} pictures of {corpus} can no longer be read "
            f"({printable(str(places[row]))}: {printable(reason)}); gather it again with --overwrite."
        )


def _net(plan: Plan, space: LabelSpace, laws: Any, start: Model | None) -> Any:
    """A new net, or the model's with its known labels' rows; the classifier predicts the law at first."""
    import copy

    import torch

    from tagwise.base import rng
    from tagwise.nets import build
    from tagwise.training.losses import prior_bias
    from tagwise.training.models import carry_head_over, replace_head

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.stream_seed(plan.seed, "weights"))
        net = copy.deepcopy(start.net) if start else build(plan.design, num_classes=len(space))
    replace_head(net, prior_bias(plan.loss, torch.from_numpy(laws.mass), torch.from_numpy(laws.drawn_fraction)))
    if start is not None:
        carried = carry_head_over(start, net, space)
        say(f"{carried:,} of {len(space):,} labels keep their classifier rows of {start.name}; the others are new.")
    return net


def _facts(plan: Plan, tagged: Tagged, *, here: bool) -> dict[str, str]:
    """What was decided."""
    drawn = tagged.report.chosen.drawn
    in_pictures = drawn.threshold is not None and drawn.raking is None
    law = f"{plan.law}, threshold {drawn.threshold:,.4g} pictures" if in_pictures else plan.law
    epoch_length = tagged.report.chosen.epoch_length
    return {
        "pictures": f"{tagged.pictures:,} labelled, {len(tagged.space):,} labels",
        **({} if tagged.noise is None else {"noise": str(tagged.noise)}),
        "sampling law": f"{law}: {epoch_length:,.0f} draws an epoch",
        **({} if tagged.weights is None else {"tag weights": _weights_told(tagged.weights)}),
    } | plan_facts(plan, epoch_length if here else None)


def _weights_told(weights_V: NDArray[np.float32]) -> str:
    changed = weights_V[weights_V != 1]
    return f"{len(changed):,} other than 1" + (f", {changed.min():g} to {changed.max():g}" if len(changed) else "")


def _model_facts(plan: Plan, space: LabelSpace, start: Model | None) -> ModelFacts:
    from tagwise.training.models import ModelFacts

    return ModelFacts(
        design=plan.design,
        view=plan.judged_view,
        labels=space,
        loss=plan.loss,
        images=plan.seen,
        lineage=(*(start.facts.lineage if start else ()), f"tags, {plan.law} law, {plan.seen:,} pictures seen"),
        licence=start.facts.licence if start else "unknown",
    )
