"""The three kinds of gradients as representations, at checkpoints of tiny models."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gradient_models import (
    CALL,
    DIALOGUES,
    adapters,
    dot,
    explicit,
    language,
    one_batch,
    projected,
)
from numpy.typing import NDArray

from tsds_qdrant.errors import EmbeddingError, SettingsError
from tsds_qdrant.progress import notices_to
from tsds_qdrant.representations.base import Shown, differences
from tsds_qdrant.representations.catalog import KINDS
from tsds_qdrant.representations.checkpoints.checkpoints import Checkpoint
from tsds_qdrant.representations.gradients.gradients import (
    LossGradients,
    MarginGradients,
    UnitGradients,
)
from tsds_qdrant.representations.gradients.linear_layers import linear_layers
from tsds_qdrant.representations.gradients.projection import Projection
from tsds_qdrant.representations.gradients.source import GradientSource
from tsds_qdrant.representations.language.model import LanguageModel

SMALL = Projection(64)


def answer(text: str, asked: str = "2+3") -> Shown:
    messages = ({"role": "user", "content": asked}, {"role": "assistant", "content": text})
    return Shown("", messages, 1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return language(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def warm(tiny: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, ...]:
    room = tmp_path_factory.mktemp("warm")
    return tuple(
        Checkpoint.read(adapters(room / f"checkpoint-{seed}", tiny, seed)) for seed in (1, 2)
    )


def unit(rows: Any) -> NDArray[np.float64]:
    found = np.asarray(rows, dtype=np.float64)
    normed: NDArray[np.float64] = found / np.linalg.norm(found, axis=-1, keepdims=True)
    return normed


def explicit_at(
    tiny: LanguageModel, checkpoint: Checkpoint, examples: list[Shown], objective: str = "loss"
) -> list[Any]:
    model = checkpoint.adapted(copy.deepcopy(tiny.model))
    return explicit(model, one_batch(tiny, examples), [*linear_layers(model)], objective)


@pytest.mark.slow
def test_gradient_has_a_unit_block_for_each_checkpoint(
    tiny: LanguageModel, warm: tuple[Checkpoint, ...]
) -> None:
    made = UnitGradients(GradientSource(tiny, warm, SMALL))
    found = made.candidates(DIALOGUES)
    assert made.dimension == 128
    assert found.status == ["ok"] * 5
    for number, checkpoint in enumerate(warm):
        gradients = explicit_at(tiny, checkpoint, DIALOGUES)
        assert len(gradients[0]) == 16
        expected = unit([projected(one, SMALL) for one in gradients])
        part = found.rows[:, 64 * number : 64 * (number + 1)]  # type: ignore[index]
        np.testing.assert_allclose(part, expected, atol=1e-6)
    np.testing.assert_array_equal(made.targets(DIALOGUES).rows, found.rows)


def test_values_of_gradients(tiny: LanguageModel) -> None:
    found = UnitGradients(GradientSource(tiny, projection=SMALL)).candidates(DIALOGUES)
    names = [*linear_layers(tiny.model)]
    gradients = explicit(tiny.model, one_batch(tiny, DIALOGUES), names)
    lengths = [np.linalg.norm(projected(one, SMALL)) for one in gradients]
    assert found.values["gradient_norm"] == pytest.approx(lengths, rel=1e-6)
    ids = tiny.tokenizer("zzz").input_ids
    logits = tiny.model(input_ids=torch.tensor([ids]), labels=torch.tensor([ids]))
    assert found.values["loss"][3] == pytest.approx(float(logits.loss), rel=1e-6)
    assert found.values["tokens"][3] == 4
    assert found.values["answer_tokens"][3] == 3
    assert found.values["answer_tokens"][0] == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", [LossGradients, MarginGradients])
def test_unnormalised_kinds(tiny: LanguageModel, warm: Any, kind: Any) -> None:
    found = kind(GradientSource(tiny, warm, SMALL)).candidates(DIALOGUES)
    parts = []
    for checkpoint in warm:
        gradients = explicit_at(tiny, checkpoint, DIALOGUES, kind.objective)
        parts.append([projected(one, SMALL) for one in gradients])
    expected = np.concatenate(parts, axis=1)
    np.testing.assert_allclose(found.rows, expected, rtol=1e-4, atol=1e-6)
    assert found.values["gradient_norm"] == pytest.approx(
        np.linalg.norm(expected, axis=1).tolist(), rel=1e-5
    )
    assert ("margin" in found.values) == (kind is MarginGradients)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["less", "torch"])
def test_adam_turns_candidates_and_leaves_targets(
    tiny: LanguageModel, warm: tuple[Checkpoint, ...], form: Any
) -> None:
    adam = UnitGradients(GradientSource(tiny, warm, SMALL, optimizer="adam", adam_form=form))
    plain = UnitGradients(GradientSource(tiny, warm, SMALL))
    np.testing.assert_allclose(
        adam.targets(DIALOGUES).rows, plain.targets(DIALOGUES).rows, atol=1e-6
    )
    found = adam.candidates(DIALOGUES)
    norms = []
    for number, checkpoint in enumerate(warm):
        state = checkpoint.optimizer_state(checkpoint.adapted(copy.deepcopy(tiny.model)))
        rows = []
        gradients = explicit_at(tiny, checkpoint, DIALOGUES)
        for gradient in gradients:
            steps = {}
            for name, g in gradient.items():
                held = state[name]
                m = 0.9 * held.exp_avg.double().numpy() + 0.1 * g
                v = 0.999 * held.exp_avg_sq.double().numpy() + 0.001 * g**2
                t = held.step + 1
                steps[name] = (
                    m / np.sqrt(v + 1e-8)
                    if form == "less"
                    else m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
                )
            rows.append(projected(steps, SMALL))
        part = found.rows[:, 64 * number : 64 * (number + 1)]  # type: ignore[index]
        np.testing.assert_allclose(part, unit(rows), atol=1e-5)
        norms.append([dot(one, one) ** 0.5 for one in gradients])
    assert found.values["gradient_norm"] == pytest.approx(np.mean(norms, axis=0), rel=1e-6)


def test_a_plain_step_changes_a_loss_by_minus_the_product_of_gradients(
    tiny: LanguageModel,
) -> None:
    """What influence is: L(v; theta - eta g_z) - L(v) = -eta <g_v, g_z> + O(eta^2)."""
    names = [*linear_layers(tiny.model)]
    pair = [answer("4 or 5"), answer("five", "Add 2 and 3")]
    batch = one_batch(tiny, pair)
    trained, judged = explicit(tiny.model, batch, names)
    source = GradientSource(tiny, projection=SMALL)
    before = UnitGradients(source).candidates(pair).values["loss"][1]
    ratios = []
    for eta in (2e-3, 1e-3, 5e-4):
        moved = copy.copy(tiny)
        moved.__dict__["model"] = copy.deepcopy(tiny.model)
        for name, parameter in moved.model.named_parameters():
            if name in names:
                parameter.data -= eta * torch.from_numpy(trained[name])
        after = UnitGradients(GradientSource(moved, projection=SMALL)).candidates(pair)
        change = after.values["loss"][1] - before
        ratios.append((change + eta * dot(trained, judged)) / eta**2)

    assert ratios[1:] == pytest.approx([ratios[0]] * 2, rel=0.3)


def test_scores_of_less_are_products_with_weighted_means_of_tasks() -> None:
    """Oracle: w = (.75, .25), and the blocks of one candidate are (1, 0) and (.6, .8)."""
    candidate = np.array([1, 0, 0.6, 0.8])
    shots = {"A": [(1, 0), (0, 1)], "B": [(0, 1), (0, 1)]}
    scores = {
        task: candidate @ np.concatenate([0.75 * np.mean(rows, 0), 0.25 * np.mean(rows, 0)])
        for task, rows in shots.items()
    }
    assert scores == pytest.approx({"A": 0.55, "B": 0.20})


def test_examples_without_a_direction_have_a_status_and_no_vector(tiny: LanguageModel) -> None:
    long = answer("never read", "x" * 600)
    empty = Shown("", (CALL,), 1)
    seen: list[int] = []
    examples = [DIALOGUES[0], long, Shown(""), empty]
    found = UnitGradients(GradientSource(tiny, projection=SMALL)).candidates(examples, seen.append)
    assert found.status == ["ok", *["no_supervised_tokens"] * 3]
    assert sum(seen) == 4
    assert not np.any(found.rows[1:])  # type: ignore[index]
    assert found.values["loss"][1:] == [None] * 3
    assert found.values["gradient_norm"][1:] == [None] * 3
    assert found.values["answer_tokens"][1:] == [0, 0, 0]


@pytest.mark.parametrize("kind", [UnitGradients, LossGradients, MarginGradients])
@pytest.mark.parametrize(
    ("value", "status"),
    [(torch.nan, "nonfinite"), (torch.inf, "nonfinite"), (0.0, "zero_gradient")],
)
def test_broken_and_flat_models(tmp_path: Path, kind: Any, value: float, status: str) -> None:
    """Nothing flows back through a head of zeros; NaN in an embedding reaches its readers alone."""
    model = language(tmp_path, "float32")
    if value == 0:
        model.model.get_output_embeddings().weight.data[:] = 0
        expected = [status] * 2
    else:
        token = model.tokenizer.encode("Q", add_special_tokens=False)[0]
        model.model.get_input_embeddings().weight.data[token] = value
        expected = ["ok", status]
    source = GradientSource(model, projection=SMALL)
    found = kind(source).candidates([answer("5"), answer("Q, 5")])
    assert found.status == expected
    assert not np.any(found.rows[1])  # type: ignore[index]
    assert np.isfinite(found.rows).all()  # type: ignore[arg-type]
    assert found.values["gradient_norm"][1] is None


def test_a_zero_gradient_has_no_step_of_adam(
    tmp_path: Path, tiny: LanguageModel, warm: tuple[Checkpoint, ...]
) -> None:
    """The running mean alone would be a unit vector with a score."""
    flat = copy.copy(tiny)
    flat.__dict__["model"] = copy.deepcopy(tiny.model)
    flat.model.get_output_embeddings().weight.data[:] = 0
    source = GradientSource(flat, warm, SMALL, optimizer="adam")
    assert UnitGradients(source).candidates([answer("5")]).status == ["zero_gradient"]


PAIRS = [
    (answer("5"), answer("six, I think")),
    (answer("five of them"), answer("5")),
    (answer("yes", "Is 2 even?"), answer("no", "Is 2 even?")),
]


def preferred(pairs: Sequence[tuple[Shown, Shown]]) -> list[Shown]:
    """Chosen answers, with the rejected ones."""
    return [replace(chosen, rejected=rejected) for chosen, rejected in pairs]


@pytest.mark.slow
def test_contrasts_are_the_gradients_of_dpo_whatever_its_reference(
    tiny: LanguageModel, warm: tuple[Checkpoint, ...]
) -> None:
    source = GradientSource(tiny, warm[:1], SMALL)
    found = UnitGradients(source).contrasts(preferred(PAIRS))
    assert found.status == ["ok"] * 3
    model = warm[0].adapted(copy.deepcopy(tiny.model))
    names = [*linear_layers(model)]
    for row, pair in zip(found.rows, PAIRS, strict=True):  # type: ignore[arg-type]
        batch = one_batch(tiny, pair)
        for beta, reference in ((0.1, 0.0), (0.1, 7.3), (1.0, -3.0)):
            model.zero_grad()
            logp = []
            for ids, attention, labels in zip(
                batch.ids, batch.attention, batch.labels, strict=True
            ):
                real = attention == 1
                logits = model(input_ids=ids[real][None]).logits[0, :-1].log_softmax(-1)
                wanted = labels[real][1:]
                logp.append(logits[wanted >= 0].gather(1, wanted[wanted >= 0][:, None]).sum())
            delta = logp[0] - logp[1] - reference
            (-torch.nn.functional.logsigmoid(beta * delta)).backward()
            parameters = dict(model.named_parameters())
            gradient = {name: parameters[name].grad.numpy() for name in names}
            expected = unit(projected(gradient, SMALL))
            assert row @ expected > 1 - 1e-6
            np.testing.assert_allclose(row, expected, atol=1e-6)


def test_equal_sides_of_a_pair_have_no_contrast(tmp_path: Path) -> None:
    model = language(tmp_path, "float32")
    short = LanguageModel(model.name, dtype="float32", device="cpu", max_length=24)
    same = (answer("the same"), answer("the same"))
    cut = (answer("as far as it is read, the same"), answer("as far as it is read, not the same"))
    nothing = (answer("5", "x" * 40), answer("5"))
    made = UnitGradients(GradientSource(short, projection=SMALL))
    found = made.contrasts(preferred([PAIRS[0], same, cut, nothing]))
    assert found.status == ["ok", "zero_gradient", "zero_gradient", "no_supervised_tokens"]
    assert not np.any(found.rows[1:])  # type: ignore[index]


@pytest.mark.slow
def test_what_was_chosen_scores_above_what_was_rejected(tiny: LanguageModel) -> None:
    made = UnitGradients(GradientSource(tiny, projection=Projection(2048)))
    for pair in PAIRS:
        query = made.contrasts(preferred([pair])).rows
        chosen, rejected = made.candidates([*pair]).rows @ query[0]  # type: ignore
        assert chosen > 0 > rejected


@pytest.mark.slow
def test_whole_models_are_checkpoints_too(tmp_path: Path, tiny: LanguageModel) -> None:
    for seed in (3, 4):
        language(tmp_path / f"checkpoint-{seed}", seed=seed)
    checkpoints = tuple(Checkpoint.read(tmp_path / f"checkpoint-{seed}") for seed in (3, 4))
    found = LossGradients(GradientSource(tiny, checkpoints, SMALL)).candidates(DIALOGUES)
    for number, checkpoint in enumerate(checkpoints):
        own = LanguageModel(str(checkpoint.directory), dtype="float64", device="cpu")
        alone = LossGradients(GradientSource(own, projection=SMALL)).candidates(DIALOGUES)
        part = found.rows[:, 64 * number : 64 * (number + 1)]  # type: ignore[index]
        np.testing.assert_allclose(part, alone.rows, rtol=1e-6)


@pytest.mark.slow
def test_the_base_model_is_named_and_checkpoints_leave_it_as_it_is(
    tiny: LanguageModel, warm: tuple[Checkpoint, ...]
) -> None:
    said: list[str] = []
    with notices_to(said.append):
        before = LossGradients(GradientSource(tiny, projection=SMALL)).candidates(DIALOGUES)
        LossGradients(GradientSource(tiny, warm, SMALL)).candidates(DIALOGUES)
        after = LossGradients(GradientSource(tiny, projection=SMALL)).candidates(DIALOGUES)
    assert len(said) == 1
    assert "'tsds-qdrant warm-up' makes checkpoints" in said[0]
    np.testing.assert_array_equal(before.rows, after.rows)  # type: ignore[arg-type]


def test_a_model_that_was_loaded_for_inference_has_gradients(tmp_path: Path) -> None:
    model = language(tmp_path)
    with torch.inference_mode():
        assert not model.model.training
    found = explicit(model.model, one_batch(model, DIALOGUES), [*linear_layers(model.model)])
    made = LossGradients(GradientSource(model, projection=SMALL)).candidates(DIALOGUES)
    expected = [projected(one, SMALL) for one in found]
    np.testing.assert_allclose(made.rows, expected, rtol=1e-4, atol=1e-6)  # type: ignore[arg-type]


@pytest.mark.slow
def test_untrained_adapters_are_told(tmp_path: Path, tiny: LanguageModel) -> None:
    fresh = Checkpoint.read(adapters(tmp_path / "fresh", tiny, steps=0))
    said: list[str] = []
    with notices_to(said.append):
        found = LossGradients(GradientSource(tiny, (fresh,), SMALL)).candidates(DIALOGUES)
    assert "all of B is 0" in said[0]
    gradient = explicit_at(tiny, fresh, DIALOGUES)[0]
    assert not any(value.any() for name, value in gradient.items() if "lora_A" in name)
    np.testing.assert_allclose(found.rows[0], projected(gradient, SMALL), atol=1e-6)  # type: ignore


def test_the_manifest_says_what_differs(
    tmp_path: Path, tiny: LanguageModel, warm: tuple[Checkpoint, ...]
) -> None:
    def said(kind: Any = UnitGradients, **more: Any) -> Any:
        settings = {"checkpoints": warm, "projection": SMALL, **more}
        return kind(GradientSource(tiny, **settings)).manifest()

    assert differences(said(), said()) == []
    assert differences(said(), said(projection=Projection(64, 1))) == ["projection.seed"]
    assert differences(said(), said(projection=Projection(96)))[0] == "projection.dimension"
    assert differences(said(), said(checkpoints=warm[::-1])) == ["checkpoints"]
    assert differences(said(), said(checkpoints=())) == ["checkpoints", "parameters"]
    assert differences(said(), said(layers=("*.lora_B.*",))) == ["parameters"]
    assert differences(said(), said(optimizer="adam")) == [
        "adam_form",
        "checkpoints",
        "optimizer",
    ]
    assert differences(said(optimizer="adam"), said(optimizer="adam", adam_form="torch")) == [
        "adam_form"
    ]
    assert differences(said(), said(LossGradients)) == ["kind", "normalised"]
    assert differences(said(LossGradients), said(MarginGradients)) == ["kind", "objective"]


def test_too_many_entries_are_refused_with_a_dimension_that_fits(
    tiny: LanguageModel, warm: tuple[Checkpoint, ...]
) -> None:
    with pytest.raises(SettingsError, match=r"vectors of 65536.*give --dimension 32736 or less"):
        GradientSource(tiny, warm, Projection(32768))
    assert GradientSource(tiny, warm, Projection(32736)).dimension == 65472
    with pytest.raises(SettingsError, match="give fewer checkpoints"):
        GradientSource(tiny, warm * 1024, Projection(32))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"optimizer": "adam"}, r"--optimizer adam needs checkpoints"),
        ({"optimizer": "lion"}, r"--optimizer is 'lion'; choose sgd or adam"),
        ({"adam_form": "paper"}, r"--adam-form is 'paper'; choose less or torch"),
    ],
)
def test_settings_that_cannot_be_right(tiny: LanguageModel, given: Any, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        GradientSource(tiny, **given)


def test_half_precision_of_small_range_is_refused(tiny: LanguageModel) -> None:
    coarse = LanguageModel(tiny.name, dtype="float16", device="cpu")
    with pytest.raises(SettingsError, match=r"float16 loses small gradients.*bfloat16"):
        LossGradients(GradientSource(coarse, projection=SMALL)).candidates(DIALOGUES)


def test_adam_without_a_state_says_the_way_out(tmp_path: Path, tiny: LanguageModel) -> None:
    bare = Checkpoint.read(adapters(tmp_path / "bare", tiny, steps=0))
    with pytest.raises(EmbeddingError, match="has no optimizer state"):
        UnitGradients(GradientSource(tiny, (bare,), SMALL, optimizer="adam")).candidates(DIALOGUES)


def test_settings_make_the_three_kinds(
    tmp_path: Path, tiny: LanguageModel, warm: tuple[Checkpoint, ...], monkeypatch: Any
) -> None:
    monkeypatch.chdir(warm[0].directory.parent)
    for kind, made_of in (
        ("gradient", UnitGradients),
        ("loss-gradient", LossGradients),
        ("margin-gradient", MarginGradients),
    ):
        settings = KINDS[kind](model=tiny.name, checkpoints=(".",), dimension=96)
        stored = settings.remembered()
        monkeypatch.chdir(tmp_path)
        made = KINDS[kind].restored(stored, batch_size=2).made()
        monkeypatch.chdir(warm[0].directory.parent)
        assert isinstance(made, made_of)
        assert made.name == kind
        assert made.dimension == 192
        assert made.manifest() == settings.made().manifest()
