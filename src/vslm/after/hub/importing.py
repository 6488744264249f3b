"""A checkpoint of `transformers` as the folder of a run: sample, eval, measure, adapters and teachers take it.

    OUT/study.json                     one arm, `model`, with one seed, judged by nothing
    OUT/model/seed0/weights.safetensors, tokenizer.json, experiment.json, done.json, ...

`experiment.json` says which folder it came from (`start_from`); it was trained on nothing here, which done.json says: 0
tokens. With a text its loss there is measured at once, and measures of text can be taken; without one they are refused.
"""

import math
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch

import vslm
from vslm.after.hub.checkpoint import Checkpoint
from vslm.after.hub.taken_over import taken_over
from vslm.core.errors import DataError, ResultError, SpecError
from vslm.core.machine import available_cores
from vslm.core.specs import fingerprint, to_plain
from vslm.data.corpus import NO_CORPUS, Corpus
from vslm.data.preparing import prepare
from vslm.data.sources import Text
from vslm.data.tokenizer_of_run import TokenizerOf
from vslm.data.tokenizers import FittedTokenizer, load_tokenizer
from vslm.lab.stages import save
from vslm.measure.loss_by_position import LossByPosition
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel
from vslm.results.files import make_folder, sha256, write_json, write_rows, written_whole
from vslm.results.primary import VAL_LOSS
from vslm.results.records import FORMAT, ArmRecord, CorpusRecord, PlanRecord, RunEnd, SettingsRecord, StudyRecord
from vslm.results.seals import checksums, sealed
from vslm.runs.recording import final_loss, loss_arrays, write_arrays
from vslm.runs.run import environment
from vslm.runs.stored_run import WEIGHTS
from vslm.study.experiment import Budget, Experiment
from vslm.study.job import Job, Settings
from vslm.training.checkpoints import load_model_tensors
from vslm.training.loop import Measurement

ARM = "model"
_ERROR = 0.05


def import_checkpoint(
    path: Path,
    out: Path,
    *,
    data: Sequence[str] = (),
    context_tokens: int | None = None,
    say: Callable[[str], None],
) -> Path:
    """Write the folder of a run, and return it.

    Args:
        path: the folder of the checkpoint: config.json, model.safetensors, tokenizer.json.
        out: a folder that is not there yet.
        data: files, folders or globs of text to measure it on; none: it is measured on no text.
        context_tokens: of the model; None: as long as the checkpoint's.
        say: told of what is under way, and of what was not taken over.
    Raises: DataError or SpecError for a checkpoint that cannot be taken over; nothing is left then.
    """
    if out.exists():
        raise SpecError(str(out), "it is there already", "a new folder is written", "name another with --out")
    checkpoint = Checkpoint(path)
    _ = checkpoint.config  # what is no checkpoint is said before its tokenizer is missed
    tokenizer = _tokenizer(path)
    model, weights = taken_over(checkpoint, context_tokens=context_tokens, num_ids=tokenizer.vocabulary)
    module = model.build(vocabulary=tokenizer.vocabulary, init=Init(seed=0)).eval()
    load_model_tensors(module, weights, str(path))
    if tokenizer.end_of_text is None:
        say("its tokenizer has no <|endoftext|>, so documents and sentences are read without a separator")
    run = out / ARM / "seed0"
    try:
        make_folder(run)
        tokenizer.save(run / "tokenizer.json")
        source = Text(tuple(data) or str(path), tokenizer=TokenizerOf(run=str(run)))
        corpus = prepare(source, say=say) if data else None
        experiment = Experiment(
            model=model,
            data=source,
            budget=Budget(tokens=model.context_tokens),
            batch_tokens=model.context_tokens,
            start_from=str(path.resolve()),
        )
        _write(experiment, module, corpus, run, out)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    return run


def _tokenizer(path: Path) -> FittedTokenizer:
    """Its tokenizer, if it is byte-level BPE. Raises: DataError for another one."""
    file = path / "tokenizer.json"
    try:
        return load_tokenizer(file)
    except ResultError as error:
        do = "byte-level BPE, as GPT-2 and SmolLM have it, can be taken over, and what vslm exported"
        raise DataError(error.where, error.found, error.allowed, do) from None


