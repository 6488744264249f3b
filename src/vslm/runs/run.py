"""Run one job in one folder: from its record to `done.json`, through any number of interruptions."""

import platform
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

import vslm
from vslm.core.specs import to_plain
from vslm.data.corpus import Corpus, open_corpus
from vslm.measure.declared import Declared, Number, Shown
from vslm.measure.sections import OPTIMIZER_STEPS
from vslm.models.generation import generate
from vslm.results.files import write_json, write_text, written_whole
from vslm.results.folder import KEPT, LATER, LATER_RECORD, RunFolder
from vslm.results.places import make_folder, remove_file, remove_folder
from vslm.results.records import RunEnd
from vslm.results.seals import checksums, sealed
from vslm.runs.objects import OBJECTIVE, OPTIMIZER, build_objects, noted_of, steps_noted_of
from vslm.runs.parents import ParentRuns
from vslm.runs.recording import final_loss, losses_of, write_numbers
from vslm.study.job import Job
from vslm.training.averaging import evaluated
from vslm.training.checkpoints import Checkpoint, load_checkpoint, model_tensors, save_checkpoint
from vslm.training.kept_weights import save_weights
from vslm.training.loop import DivergedError, Training

_CHECKPOINT_SECONDS = 20.0
_PROGRESS_SECONDS = 0.5
_SAMPLE_TOKENS = 160
_SAMPLE_TEMPERATURE = 0.8

Progress = Callable[[dict[str, Any]], None]


def run_job(
    job: Job,
    folder: Path,
    progress: Progress,
    *,
    samples: bool = False,
    checkpoint_seconds: float = _CHECKPOINT_SECONDS,
) -> RunEnd:
    """Train the job in `folder` and return what `done.json` holds. Goes on from the latest whole checkpoint.

    Args:
        job: what to train.
        folder: of the run.
        progress: called with how far the run is, as `{"step": ..., "loss": ...}`, and with remarks, as `{"say": ...}`.
        samples: whether text is sampled along the way, and passed to `progress`.
        checkpoint_seconds: at most this much work is lost when the process is killed.

    Raises: RunError when the disk is full or the corpus is gone; ResultError where a run that it reads cannot be read.
        A diverged run is no error: it is done, and says so.
    """
    if done := RunFolder(folder, job.arm, job.data_seed).ended_whole_as(job.fingerprint):
        return done
    torch.set_num_threads(job.settings.threads)
    torch.use_deterministic_algorithms(job.settings.device == "cpu")
    corpus = open_corpus(job.corpus)
    parents = ParentRuns.of(job, folder, corpus.vocabulary)
    read = parents.checksums()
    remove_file(folder / "done.json")  # of another length, or damaged: its files are about to change
    _write_records(job, folder, corpus)
    training = Training(build_objects(job, corpus, parents=parents))
    checkpoint = load_checkpoint(folder / "checkpoints", lambda text: progress({"say": text}))
    if checkpoint is not None and not _is_of(checkpoint, job, read):
        progress({"say": f"{job.arm} seed {job.data_seed}: the checkpoints there are of another run; it begins anew"})
        remove_folder(folder / "checkpoints")
    elif checkpoint is not None:
        training.restore(checkpoint)
        progress({"say": f"{job.arm} seed {job.data_seed}: going on at step {training.step}"})
    for name in (LATER, LATER_RECORD):  # was taken from weights that this run is about to replace
        remove_file(folder / name)
    if training.step == 0:  # what another training left here is not of this one
        remove_folder(folder / KEPT)
    recorder = _Recorder(job, folder, corpus, progress, samples, checkpoint_seconds, read)
    recorder.keep(training)
    try:
        training.run(recorder.after_step)
    except DivergedError as error:
        return _finish(job, folder, corpus, training, read, diverged_step=error.step)
    return _finish(job, folder, corpus, training, read, diverged_step=None)


