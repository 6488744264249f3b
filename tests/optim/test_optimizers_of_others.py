"""Optimizers of torch and of installed packages as arms: by path, by class, and what is said where they are missing."""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vslm.core.errors import SpecError
from vslm.core.specs import fingerprint, from_plain, to_plain
from vslm.optim.optimizer_of import OptimizerOf
from vslm.optim.schedule_free import ScheduleFreeAdamW
from vslm.optim.sgd import SGD
from vslm.study.catalog import KINDS
from vslm.training.averaging import WeightAverage, evaluated


def test_a_class_is_its_path_and_gets_groups_by_role() -> None:
    """One name of the run, whichever of the two was written; weight decay on matrices only, or as the class has it."""
    given: dict[str, Any] = {"learning_rate": 0.03, "options": {"betas": (0.8, 0.9)}}
    by_path = OptimizerOf("torch.optim.radam.RAdam", weight_decay=0.2, **given)
    assert OptimizerOf(torch.optim.RAdam, weight_decay=0.2, **given) == by_path  # type: ignore[arg-type]
    assert fingerprint(from_plain(to_plain(by_path), KINDS)) == fingerprint(by_path)
    assert fingerprint(OptimizerOf("torch.optim.radam.RAdam", **given)) != fingerprint(by_path)
    model = nn.Sequential(nn.Embedding(11, 3), nn.Linear(3, 5))
    built = by_path.build(model)
    assert isinstance(built, torch.optim.RAdam)
    assert [(group["weight_decay"], len(group["params"]), group["betas"]) for group in built.param_groups] == [
        (0.0, 2, (0.8, 0.9)),
        (0.2, 1, (0.8, 0.9)),
    ]
    assert len(OptimizerOf("torch.optim.RAdam", **given).build(model).param_groups) == 1


@pytest.mark.parametrize(
    ("path", "kept"), [("RAdam", 2), ("SGD", 0), ("Adagrad", 1), ("Adadelta", 2), ("Adafactor", 1)]
)
def test_what_it_keeps_is_counted(path: str, kept: int) -> None:
    """On a small matrix; Adafactor keeps a row and a column, 4 of 16 each, and a scale."""
    found = OptimizerOf(f"torch.optim.{path}", learning_rate=0.1).state_per_parameter("matrix")
    assert found == kept or (path == "Adafactor" and 0 < found < kept)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"path": "RAdam"}, r"path: found 'RAdam'; a dotted path is needed"),
    ({"path": "torch.optim.RAdan"}, r"torch.optim has no optimizer 'RAdan'; .*RAdam"),
    (
        {"path": "torch.nn.Linear"},
        r"torch.nn has no optimizer 'Linear', only something else.*; no torch.optim.Optimizer is in torch.nn",
    ),
    ({"path": "no_such_package.Lion"}, r"no_such_package cannot be imported.*; install the package"),
    ({"path": "torch.optim.RAdam", "options": {"lr": 0.1}}, r"options.lr: found among the options; .*learning_rate="),
    (
        {"path": "torch.optim.RAdam", "options": {"beta": 0.1}},
        r"options.beta: torch.optim.RAdam takes no such option; .*betas",
    ),
    ({"path": "torch.optim.Muon"}, r"torch.optim.Muon refuses what it is made of: ValueError: .*2D"),
    ({"path": "torch.optim.LBFGS"}, r"a step of torch.optim.LBFGS fails.*closure.*; training calls step\(\) alone"),
    ({"path": "torch.optim.SparseAdam"}, r"a step of torch.optim.SparseAdam fails.*dense gradients"),
    (
        {"path": "torch.optim.Rprop", "weight_decay": 0.1},
        r"weight_decay: found 0.1, and torch.optim.Rprop has no weight d",
    ),
    ({"path": "torch.optim.SGD", "weight_decay": -0.1}, r"weight_decay: found -0.1; 0 or more"),
    ({"path": "torch.optim.SGD", "options": {"maximize": True}}, r"options.maximize: found True; training lowers"),
    ({"path": "torch.optim.RAdam", "options": {"betas": (0.5, 7.0)}}, r"refuses what it is made of: ValueError"),
]


