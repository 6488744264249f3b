"""The card of a model: what it is, where it comes from, and what its study said of it."""

from collections.abc import Iterator
from typing import Any

import vslm
from vslm.core.errors import VslmError
from vslm.results.folder import StudyFolder
from vslm.results.naming import study_around
from vslm.runs.stored_run import WEIGHTS, StoredRun

_DIGITS = 12  # of a SHA-256
_HEAD = """---
library_name: transformers
pipeline_tag: text-generation
tags:
- vslm
---
"""
_USE = """
## Use

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{here}")
model = AutoModelForCausalLM.from_pretrained("{here}")
print(tokenizer.decode(model.generate(**tokenizer("Once", return_tensors="pt"), max_new_tokens=50)[0]))
```

No code of its own is needed. {separator}
"""


def card(run: StoredRun, layout: str, difference: float) -> str:
    """The README of an exported run.

    Args:
        run: whose weights.
        layout: the class of `transformers` that reads it.
        difference: the largest between a logit of the run and one of the files.
    """
    name = run.job.arm
    lines = [_HEAD, f"# {name}, trained with vslm", ""]
    lines += [f"- {words}" for words in _facts(run, layout, difference)]
    if verdict := _verdict(run):
        lines += ["", "## What its study said", "", *verdict]
    has_separator = run.tokenizer.end_of_text is not None
    words = (
        "Documents were separated by `<|endoftext|>`, so a text begins behind it and ends with it."
        if has_separator
        else ""
    )
    return "\n".join(lines) + "\n" + _USE.format(here="this-folder", separator=words)


def _facts(run: StoredRun, layout: str, difference: float) -> Iterator[str]:
    job, done = run.job, run.folder.done
    model, vocabulary = job.experiment.model, run.tokenizer.vocabulary
    sizes = f"{vocabulary:,} ids, context {model.context_tokens:,} tokens"
    yield f"`{layout}`, {model.num_parameters(vocabulary):,} parameters, {sizes}"
    yield f"largest difference of a logit from the run's own, over whole contexts in fp32: {difference:.1g}"
    if done is not None and done.tokens == 0:
        yield f"imported from {job.experiment.start_from}, and not trained since"
    else:
        yield f"trained on {job.experiment.data.describe()} (corpus {job.corpus}; its license is not known to vslm)"
    if done is not None:
        if done.tokens:
            yield f"{done.tokens:,.0f} tokens in {done.step:,} steps"
        if done.val_loss is not None and done.val_bpb is not None:
            yield f"loss on held-out text {done.val_loss:.4f} nats per token, {done.val_bpb:.4f} bits per byte"
        if digest := done.files.get(WEIGHTS):
            yield f"from weights with SHA-256 {digest[:_DIGITS]}, run {job.fingerprint}, seed {job.init_seed}"
    if job.experiment.adapter is not None:
        yield f"an adapter ({type(job.experiment.adapter).__name__}) beside {job.experiment.start_from}, merged"
    yield f"written by vslm {vslm.__version__}"


def _verdict(run: StoredRun) -> list[str]:
    """The question of its study and what was decided about its arm; nothing where there is no study, or no verdict."""
    found = study_around(run.path)
    if found is None:
        return []
    folder = StudyFolder(found)
    try:
        verdict, study = folder.verdict, folder.study
    except VslmError:
        return []
    lines = [f"Question: {study.question}"]
    row: Any = None if verdict is None else verdict.arms.get(run.job.arm)
    if row is not None:
        lines.append(f"\nThis arm: {row.words}")
    elif run.job.arm == study.baseline and len(study.arms) > 1:
        lines.append("\nThis arm is the baseline that the others were compared with.")
    elif len(study.arms) > 1:
        lines.append("\nThis arm was not judged.")
    return lines if len(study.arms) > 1 else []
