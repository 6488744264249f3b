"""Orders that wait for others: none is given out before those that it waits for have ended. With small processes."""

import dataclasses
from pathlib import Path

import pytest
from test_silent_workers import carried_out, heard  # noqa: F401

from vslm.runs import pool
from vslm.runs.pool import Order


def test_an_order_is_given_out_after_those_it_waits_for(
    tmp_path: Path,
    heard: dict[str, list[dict]],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two at a time: what waits for nothing passes by; where all others wait, a worker has nothing to do."""
    began, ended = [], []
    run_orders, give = pool.run_orders, pool._Worker.give

    def waiting(orders: list[Order], *, workers: int, on_message: pool.OnMessage) -> None:
        by_name = {order.folder.name: order for order in orders}
        after = {"child-0": ("trunk-0",), "grandchild-0": ("child-0",)}
        changed = [
            dataclasses.replace(order, after=tuple(by_name[one].folder for one in after.get(name, ())))
            for name, order in by_name.items()
        ]

        def hear(order: Order, message: dict) -> None:
            if "done" in message:
                ended.append(order.folder.name)
            on_message(order, message)

        run_orders(changed, workers=workers, on_message=hear)

    def given(worker: pool._Worker, order: Order) -> None:
        began.append((order.folder.name, tuple(ended)))
        give(worker, order)

    monkeypatch.setattr("test_silent_workers.run_orders", waiting)
    monkeypatch.setattr(pool._Worker, "give", given)
    carried_out(["grandchild-0", "child-0", "trunk-0", "free-0"], tmp_path, heard)
    before = dict(began)
    assert set(before) == {"grandchild-0", "child-0", "trunk-0", "free-0"}
    assert "trunk-0" in before["child-0"]
    assert "child-0" in before["grandchild-0"]
    assert [name for name, _ in began][:2] == ["trunk-0", "free-0"]