@pytest.mark.parametrize(("given", "message"), BAD)
def test_what_cannot_be_made_is_said_before_a_run(given: dict[str, Any], message: str) -> None:
    """At construction, or when the machine is asked."""
    with pytest.raises(SpecError, match=message):
        OptimizerOf(learning_rate=0.1, **given).check_here()


def test_a_class_of_ones_own_is_refused() -> None:
    """Its code would not name the run."""

    class Own(torch.optim.SGD):
        pass

    with pytest.raises(SpecError, match=r"Own is a class of your own; .*derives from Optimizer"):
        OptimizerOf(Own, learning_rate=0.1)  # type: ignore[arg-type]


def test_a_module_of_ones_own_is_refused_by_its_path_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it imports is the user's file; and one that fails when it is read is said in words."""
    (tmp_path / "own_descent_29.py").write_text("import torch\n\n\nclass Own(torch.optim.SGD):\n    pass\n")
    (tmp_path / "broken_descent_29.py").write_text("raise RuntimeError('no device')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SpecError, match=r"optimizer.path: Own is a class of your own; .*derives from Optimizer"):
        OptimizerOf("own_descent_29.Own", learning_rate=0.1).check_here()
    with pytest.raises(SpecError, match=r"broken_descent_29 cannot be imported: RuntimeError: no device"):
        OptimizerOf("broken_descent_29.Own", learning_rate=0.1).check_here()


@pytest.mark.parametrize(("name", "value"), [("momentum", 1.0), ("weight_decay", -0.1), ("nesterov", True)])
def test_sgd_refuses_numbers_outside_their_range(name: str, value: Any) -> None:
    """At the field."""
    given = {"momentum": 0.0, name: value}
    with pytest.raises(SpecError) as said:
        SGD(learning_rate=0.1, **given)
    assert said.value.where == name


def test_without_its_library_schedule_free_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a run, and when it is built."""

    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    spec = ScheduleFreeAdamW(learning_rate=0.1)
    for call in (spec.check_here, lambda: spec.build(nn.Linear(3, 5))):
        with pytest.raises(SpecError, match=r"pip install 'vslm\[schedulefree\]'"):
            call()
    with pytest.raises(SpecError, match=r"betas.0: found 0"):
        ScheduleFreeAdamW(learning_rate=0.1, betas=(0.0, 0.9))


@pytest.mark.parametrize("path", [None, "schedulefree.SGDScheduleFree"])
def test_schedule_free_is_evaluated_at_its_average_and_trained_where_it_was(path: str | None) -> None:
    """x inside, y afterwards to the bit; an average of weights that is asked for comes before."""
    pytest.importorskip("schedulefree")
    line = nn.Linear(3, 5)
    spec = OptimizerOf(path, learning_rate=0.3) if path else ScheduleFreeAdamW(learning_rate=0.3)
    built = spec.build(line)
    average = WeightAverage(line, 3)
    for k in range(5):
        (line(torch.arange(6.0).reshape(2, 3).sin() + k) - 1).square().mean().backward()
        built.step()
        built.zero_grad()
        average.update()
    y, z, b1 = line.weight.detach().clone(), built.state[line.weight]["z"], 0.9
    seen: list[Tensor] = []
    for one in (None, average):
        with evaluated(one, built):
            seen.append(line.weight.detach().clone())
        assert torch.equal(line.weight, y)
        assert all(group["train_mode"] for group in built.param_groups)
    torch.testing.assert_close(seen[0], (y - (1 - b1) * z) / b1, rtol=1e-4, atol=1e-6)
    assert torch.equal(seen[1], average.mean[0])
    assert not torch.equal(seen[0], y)
