"""What a language model's predictions say of an example: loss, entropy and EL2N.

All are means over the tokens that are learnt, in natural logarithms:

- loss: -ln p(token);
- entropy: -sum p ln p over the vocabulary, where that token is predicted;
- EL2N: the length of p - onehot(token) (Paul et al. 2021, arXiv 2107.07075).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsds_qdrant.arrays import FloatArray

if TYPE_CHECKING:
    import torch

    from tsds_qdrant.representations.language.output_layer import OutputLayer

CPU_BYTES = 1 << 26
DEVICE_BYTES = 1 << 29
"""Of the logits that are held at once; half precision is computed in float32."""


@dataclass(frozen=True)
class Scores:
    """Of B examples; NaN for one without a token that is learnt.

    Attributes:
        loss: (B,) float64, as the others.
        entropy: (B,).
        el2n: (B,).
    """

    loss: FloatArray
    entropy: FloatArray
    el2n: FloatArray


def scores(states: torch.Tensor, labels: torch.Tensor, output: OutputLayer) -> Scores:
    """The scores of a batch; logits are made of the positions that predict learnt tokens alone.

    Args:
        states: (B, T, D) last hidden states.
        labels: (B, T) ids of the tokens that are learnt, -100 for all others.
        output: makes logits of states.
    """
    import torch

    labels = labels[:, 1:].to(states.device)
    rows, positions = torch.nonzero(labels >= 0, as_tuple=True)
    targets = labels[rows, positions]
    wide = 8 if states.dtype == torch.float64 else 4
    held = CPU_BYTES if states.device.type == "cpu" else DEVICE_BYTES
    step = max(1, held // (wide * output.vocabulary))
    parts = []
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        logits = output(states[rows[part], positions[part]])
        parts.append(_token_scores(logits, targets[part]))
    sums = torch.zeros(3, len(states), dtype=torch.float64)
    if parts:
        sums.index_add_(1, rows.cpu(), torch.cat(parts, 1).double().cpu())
    with np.errstate(invalid="ignore"):
        return Scores(*(sums.numpy() / np.bincount(rows.cpu().numpy(), minlength=len(states))))


def _token_scores(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(3, n): loss, entropy and EL2N of n predictions, of their (n, V) logits."""
    import torch

    if logits.dtype not in (torch.float32, torch.float64):
        logits = logits.float()
    shifted = logits - logits.amax(1, keepdim=True)
    own = shifted.gather(1, targets[:, None])[:, 0]
    powers = shifted.exp()
    total = powers.sum(1)
    # Products of rows, without a copy of the size of all logits.
    mean = torch.bmm(powers[:, None], shifted[:, :, None])[:, 0, 0] / total
    squares = torch.bmm(powers[:, None], powers[:, :, None])[:, 0, 0] / total**2
    of_target = own.exp() / total
    loss = total.log() - own
    return torch.stack(
        [loss, total.log() - mean, (squares - 2 * of_target + 1).clamp(min=0).sqrt()]
    )
