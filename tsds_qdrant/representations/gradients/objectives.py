"""What is differentiated: the loss of the supervised tokens, or their margin.

With f = log(p / (1 - p)) for the token's probability p, its loss is log(1 + exp(-f)), and the
gradient of the loss is -(1 - p) times that of f. So both come from the softmax over the other
tokens, and neither loses digits where p is close to 0 or 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tsds_qdrant.representations.language.tokens import NOT_LEARNT

if TYPE_CHECKING:
    import torch

Objective = Literal["loss", "margin"]
Reduction = Literal["mean", "sum"]
ENTRIES = 1 << 24
"""Logits that are held at once."""


@dataclass(frozen=True)
class Values:
    """Of each of B examples, as (B,) float64 tensors; NaN without supervised tokens.

    Attributes:
        loss: the mean over its supervised tokens.
        margin: the mean of log(p / (1 - p)) over them.
    """

    loss: Any
    margin: Any


def backward(
    hidden: torch.Tensor,
    head: Callable[[torch.Tensor], torch.Tensor],
    labels: torch.Tensor,
    objective: Objective = "loss",
    reduction: Reduction = "mean",
) -> Values:
    """Differentiate the objective of each example, in a backward pass through ``hidden``.

    The sum of the examples' objectives is differentiated, so what reaches an example is the
    gradient of its own. Logits are computed of supervised tokens alone, some at a time.

    Args:
        hidden: (B, T, H) what the head reads, with its graph.
        head: (n, H) rows to their (n, V) logits.
        labels: (B, T) token ids, -100 where nothing is learnt; each is predicted one place before.
        objective: what is differentiated.
        reduction: of an example's supervised tokens.
    """
    import torch

    wanted = labels[:, 1:] != NOT_LEARNT
    supervised = wanted.sum(1)
    owners = wanted.nonzero()[:, 0]
    rows, tokens = hidden[:, :-1][wanted], labels[:, 1:][wanted]
    shares = 1 / supervised[owners].to(_wide(rows))
    weights = shares if reduction == "mean" else torch.ones_like(shares)
    margins = torch.zeros_like(shares)
    gradients = torch.empty_like(rows)
    start, size = 0, 1
    while start < len(rows):
        part = slice(start, start + size)
        read = rows[part].detach().requires_grad_(True)
        logits = head(read)
        margin, slopes = _margins(logits.detach(), tokens[part])
        factors = weights[part].to(slopes.dtype)
        if objective == "loss":
            factors = -factors * torch.sigmoid(-margin)
        logits.backward(slopes.mul_(factors[:, None]).to(logits.dtype))
        gradients[part], margins[part] = read.grad, margin
        start, size = part.stop, max(1, ENTRIES // logits.shape[-1])
    rows.backward(gradients)
    # Not all devices have float64.
    margins, shares, owners = margins.cpu().double(), shares.cpu().double(), owners.cpu()
    losses = torch.nn.functional.softplus(-margins)
    sums = torch.where(supervised.cpu() > 0, 0.0, torch.nan).double()
    return Values(
        sums.index_add(0, owners, losses * shares), sums.index_add(0, owners, margins * shares)
    )


def _margins(logits: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(n,) margins of ``tokens`` and their (n, V) gradients in the logits, float32 at least."""
    import torch

    logits = logits.to(_wide(logits))
    own = tokens[:, None]
    score = logits.gather(1, own)
    slopes = logits.scatter(1, own, -torch.inf)
    top = slopes.amax(1, keepdim=True)
    total = slopes.sub_(top).exp_().sum(1, keepdim=True)
    slopes.div_(-total).scatter_(1, own, 1.0)
    return (score - top - total.log())[:, 0], slopes


def _wide(rows: torch.Tensor) -> torch.dtype:
    """What ``rows`` are computed in: float32 at least."""
    import torch

    return torch.float64 if rows.dtype == torch.float64 else torch.float32