def _write(experiment: Experiment, module: LanguageModel, corpus: Corpus | None, run: Path, out: Path) -> None:
    job = Job(
        arm=ARM,
        experiment=experiment,
        stages_tokens=(experiment.model.context_tokens,),
        init_seed=0,
        data_seed=0,
        settings=Settings(device="cpu", precision="fp32", compiled=False, threads=available_cores()),
        corpus=NO_CORPUS if corpus is None else corpus.fingerprint,
    )
    write_json(run / "experiment.json", {"fingerprint": job.fingerprint, "job": to_plain(job)})
    write_json(run / "environment.json", environment(job))
    with written_whole(run / WEIGHTS) as file:
        tensors = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
        file.write(safetensors.torch.save(tensors))
    vocabulary = module.root.get_parameter("embedding_VE").shape[0]
    done = RunEnd(status="done", fingerprint=job.fingerprint, step=0, tokens=0.0, flops=0.0, seconds=0.0)
    rows: list[dict[str, Any]] = []
    if corpus is not None:
        taken = _losses(module, experiment.loss_by_position, corpus)
        done.val_loss, done.val_bpb = final_loss(job, corpus, [taken])
        rows.append({"step": 0, "tokens": 0, "flops": 0.0, "seconds": 0.0, "val_loss": done.val_loss})
        write_arrays(run / "arrays.npz", loss_arrays([taken], "val", tokens_per_step=1, num_steps=0))
    write_rows(run / "measures.jsonl", rows)
    done.weights_bytes = (run / WEIGHTS).stat().st_size
    done.files = checksums(run)
    write_json(run / "done.json", sealed(done.plain()))
    save(_study(job, corpus, vocabulary, out.resolve().name, sha256(run / WEIGHTS)), out)


def _losses(module: LanguageModel, measure: LossByPosition, corpus: Corpus) -> Measurement:
    """Its losses as a run has them; of training there are none."""
    context_tokens = module.context_tokens
    values = measure.build(model=module, corpus=corpus, context_tokens=context_tokens)(module)
    none_T = np.full_like(values["loss_nats_T"], math.nan)
    return Measurement(measure.recorded_as, 0, {**values, "train_loss_nats_T": none_T})


def _study(job: Job, corpus: Corpus | None, vocabulary: int, name: str, digest: str) -> StudyRecord:
    """The record of a study of one arm, as one that was run has it."""
    experiment, settings = job.experiment, job.settings
    model = experiment.model
    arm = ArmRecord(
        experiment=to_plain(experiment),
        fingerprint=fingerprint(experiment),
        differences=[],
        num_parameters=model.num_parameters(vocabulary),
        num_parameters_without_embeddings=model.num_parameters_without_embeddings(vocabulary),
        flops_per_token=model.flops_per_token(vocabulary),
        corpus=job.corpus,
        bytes_per_token=1.0 if corpus is None else corpus.bytes_per_token("val"),
        start_sha256=digest,
        stages_tokens=list(job.stages_tokens),
        tokens=sum(job.stages_tokens),
        kernels=dict(model.kernels(settings.where)),
        runs={"0": job.fingerprint},
    )
    return StudyRecord(
        format=FORMAT,
        name=name,
        question=f"The model of {experiment.start_from}, imported",
        baseline=ARM,
        arms={ARM: arm},
        seeds=[0],
        primary=VAL_LOSS,
        match="tokens",
        budgets=[1.0],
        plan=PlanRecord(looks=[1], errors=[_ERROR], reserve=0.0),
        settings=SettingsRecord(
            device="cpu", precision="fp32", compiled=False, threads=settings.threads, fused_attention=False, workers=1
        ),
        tokens_per_second=1.0,
        corpora={} if corpus is None else {corpus.fingerprint: CorpusRecord.from_plain(corpus.meta)},
        vslm_version=vslm.__version__,
        created=time.strftime("%Y-%m-%dT%H:%M:%S"),
    )
