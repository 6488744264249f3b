"""The loss by position, in training and in evaluation, as a measure that the loop takes like any other."""

import numpy as np

from vslm.data.batches import Windows
from vslm.training.loop import DivergedError, Training


class LossesByPosition:
    """Taken through the loss that training itself uses, compiled and in its precision.

    Arrays: `loss_nats_T` of the evaluated windows, `train_loss_nats_T` of all targets since it was taken before (NaN
    where there were none). Where targets count differently, `weight_T` and `train_weight_T` are the sums of their
    weights, and a position at which none counts has no loss (NaN).

    Args:
        windows: that are evaluated along the way.
        final_windows: that are evaluated after the last step.
    Raises: DivergedError, when taken, for a loss that is not finite.
    """

    def __init__(self, windows: Windows, final_windows: Windows) -> None:
        self.windows, self.final_windows = windows, final_windows

    def __call__(self, training: Training) -> dict[str, np.ndarray]:
        """Evaluate, and begin a new mean of the training loss."""
        objects = training.objects
        windows = self.final_windows if training.step == objects.num_steps else self.windows
        batch_windows = max(1, len(objects.batch(0)) // objects.accumulation)
        loss_nats_NT = training.evaluate(windows.tokens_NT1, batch_windows)
        if not np.isfinite(loss_nats_NT).all():  # the update that did it is seen here before a next batch can show it
            raise DivergedError(training.step)
        weight_T = windows.weights_by_position
        train_loss_nats_T, train_weight_T = training.take_train_losses()
        if train_loss_nats_T is None:
            train_loss_nats_T = np.full(loss_nats_NT.shape[1], np.nan)
            train_weight_T = None if weight_T is None else np.zeros(loss_nats_NT.shape[1])
        values = {"loss_nats_T": windows.by_position(loss_nats_NT), "train_loss_nats_T": train_loss_nats_T}
        weights = {"weight_T": weight_T, "train_weight_T": train_weight_T}
        return values | {name: array for name, array in weights.items() if array is not None}
