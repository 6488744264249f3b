"""The numbers of short runs of every model and every study's arm, as digests: two trees are compared bit by bit.

    python tests/golden/short_runs.py --out before.json           # in the one tree
    python tests/golden/short_runs.py --out after.json            # in the other
    python tests/golden/short_runs.py --compare before.json after.json

Twenty steps each, on a made-up text, at the sizes that are declared. Not a test by itself: bits differ between machines
and versions of torch, so what is compared comes from one machine.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "contracts"), str(HERE.parent / "lab")]

STEPS = 20
COMPILED = ("plain", "ahead", "learned root")


def jobs(place: Path) -> Iterator[tuple[str, object]]:
    """(name, job) of every short run."""
    from small_study import made_up_text
    from test_models import MODELS  # the list that the contracts run over

    from vslm import AssociativeRecall, Budget, Experiment, LossByPosition, Text, vary
    from vslm.data.preparing import prepare
    from vslm.measure.measure import OnWindows
    from vslm.study.job import Job, Settings
    from vslm.study.study_file import load_study

    text = place / "corpus.txt"
    text.write_text(made_up_text(600), encoding="utf-8")
    eager = Settings(device="cpu", precision="fp32", compiled=False, threads=1)

    def job(arm: str, experiment: Experiment, settings: Settings = eager) -> Job:
        corpus = prepare(experiment.data).fingerprint
        tokens = STEPS * experiment.tokens_per_step
        return Job(
            arm=arm,
            experiment=experiment,
            stages_tokens=(tokens,),
            init_seed=1,
            data_seed=2,
            settings=settings,
            corpus=corpus,
        )

    losses = LossByPosition(num_evaluations=5, num_tokens=1, num_final_tokens=500)
    for name, model in MODELS.items():
        windows = 3 * model.context_tokens
        experiment = Experiment(
            model=model,
            data=Text(str(text), vocabulary=300),
            budget=Budget(tokens=STEPS * windows),
            batch_tokens=windows,
            measures=(losses,),
        )
        yield f"models/{name}", job("arm", experiment)
        if name == "plain":
            yield f"models/{name}, bf16", job("arm", experiment, dataclasses.replace(eager, precision="bf16"))
            parts = vary(experiment, {"accumulation": 3})
            yield f"models/{name}, three parts", job("arm", parts)
        if name in COMPILED:
            yield f"models/{name}, compiled", job("arm", experiment, dataclasses.replace(eager, compiled=True))
    for path in sorted((HERE.parents[1] / "studies").glob("*.py")):
        for arm, experiment in load_study(path).arms.items():
            data = experiment.data
            small = (
                dataclasses.replace(data, num_documents=400)
                if isinstance(data, AssociativeRecall)
                else Text(str(text), vocabulary=300)
            )
            measures = tuple(
                losses
                if isinstance(measure, LossByPosition)
                else dataclasses.replace(measure, num_tokens=1, num_evaluations=1)
                for measure in experiment.measures
                if isinstance(measure, LossByPosition | OnWindows)
            )
            context_tokens = experiment.model.context_tokens
            changes = {
                "data": small,
                "budget": Budget(tokens=STEPS * context_tokens),
                "batch_tokens": context_tokens,
                "accumulation": 1,
                "measures": measures,
            }
            yield f"studies/{path.stem}/{arm}", job("arm", vary(experiment, changes))


def numbers_of(job: object, folder: Path) -> dict[str, object]:
    """Train, and digest what is left: weights, and every array."""
    import safetensors.numpy

    from vslm.runs.run import run_job

    done = run_job(job, folder, lambda message: None)  # type: ignore[arg-type]
    weights = hashlib.sha256()
    tensors = safetensors.numpy.load_file(folder / "weights.safetensors")
    for name in sorted(tensors):
        weights.update(np.ascontiguousarray(tensors[name]).tobytes())
    with np.load(folder / "arrays.npz") as arrays:
        digests = {name: hashlib.sha256(arrays[name].tobytes()).hexdigest()[:16] for name in arrays.files}
    return {"weights": weights.hexdigest()[:16], "val_loss": repr(done.val_loss), "arrays": digests}


def compare(before: dict, after: dict) -> int:
    """Say what differs; returns how many runs do."""
    differing = 0
    for name in sorted({*before, *after}):
        one, other = before.get(name), after.get(name)
        if one is None or other is None:
            print(f"{name}: only {'before' if other is None else 'after'}")
            differing += 1
            continue
        words = [part for part in ("weights", "val_loss") if one[part] != other[part]]
        shared = one["arrays"].keys() & other["arrays"].keys()
        words += [f"array {array}" for array in sorted(shared) if one["arrays"][array] != other["arrays"][array]]
        gone, new = one["arrays"].keys() - other["arrays"].keys(), other["arrays"].keys() - one["arrays"].keys()
        words += [f"gone: {', '.join(sorted(gone))}"] if gone else []
        words += [f"new: {', '.join(sorted(new))}"] if new else []
        if words:
            print(f"{name}: {'; '.join(words)}")
        differing += bool(words)
    print(f"{len(before)} runs before, {len(after)} after, {differing} differ")
    return differing


def main() -> None:
    """See the top."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", default="", help="runs whose name holds this")
    parser.add_argument("--compare", nargs=2, type=Path)
    given = parser.parse_args()
    if given.compare:
        before, after = (json.loads(path.read_text(encoding="utf-8")) for path in given.compare)
        sys.exit(compare(before, after) > 0)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        os.environ["VSLM_HOME"] = str(place / "home")
        found: dict[str, object] = {}
        start = time.perf_counter()
        for number, (name, job) in enumerate(jobs(place)):
            if given.only in name:
                found[name] = numbers_of(job, place / "runs" / str(number))
                print(f"{time.perf_counter() - start:6.0f} s  {name}", flush=True)
                given.out.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
