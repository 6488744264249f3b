"""What an experiment refuses because its parts do not fit each other."""

import pytest

from vslm.core.errors import SpecError
from vslm.data.sources import StandardLibrary
from vslm.models.layouts.patterns import ahead
from vslm.models.layouts.plain import uniform
from vslm.study.experiment import Budget, Experiment


def test_a_token_beyond_the_window_is_no_target() -> None:
    """Of 5 positions the first can predict 5 tokens ahead and none can predict 6: its loss would silently be none."""
    plain = uniform(depth=1, width=8, heads=2, context_tokens=5)
    for tokens, message in ((5, None), (6, r"model\.path\..*offset: 6 tokens ahead in a context of 5")):
        experiment = Experiment(
            model=ahead(plain, tokens=tokens), data=StandardLibrary(), budget=Budget(tokens=1000), batch_tokens=5
        )
        if message is None:
            experiment.validate()
            continue
        with pytest.raises(SpecError, match=message):
            experiment.validate()
