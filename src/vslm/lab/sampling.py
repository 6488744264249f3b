"""A finished run as something that writes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from vslm.core.errors import ResultError
from vslm.core.specs import from_plain
from vslm.data.tokenizers import FittedTokenizer, load_tokenizer
from vslm.lab.job import Job
from vslm.lab.study_file import kinds_with
from vslm.models.generation import generate
from vslm.models.initialization import Init
from vslm.models.language_model import LanguageModel
from vslm.results.files import read_json
from vslm.results.folder import StudyFolder
from vslm.training.checkpoints import load_model_tensors


@dataclass(frozen=True)
class Writer:
    """A trained model with its tokenizer, on the CPU."""

    model: LanguageModel
    tokenizer: FittedTokenizer

    def stream(
        self, prompt: str, *, num_tokens: int, temperature: float, top_k: int | None, seed: int
    ) -> Iterator[str]:
        """Yield the prompt and what follows, in pieces that never break inside a character."""
        ids = self.tokenizer.encode(prompt).tolist() if prompt else []
        start = ids or [self.tokenizer.end_of_text or 0]
        shown = ""
        made = list(ids)
        tokens = generate(
            self.model,
            torch.tensor(start),
            num_tokens=num_tokens,
            temperature=temperature,
            top_k=top_k,
            generator=torch.Generator().manual_seed(seed),
        )
        for token in tokens:
            made.append(token)
            text = self.tokenizer.decode(made)
            if not text.endswith("\ufffd"):
                yield text[len(shown) :]
                shown = text


def open_run(folder: Path) -> Writer:
    """The model of a run's folder, or of the baseline's first seed in a study's folder.

    Raises: ResultError if there is no finished run.
    """
    if (folder / "study.json").is_file():
        study = StudyFolder(folder)
        runs = study.runs(study.study["baseline"])
        folder = runs[0].path if runs else folder
    weights = folder / "weights.safetensors"
    if not weights.is_file():
        raise ResultError(
            str(folder), "no weights.safetensors", "the folder of a finished run", "try runs/NAME/ARM/seed0"
        )
    sources = sorted(folder.parents[1].glob("*.py")) if len(folder.parents) > 1 else []
    job: Job = from_plain(read_json(folder / "experiment.json")["job"], kinds_with(sources[0] if sources else None))
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    spec = job.experiment.model
    model = spec.build(vocabulary=tokenizer.vocabulary, init=Init(seed=0), kernels=spec.kernels("cpu"))
    load_model_tensors(model, load_file(weights), str(weights))
    return Writer(model, tokenizer)