def _is_of(checkpoint: Checkpoint, job: Job, read: Mapping[str, str]) -> bool:
    """Whether a training may go on from there: it is the same one, begun from the same weights of the runs it reads."""
    plain = checkpoint.plain
    return plain.get("lineage", job.lineage) == job.lineage and plain.get("parents", {}) == read


class _Recorder:
    """Writes a run down while it trains: numbers, kept weights, checkpoints, progress. Changes no number of it."""

    def __init__(
        self,
        job: Job,
        folder: Path,
        corpus: Corpus,
        progress: Progress,
        samples: bool,
        checkpoint_seconds: float,
        read: Mapping[str, str],
    ) -> None:
        self.read = read  # checksums of the runs that this one reads
        self.job, self.folder, self.corpus, self.progress, self.samples = job, folder, corpus, progress, samples
        self.checkpoint_seconds = checkpoint_seconds
        self.checkpoint_at = time.monotonic() + checkpoint_seconds
        self.progress_at = 0.0
        self.num_losses = 0  # that were written
        self.kept_steps = frozenset(() if job.is_made_to_choose else job.experiment.kept_steps(job.stages_steps))

    def keep(self, training: Training) -> None:
        """Write the weights of this step if they are to be kept. A training that went back writes the same again."""
        # The last ones are weights.safetensors; a run that goes on from there keeps them when it begins.
        if training.step in self.kept_steps and training.step < training.objects.num_steps:
            with evaluated(training.objects.average, training.objects.optimizer):
                path = RunFolder(self.folder, self.job.arm, self.job.data_seed).kept_path(training.step)
                save_weights(path, model_tensors(training.objects.weights))

    def after_step(self, training: Training) -> None:
        """Called after every step and what is measured after it."""
        now = time.monotonic()
        num_losses = len(losses_of(training.measurements, self.job.split))
        if num_losses != self.num_losses:
            self.num_losses = num_losses
            write_numbers(self.job, self.folder, self.corpus.vocabulary, training)
            if self.samples and training.step < training.objects.num_steps:
                sample = sample_text(self.job, self.corpus, training, num_tokens=60)
                self.progress({"sample": sample, "step": training.step, "num_steps": training.objects.num_steps})
        self.keep(training)
        last = training.step == training.objects.num_steps
        if (last and not self.job.is_made_to_choose) or now >= self.checkpoint_at:
            checkpoint = training.checkpoint()
            checkpoint.plain["lineage"] = self.job.lineage
            if self.read:
                checkpoint.plain["parents"] = dict(self.read)
            save_checkpoint(self.folder / "checkpoints", checkpoint)
            self.checkpoint_at = time.monotonic() + self.checkpoint_seconds
        if last or now >= self.progress_at:
            self.progress_at = now + _PROGRESS_SECONDS
            tokens = training.step * self.job.experiment.tokens_per_step
            self.progress(
                {
                    "step": training.step,
                    "num_steps": training.objects.num_steps,
                    "loss": training.last_loss_nats,
                    "tokens_per_second": tokens / max(training.seconds, 1e-9),
                    "seconds": training.seconds,
                }
            )


def _write_records(job: Job, folder: Path, corpus: Corpus) -> None:
    make_folder(folder)
    write_json(folder / "experiment.json", {"fingerprint": job.fingerprint, "job": to_plain(job)})
    write_json(folder / "environment.json", environment(job))
    corpus.tokenizer.save(folder / "tokenizer.json")


def environment(job: Job) -> dict[str, Any]:
    """Versions, machine and choices of a run."""
    settings = job.settings
    return {
        "vslm_version": vslm.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "machine": platform.node(),
        "cpu": platform.processor() or platform.machine(),
        "gpu": torch.cuda.get_device_name() if settings.device == "cuda" else None,
        "device": settings.device,
        "threads": settings.threads,
        "precision": settings.precision,
        "compiled": settings.compiled,
        "kernels": job.experiment.model.kernels(settings.where),
        "init_seed": job.init_seed,
        "data_seed": job.data_seed,
        "corpus": job.corpus,
        "command": " ".join(sys.argv[:1]),
    }


