"""Commands for Hugging Face: export."""

from pathlib import Path

from vslm.cli.arguments import Flag


def export(folder: Path, out: Path, /, *, trust: Flag = False) -> None:
    """Write a trained model as a checkpoint that transformers reads without any code of its own.

    Models of the Llama and of the GPT-2 layout can be written; others are refused, with what they have that cannot be
    said there. What was written is read back, and refused if a logit differs by more than 0.0001. Needs transformers
    (pip install 'vslm[hub]').

    Args:
        folder: Of a run (runs/NAME/ARM/seed0), or of an arm or a study: then the (baseline's) first finished seed.
        out: A new folder.
        trust: Run the code in the folder even if you did not run it on this machine before, or it was changed since.
    """
    from vslm.after.hub.exporting import export_run

    found = export_run(folder, out, trust=trust)
    print(f"{found.out}: {found.layout} with {found.num_layers} layers, from {found.run}")
    print(f"largest difference of a logit {found.difference:.2g}, read back in fp32")
