"""Losses and margins, and their gradients, against autograd and against extremes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tsds_qdrant.representations.gradients import objectives
from tsds_qdrant.representations.gradients.objectives import backward
from tsds_qdrant.representations.language.tokens import NOT_LEARNT


def by_autograd(states: Any, head: Any, labels: Any, objective: str, reduction: str) -> Any:
    logp = head(states)[:, :-1].log_softmax(-1)
    wanted = labels[:, 1:]
    own = logp.gather(2, wanted.clamp(min=0)[:, :, None])[:, :, 0]
    each = -own if objective == "loss" else own - torch.log1p(-own.exp())
    sums = each.masked_fill(wanted < 0, 0).sum(1)
    return sums / (wanted >= 0).sum(1) if reduction == "mean" else sums


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("objective", ["loss", "margin"])
@pytest.mark.parametrize("entries", [1, 60, 1 << 24])
def test_gradients_are_those_of_autograd(
    objective: Any, reduction: Any, entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objectives, "ENTRIES", entries)
    torch.manual_seed(0)
    head = torch.nn.Linear(6, 11).double().requires_grad_(False)
    labels = torch.randint(0, 11, (3, 7))
    labels[0, :3] = labels[1, 5:] = labels[2, 1::2] = NOT_LEARNT
    states = torch.randn(3, 7, 6, dtype=torch.float64, requires_grad=True)
    expected = by_autograd(states, head, labels, objective, reduction)
    (wanted,) = torch.autograd.grad(expected.sum(), states)
    (states * 1).retain_grad()
    values = backward(states, head, labels, objective, reduction)
    torch.testing.assert_close(states.grad, wanted)
    torch.testing.assert_close(values.loss, by_autograd(states, head, labels, "loss", "mean"))
    torch.testing.assert_close(values.margin, by_autograd(states, head, labels, "margin", "mean"))


def test_an_example_without_supervised_tokens_has_no_number() -> None:
    states = torch.randn(2, 3, 4, requires_grad=True)
    labels = torch.tensor([[1, 2, 3], [1, NOT_LEARNT, NOT_LEARNT]])
    values = backward(states, torch.nn.Linear(4, 5), labels)
    assert values.loss.isfinite().tolist() == [True, False]
    assert states.grad is not None
    assert not states.grad[1].any()


@pytest.mark.parametrize("score", [80.0, 20.0, 0.0, -20.0, -80.0])
def test_single_precision_keeps_its_digits_at_extremes(score: float) -> None:
    """Two tokens: the margin is the difference of the logits, whatever the probability."""
    for dtype in (torch.float32, torch.float64):
        states = torch.tensor([[[score, 0.0], [0.0, 0.0]]], dtype=dtype, requires_grad=True)
        labels = torch.tensor([[NOT_LEARNT, 0]])
        values = backward(states, torch.nn.Identity(), labels, "margin")
        assert float(values.margin) == pytest.approx(score, rel=1e-6)
        assert states.grad is not None
        assert states.grad[0, 0].tolist() == [1.0, -1.0]
        states.grad = None
        values = backward(states, torch.nn.Identity(), labels, "loss")
        exact = torch.tensor(-score, dtype=torch.float64)
        assert float(values.loss) == pytest.approx(
            float(torch.nn.functional.softplus(exact)), rel=1e-6
        )
        slope = float(torch.sigmoid(exact))
        assert states.grad[0, 0].tolist() == pytest.approx([-slope, slope], rel=1e-6)


def test_for_one_token_the_loss_gradient_is_the_margins_times_what_is_missing() -> None:
    torch.manual_seed(1)
    labels = torch.tensor([[NOT_LEARNT, 3]])
    found = {}
    for objective in ("loss", "margin"):
        states = torch.zeros(1, 2, 5).copy_(torch.arange(5.0) / 3).requires_grad_(True)
        values = backward(states, torch.nn.Identity(), labels, objective)  # type: ignore[arg-type]
        found[objective] = states.grad
    missing = 1 - torch.exp(-values.loss)
    torch.testing.assert_close(found["loss"], -missing.float() * found["margin"])