def _finish(
    job: Job,
    folder: Path,
    corpus: Corpus,
    training: Training,
    read: Mapping[str, str],
    *,
    diverged_step: int | None,
) -> RunEnd:
    write_numbers(job, folder, corpus.vocabulary, training)
    tokens = training.step * job.experiment.tokens_per_step
    done = RunEnd(
        status="done" if diverged_step is None else "diverged",
        fingerprint=job.fingerprint,
        step=training.step,
        tokens=tokens,
        flops=tokens * job.experiment.flops_per_token(corpus.vocabulary),
        seconds=training.seconds,
        first_step_seconds=training.first_step_seconds,
        step_core_seconds=training.step_core_seconds,
        compile_seconds=training.compiled.seconds if training.objects.is_compiled else None,
        graphs_compiled=training.compiled.graphs if training.objects.is_compiled else None,
        worked_seconds=training.worked_seconds,
        diverged_step=diverged_step,
        declared={one.recorded_as: to_plain(one.declared()) for one in job.experiment.measures} | _declared_beside(job),
        parents=dict(read),
    )
    if diverged_step is None:
        loss, bpb = final_loss(job, corpus, training.measurements)
        if job.split == "val":
            done.val_loss, done.val_bpb = loss, bpb
        else:
            done.select_loss, done.select_bpb = loss, bpb
        if not job.is_made_to_choose:
            write_text(folder / "sample.txt", sample_text(job, corpus, training, num_tokens=_SAMPLE_TOKENS))
    with evaluated(training.objects.average, training.objects.optimizer):
        tensors = {name: tensor.cpu().contiguous() for name, tensor in model_tensors(training.objects.weights).items()}
        with written_whole(folder / "weights.safetensors") as file:
            file.write(safetensors.torch.save(tensors))
    done.weights_bytes = (folder / "weights.safetensors").stat().st_size
    done.files = checksums(folder)
    plain = sealed(done.plain())
    write_json(folder / "done.json", plain)
    return RunEnd.from_plain(plain)


def _declared_beside(job: Job) -> dict[str, Any]:
    """What the objective and the optimizer note of themselves, declared as a measure's numbers are."""
    found, experiment = {}, job.experiment
    if noted_of(job) is not None and experiment.objective is not None:
        shown = Shown(
            title="What the objective lowers",
            short="Objective",
            read="Means over the steps of training since the point before. None of it is an evaluation.",
        )
        found[OBJECTIVE] = to_plain(Declared(shown=shown, numbers=experiment.objective.numbers()))
    if steps_noted_of(job) is not None and experiment.optimizer is not None:
        known = OPTIMIZER_STEPS.numbers
        numbers = {
            name: known.get(name) or Number(unit="", higher_is_better=None, title=name)
            for name in experiment.optimizer.notes
        }
        found[OPTIMIZER] = to_plain(Declared(shown=OPTIMIZER_STEPS.shown, numbers=numbers))
    return found


def sample_text(job: Job, corpus: Corpus, training: Training, *, num_tokens: int) -> str:
    """What the model writes now, after the first tokens of the job's split. Draws from a generator of its own."""
    model = training.objects.model
    prompt_T = torch.from_numpy(corpus.split(job.split).tokens[:8].astype(np.int64)).to(training.objects.device)
    generator = torch.Generator().manual_seed(job.data_seed)
    with evaluated(training.objects.average, training.objects.optimizer):
        made = list(
            generate(
                model,  # type: ignore[arg-type]
                prompt_T,
                num_tokens=num_tokens,
                temperature=_SAMPLE_TEMPERATURE,
                generator=generator,
            )
        )
        model.train()
    return corpus.tokenizer.decode([*prompt_T.tolist(), *made])
