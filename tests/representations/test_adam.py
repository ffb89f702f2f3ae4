"""Steps of Adam against numbers worked by hand, and against a real optimizer."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tsds_qdrant.representations.checkpoints.optimizer_state import Adam
from tsds_qdrant.representations.gradients.adam import AdamStep


def step_of(form: Any, m: float, v: float, g: float, step: int = 10**6) -> float:
    state = {
        "w": Adam(torch.tensor([m]).double(), torch.tensor([v]).double(), step, (0.9, 0.999), 1e-8)
    }
    return float(AdamStep(state, form)("w", torch.tensor([[g]]).double()))


@pytest.mark.parametrize(
    ("form", "m", "v", "g", "expected"),
    [
        ("less", 0.1, 0.04, 0.5, 0.698170),
        ("less", 0.1, 0.04, -0.5, 0.199477),
        ("less", 0.0, 1e-12, 1e-6, 0.00100),
        ("torch", 0.0, 1e-12, 1e-6, 0.09901),
        ("less", 0.0, 0.0, 0.0, 0.0),
        ("torch", 0.1, 0.04, 0.5, 0.698170),
    ],
)
def test_steps_by_hand(form: str, m: float, v: float, g: float, expected: float) -> None:
    assert step_of(form, m, v, g) == pytest.approx(expected, abs=6e-6)


@pytest.mark.parametrize("before", [1, 3, 40])
def test_a_real_step_of_adamw_moves_parameters_by_it(before: int) -> None:
    torch.manual_seed(before)
    weight = torch.nn.Parameter(torch.randn(5, 3).double())
    optimizer = torch.optim.AdamW([weight], lr=1e-3, weight_decay=0.0)
    for _ in range(before):
        weight.grad = torch.randn_like(weight) * 10.0 ** torch.randint(-8, 1, weight.shape)
        optimizer.step()
    held = optimizer.state[weight]
    state = {
        "w": Adam(
            held["exp_avg"].clone(),
            held["exp_avg_sq"].clone(),
            int(held["step"]),
            (0.9, 0.999),
            1e-8,
        )
    }
    gradient = torch.randn_like(weight) * 1e-4
    before_it = weight.detach().clone()
    weight.grad = gradient
    optimizer.step()
    displaced = AdamStep(state, "torch")("w", gradient[None])[0]
    torch.testing.assert_close(
        weight.detach() - before_it, -1e-3 * displaced, rtol=1e-9, atol=1e-15
    )


def test_examples_of_a_batch_do_not_touch_each_other() -> None:
    state = {"w": Adam(torch.randn(2, 3), torch.rand(2, 3), 5, (0.9, 0.999), 1e-8)}
    gradients = torch.randn(4, 2, 3)
    together = AdamStep(state, "less")("w", gradients)
    alone = torch.cat([AdamStep(state, "less")("w", one[None]) for one in gradients])
    assert torch.equal(together, alone)
