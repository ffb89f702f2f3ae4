"""Projected gradients against explicit ones, one example at a time by autograd, in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gradient_models import DIALOGUES, dot, explicit, language, one_batch, projected
from tiny_models import saved_model, tiny_model

from tsds_qdrant.errors import EmbeddingError, SettingsError
from tsds_qdrant.representations.gradients.differentiated import Differentiated
from tsds_qdrant.representations.gradients.linear_layers import linear_layers
from tsds_qdrant.representations.gradients.per_example import PerExample
from tsds_qdrant.representations.gradients.projection import Projection
from tsds_qdrant.representations.language.model import LanguageModel
from tsds_qdrant.representations.language.output_layer import OutputLayer


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return language(tmp_path_factory.mktemp("tiny"))


def blocks(model: LanguageModel, batch: Any, projection: Projection, **more: Any) -> Any:
    differentiated = Differentiated(model.model, OutputLayer(model), more.pop("patterns", ()))
    given = model.inputs(batch.ids, batch.attention)
    taken, values = differentiated.take(given, batch.labels, projection, **more)
    return taken.block.numpy(), values


def test_all_linear_layers_but_the_head_are_taken(tiny: LanguageModel) -> None:
    names = [*linear_layers(tiny.model)]
    assert len(names) == 14
    assert not [name for name in names if "lm_head" in name or "embed" in name or "norm" in name]
    assert [*linear_layers(tiny.model, ["*.1.*.up_proj", "*q_proj"])] == [
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.1.self_attn.q_proj.weight",
        "model.layers.1.mlp.up_proj.weight",
    ]


def test_a_pattern_that_fits_nothing_is_told_with_one_that_does(tiny: LanguageModel) -> None:
    with pytest.raises(SettingsError, match=r"--layers 'mlp' fits no linear layer") as raised:
        linear_layers(tiny.model, ["mlp"])
    advice = str(raised.value).rpartition("'*")[2].rstrip("'")
    assert linear_layers(tiny.model, [f"*{advice}"])


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["loss", "margin"])
@pytest.mark.parametrize(("dimension", "seed"), [(32, 0), (512, 1), (2048, -5), (16384, 7)])
def test_blocks_are_the_projections_of_explicit_gradients(
    tiny: LanguageModel, objective: str, dimension: int, seed: int
) -> None:
    batch = one_batch(tiny, DIALOGUES)
    projection = Projection(dimension, seed)
    gradients = explicit(tiny.model, batch, [*linear_layers(tiny.model)], objective)
    found, _ = blocks(tiny, batch, projection, objective=objective)
    for row, gradient in zip(found, gradients, strict=True):
        np.testing.assert_allclose(row, projected(gradient, projection), rtol=1e-6, atol=1e-9)


def test_layers_by_pattern_are_projected_alone(tiny: LanguageModel) -> None:
    batch, projection = one_batch(tiny, DIALOGUES), Projection(64)
    names = [*linear_layers(tiny.model, ["*.mlp.*"])]
    gradients = explicit(tiny.model, batch, names)
    found, _ = blocks(tiny, batch, projection, patterns=["*.mlp.*"])
    expected = [projected(gradient, projection) for gradient in gradients]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_gpt2_keeps_its_weights_the_other_way(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=320, n_positions=64, n_embd=16, n_layer=2, n_head=2)
    path = saved_model(tmp_path, GPT2LMHeadModel(config).eval())
    model = LanguageModel(path, dtype="float64", device="cpu")
    batch, projection = one_batch(model, DIALOGUES, "left"), Projection(64)
    names = [*linear_layers(model.model)]
    assert len(names) == 8
    gradients = [
        {name: value.T for name, value in gradient.items()}
        for gradient in explicit(model.model, batch, names)
    ]
    found, _ = blocks(model, batch, projection)
    expected = [projected(gradient, projection) for gradient in gradients]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_a_cap_on_logits_is_differentiated(tmp_path: Path) -> None:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=320,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        final_logit_softcapping=0.5,
        attn_implementation="eager",
    )
    path = saved_model(tmp_path, Gemma2ForCausalLM(config).eval())
    model = LanguageModel(path, dtype="float64", device="cpu")
    batch, projection = one_batch(model, DIALOGUES), Projection(64)
    gradients = explicit(model.model, batch, [*linear_layers(model.model)])
    found, _ = blocks(model, batch, projection)
    expected = [projected(gradient, projection) for gradient in gradients]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-8)


def predicted_variance(one: Any, other: Any, projection: Projection) -> float:
    """As the module of projections says it."""
    found = (dot(one, one) * dot(other, other) + dot(one, other) ** 2) / projection.dimension
    for name in one:
        outer, inner = one[name] @ other[name].T, one[name].T @ other[name]
        found += ((outer**2).sum() + np.trace(outer @ outer)) / projection.outputs
        found += ((inner**2).sum() + np.trace(inner @ inner)) / projection.inputs
    return float(found)


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [512, 2048])
def test_dot_products_are_right_in_the_mean_and_spread_as_the_dimension_says(
    tiny: LanguageModel, dimension: int
) -> None:
    batch = one_batch(tiny, DIALOGUES)
    gradients = explicit(tiny.model, batch, [*linear_layers(tiny.model)])
    true = np.array([[dot(one, other) for other in gradients] for one in gradients])
    found = []
    for seed in range(60):
        rows, _ = blocks(tiny, batch, Projection(dimension, seed))
        found.append(rows @ rows.T)
    pairs = np.triu_indices(len(true))
    estimates, wanted = np.array(found)[:, pairs[0], pairs[1]], true[pairs]
    spread = np.array(
        [
            predicted_variance(gradients[row], gradients[column], Projection(dimension)) ** 0.5
            for row, column in zip(*pairs, strict=True)
        ]
    )
    lengths = np.sqrt(np.outer(true.diagonal(), true.diagonal()))[pairs]
    assert (estimates.mean(axis=0) @ wanted) / (wanted @ wanted) == pytest.approx(1, abs=0.02)
    assert np.abs(((estimates - wanted) / lengths).mean()) < 0.02
    ratio = np.sqrt((((estimates - wanted) / spread) ** 2).mean())
    assert 0.75 < ratio < 1.1


@pytest.mark.slow
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("size", [1, 4, 16])
def test_neither_batches_nor_padding_change_a_row(
    tmp_path_factory: pytest.TempPathFactory, side: str, size: int
) -> None:
    model = language(tmp_path_factory.mktemp("single"), "float32")
    examples = [*DIALOGUES, *DIALOGUES[::-1], *DIALOGUES[:4], *DIALOGUES[1:3]]
    whole, _ = blocks(model, one_batch(model, examples), Projection(256))
    for start in range(0, len(examples), size):
        batch = one_batch(model, examples[start : start + size], side)
        part, _ = blocks(model, batch, Projection(256))
        assert part.dtype == np.float32
        expected = whole[start : start + size]
        apart = np.linalg.norm(part - expected, axis=1) / np.linalg.norm(expected, axis=1)
        assert apart.max() < 1e-5


def test_half_precision_is_summed_in_single(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    exact, coarse = language(tmp_path, "float32"), language(tmp_path, "bfloat16")
    one, _ = blocks(exact, one_batch(exact, DIALOGUES), Projection(256))
    other, _ = blocks(coarse, one_batch(coarse, DIALOGUES), Projection(256))
    assert other.dtype == np.float32
    cosines = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    assert cosines.min() > 0.99


def test_what_a_layer_computes_of_padding_does_not_count() -> None:
    layer = torch.nn.Linear(4, 3, bias=False).double().requires_grad_(False)
    rows = torch.randn(2, 3, 4, dtype=torch.float64)
    attention = torch.tensor([[1, 1, 0], [0, 1, 1]])
    found = []
    for filled in (0.0, torch.nan):
        shown = rows.masked_fill(attention[:, :, None] == 0, filled)
        with PerExample({"up.weight": layer}, Projection(32)).taking(attention) as taken:
            out = layer(shown)
            (out.masked_fill(attention[:, :, None] == 0, 0) ** 2).sum().backward()
            found.append(taken().block)
    assert torch.equal(found[0], found[1])
    assert torch.isfinite(found[0]).all()


@pytest.mark.parametrize("change", [None, lambda name, value: value])
def test_a_layer_that_is_called_twice_has_one_gradient(change: Any) -> None:
    layer = torch.nn.Linear(4, 4, bias=False).double()
    rows = torch.randn(3, 2, 4, dtype=torch.float64)
    attention = torch.ones(3, 2)
    projection = Projection(32)
    expected = []
    for row in rows:
        layer.zero_grad()
        layer(layer(row).tanh()).pow(2).sum().backward()
        expected.append(projected({"up.weight": layer.weight.grad.numpy()}, projection))
    layer.requires_grad_(False)
    with PerExample({"up.weight": layer}, projection, change).taking(attention) as taken:
        layer(layer(rows).tanh()).pow(2).sum().backward()
        found = taken()
    np.testing.assert_allclose(found.block.numpy(), expected, rtol=1e-9)


def test_a_layer_that_mixes_examples_is_named() -> None:
    layer = torch.nn.Linear(4, 4)
    with (
        pytest.raises(EmbeddingError, match=r"'router\.weight' sees \(5, 4\) .* leave it out of"),
        PerExample({"router.weight": layer}, Projection(32)).taking(torch.ones(2, 3)),
    ):
        layer(torch.randn(5, 4))


def test_rows_of_all_tokens_in_one_list_are_known_by_their_number() -> None:
    layer = torch.nn.Linear(4, 4).requires_grad_(False)
    rows = torch.randn(2, 3, 4)
    found = []
    for shown in (rows, rows.reshape(6, 4)):
        taking = PerExample({"up.weight": layer}, Projection(32)).taking(torch.ones(2, 3))
        with taking as taken:
            layer(shown).square().sum().backward()
            found.append(taken().block)
    torch.testing.assert_close(*found)


@pytest.mark.parametrize(("dimension", "nearest"), [(0, 32), (31, 32), (100, 96), (-64, 32)])
def test_a_dimension_that_does_not_fit_is_refused_with_one_that_does(
    dimension: int, nearest: int
) -> None:
    with pytest.raises(SettingsError, match=rf"--dimension is {dimension}.*give {nearest}$"):
        Projection(dimension)
    assert Projection(nearest).dimension == nearest


@pytest.mark.parametrize("dimension", [32, 96, 2048, 8192, 8224, 16384, 65504, 65536])
def test_all_entries_of_a_projection_are_used(dimension: int) -> None:
    projection = Projection(dimension)
    size = projection.outputs * projection.inputs
    assert size >= dimension
    assert size % dimension == 0
    entries = torch.arange(1, 1 + size, dtype=torch.float64).reshape(1, projection.outputs, -1)
    folded = projection.folded(entries)[0] * size**0.5
    assert len(folded) == dimension
    assert folded.sum() == entries.sum()
    assert projection.folded(torch.ones_like(entries)).unique().numel() == 1
