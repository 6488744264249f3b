"""Runs sent to other people's trackers: one small file each, and nothing that trains knows of them.

    feed.py          what is sent of a run, from its folder
    sending.py       `send`: what was not sent yet, once or until the run is over
    wandb_like.py    wandb and trackio, whose interface is the same
    tensorboard.py   TensorBoard's event files

The packages are extras, imported where they are used: `pip install 'vslm[wandb]'`, `[trackio]`, `[tensorboard]`.

Not for: reading anything back. What a tracker shows came from the run folder, and the folder stays what counts.
"""
