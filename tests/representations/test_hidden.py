"""Hidden states and scores against one example at a time, in float64, without padding."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import saved_model, tiny_model, tiny_tokenizer

from tsds_qdrant.errors import EmbeddingError
from tsds_qdrant.representations.base import (
    NO_SUPERVISED_TOKENS,
    NONFINITE,
    OK,
    Encoded,
    Shown,
    differences,
    fingerprint,
)
from tsds_qdrant.representations.catalog import KINDS
from tsds_qdrant.representations.language.hidden import Hidden, weighted_means
from tsds_qdrant.representations.language.kinds import HiddenSettings
from tsds_qdrant.representations.language.model import LanguageModel
from tsds_qdrant.representations.language.tokens import Tokens, batches, tokenized


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def assistant(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


EXAMPLES = [
    Shown("", (user("two and two"), assistant("four")), 1),
    Shown("a text alone, which is rather longer than the others are"),
    Shown("", (user("a"), assistant("b"), user("c"), assistant("dd")), None),
    Shown("", (user("a"), assistant("b"), user("c"), assistant("dd")), 3),
    Shown("xy"),
    Shown("", (user("ä" * 30), assistant("日本")), 1),
    Shown("", (user("nothing"), assistant("")), 1),
    Shown("", (user("the sky"), assistant("is blue " * 9)), 1),
    Shown(""),
]
FINE = [row for row, shown in enumerate(EXAMPLES) if row not in (6, 8)]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved_model(tmp_path_factory.mktemp("tiny"), tiny_model(3))


@pytest.fixture(scope="module")
def model(place: str) -> LanguageModel:
    return LanguageModel(place, dtype="float64", device="cpu")


def one_by_one(model: LanguageModel, tokens: Tokens) -> dict[str, Any]:
    """All that is known of an example, from the model's own logits and hidden states."""
    with torch.no_grad():
        made = model.model(input_ids=torch.tensor([list(tokens.ids)]), output_hidden_states=True)
    states = made.hidden_states[-1][0].numpy()
    length = len(states)
    mean = sum((k + 1) * states[k] for k in range(length)) / (length * (length + 1) / 2)
    losses, entropies, norms = [], [], []
    for k in range(1, length):
        if tokens.learnt[k]:
            logits = made.logits[0, k - 1].numpy()
            p = np.exp(logits - logits.max())
            p /= p.sum()
            losses.append(-math.log(p[tokens.ids[k]]))
            entropies.append(-float(np.sum(p * np.log(p))))
            p[tokens.ids[k]] -= 1
            norms.append(float(np.linalg.norm(p)))
    return {
        "row": mean / np.linalg.norm(mean),
        "loss": np.mean(losses),
        "perplexity": math.exp(np.mean(losses)),
        "entropy": np.mean(entropies),
        "el2n": np.mean(norms),
        "tokens": length,
        "answer_tokens": len(losses),
    }


def same(one: Encoded, other: Encoded, near: float) -> None:
    assert isinstance(one.rows, np.ndarray)
    assert isinstance(other.rows, np.ndarray)
    assert one.status == other.status
    np.testing.assert_allclose(one.rows, other.rows, atol=near)
    assert one.values.keys() == other.values.keys()
    for name, column in one.values.items():
        assert [one is None for one in column] == [one is None for one in other.values[name]]
        pairs = zip(column, other.values[name], strict=True)
        for mine, theirs in [pair for pair in pairs if None not in pair]:
            assert mine == pytest.approx(theirs, abs=near, rel=near), name


def test_the_oracle_of_rds() -> None:
    states = torch.tensor([[[1.0, 0], [0, 1], [2, 2]]])
    (mean,) = weighted_means(states, torch.ones(1, 3, dtype=torch.int64)).numpy()
    np.testing.assert_allclose(mean, [7 / 6, 4 / 3], rtol=1e-6)
    np.testing.assert_allclose(mean / np.linalg.norm(mean), [0.658505, 0.752577], atol=1e-6)


def test_padding_counts_nowhere_in_a_mean() -> None:
    nan = [math.nan, math.nan]
    real = [[1.0, 0], [0, 1], [2, 2]]
    states = torch.tensor([[*real, nan, nan], [nan, nan, *real]])
    attention = torch.tensor([[1, 1, 1, 0, 0], [0, 0, 1, 1, 1]])
    for mean in weighted_means(states, attention).numpy():
        np.testing.assert_allclose(mean, [7 / 6, 4 / 3], rtol=1e-6)


def test_rows_and_scores_are_those_of_each_example_alone(model: LanguageModel) -> None:
    done: list[int] = []
    found = Hidden(model).candidates(EXAMPLES, done.append)
    assert sum(done) == len(EXAMPLES)
    assert isinstance(found.rows, np.ndarray)
    assert found.rows.shape == (len(EXAMPLES), 32)
    assert found.rows.dtype == np.float32
    tokens = tokenized(model, EXAMPLES)
    for row in FINE:
        expected = one_by_one(model, tokens[row])
        np.testing.assert_allclose(found.rows[row], expected.pop("row"), atol=1e-6)
        for name, value in expected.items():
            assert found.values[name][row] == pytest.approx(value, rel=1e-9), name
        assert found.status[row] == OK
        assert found.values["truncated"][row] is False
    for row in (6, 8):
        assert found.status[row] == NO_SUPERVISED_TOKENS
        assert [found.values[name][row] for name in ("loss", "perplexity", "entropy", "el2n")] == (
            [None] * 4
        )
        assert found.values["answer_tokens"][row] == 0
        assert not found.rows[row].any()


@pytest.mark.parametrize("batch_size", [1, 4, 16])
@pytest.mark.parametrize("side", ["right", "left"])
def test_neither_batches_nor_padding_change_anything(
    place: str, model: LanguageModel, batch_size: int, side: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Hidden(model, without_prompt=True, batch_tokens=1).candidates(EXAMPLES)
    monkeypatch.setattr(
        "tsds_qdrant.representations.language.hidden.batches", functools.partial(batches, side=side)
    )
    for dtype, near in (("float64", 1e-6), ("float32", 1e-4)):
        kind = Hidden(
            LanguageModel(place, dtype=dtype, device="cpu"),
            batch_size=batch_size,
            without_prompt=True,
        )
        same(kind.candidates(EXAMPLES), expected, near)


def test_the_order_of_examples_is_kept_and_their_company_means_nothing(
    model: LanguageModel,
) -> None:
    kind = Hidden(model)
    whole = kind.candidates(EXAMPLES)
    assert isinstance(whole.rows, np.ndarray)
    back = kind.targets(EXAMPLES[::-1])
    assert isinstance(back.rows, np.ndarray)
    np.testing.assert_allclose(back.rows[::-1], whole.rows, atol=1e-6)
    assert back.values["tokens"][::-1] == whole.values["tokens"]
    nothing = kind.candidates([])
    assert isinstance(nothing.rows, np.ndarray)
    assert (nothing.rows.shape, nothing.status) == ((0, 32), [])


def test_logits_in_pieces(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Hidden(model).candidates(EXAMPLES)
    monkeypatch.setattr("tsds_qdrant.representations.language.scores.CPU_BYTES", 8 * 320 * 3)
    same(Hidden(model).candidates(EXAMPLES), whole, 1e-9)


def test_a_loss_without_the_prompt_is_of_the_same_tokens(model: LanguageModel) -> None:
    found = Hidden(model, without_prompt=True).candidates(EXAMPLES)
    tokens = tokenized(model, EXAMPLES)
    for row, shown in enumerate(EXAMPLES):
        alone, ifd = found.values["loss_without_prompt"][row], found.values["ifd"][row]
        if row not in FINE or not shown.messages:
            assert (alone, ifd) == (None, None)
            continue
        answer = [
            t for t, learnt in zip(tokens[row].ids, tokens[row].learnt, strict=True) if learnt
        ]
        by_hand = Tokens([256, *answer], [False, *[True] * len(answer)])
        assert alone == pytest.approx(one_by_one(model, by_hand)["loss"], rel=1e-9)
        assert ifd == pytest.approx(found.values["loss"][row] / alone, rel=1e-12)
    assert "ifd" not in Hidden(model).candidates(EXAMPLES).values


def test_numbers_that_are_none_make_no_vector(tmp_path: Path) -> None:
    broken = tiny_model(3)
    tokenizer = tiny_tokenizer()
    with torch.no_grad():
        broken.model.embed_tokens.weight[tokenizer("!")["input_ids"][-1]] = math.nan
    model = LanguageModel(saved_model(tmp_path, broken, tokenizer), device="cpu")
    shown = [Shown("fine"), Shown("broken!?"), Shown("", (user("so is!"), assistant("it")), 1)]
    found = Hidden(model, without_prompt=True).candidates(shown)
    assert found.status == [OK, NONFINITE, NONFINITE]
    assert isinstance(found.rows, np.ndarray)
    assert np.isfinite(found.rows).all()
    assert [found.values["loss"][1], found.values["loss_without_prompt"][2]] == [None, None]
    assert found.values["tokens"][1] == 9
    (alone,) = Hidden(model).candidates(shown[:1]).values["loss"]
    assert found.values["loss"][0] == pytest.approx(alone, rel=1e-5)


def test_a_loss_beyond_all_numbers_has_no_perplexity(tmp_path: Path) -> None:
    sure = tiny_model(3)
    with torch.no_grad():
        sure.lm_head.weight *= 1_000
    model = LanguageModel(saved_model(tmp_path, sure), device="cpu")
    found = Hidden(model).candidates([Shown("surprises everywhere")])
    assert found.status == [OK]
    assert found.values["loss"][0] > 710
    assert found.values["perplexity"] == [None]
    assert found.values["entropy"][0] == pytest.approx(0, abs=0.1)
    assert 1 < found.values["el2n"][0] < 1.4143


def test_even_predictions(tmp_path: Path) -> None:
    """Where every token is as likely: ln V, and the length of a unit vector less 1/V."""
    even = tiny_model(3)
    with torch.no_grad():
        even.lm_head.weight.zero_()
    model = LanguageModel(saved_model(tmp_path, even), device="cpu")
    values = Hidden(model).candidates([Shown("whatever")]).values
    assert values["loss"][0] == pytest.approx(math.log(320), rel=1e-6)
    assert values["perplexity"][0] == pytest.approx(320, rel=1e-5)
    assert values["entropy"][0] == pytest.approx(math.log(320), rel=1e-6)
    assert values["el2n"][0] == pytest.approx(math.sqrt(1 - 1 / 320), rel=1e-6)


def test_what_the_values_depend_on_is_in_the_manifest(place: str, tmp_path: Path) -> None:
    def manifest(path: str = place, without_prompt: bool = False, **model: Any) -> dict[str, Any]:
        return Hidden(LanguageModel(path, **model), without_prompt=without_prompt).manifest()

    mine = manifest()
    assert mine["kind"] == "hidden"
    assert differences(mine, manifest(dtype="bfloat16")) == ["dtype"]
    assert differences(mine, manifest(max_length=100)) == ["max_length"]
    assert differences(mine, manifest(without_prompt=True)) == ["without_prompt"]
    assert not differences(mine, manifest(device="cpu", max_length=512))
    other = saved_model(tmp_path / "weights", tiny_model(4))
    assert differences(mine, manifest(other)) == ["weights"]
    other = saved_model(tmp_path / "template", tiny_model(3), tiny_tokenizer(None))
    assert differences(mine, manifest(other)) == ["template"]
    other = saved_model(tmp_path / "merged", tiny_model(3), tiny_tokenizer(merges=[("a", "b")]))
    assert differences(mine, manifest(other)) == ["tokenizer"]
    other = saved_model(
        tmp_path / "base",
        tiny_model(3, rope_parameters={"rope_type": "default", "rope_theta": 7.0}),
    )
    assert differences(mine, manifest(other)) == ["config"]
    moved = saved_model(tmp_path / "moved", tiny_model(3))
    assert fingerprint(manifest(moved)) == fingerprint(mine)


def test_the_kind_is_made_of_its_settings(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert KINDS["hidden"] is HiddenSettings
    settings = HiddenSettings(model=place, max_length=30, device="cpu", batch_size=2)
    made = settings.made()
    assert (made.name, made.kind, made.metric, made.dimension) == ("hidden", "dense", "Cosine", 32)
    assert (made.source, made.dialogues, made.fitted, dict(made.arrays())) == (None, True, True, {})
    assert made.manifest()["max_length"] == 30
    monkeypatch.chdir(Path(place).parent)
    relative = HiddenSettings(model=Path(place).name, without_prompt=True)
    kept = relative.remembered()
    assert kept["model"] == place
    assert not {"device", "batch_size", "batch_tokens"} & kept.keys()
    assert HiddenSettings.restored(kept, batch_size=8).without_prompt
    assert HiddenSettings(model=place, name="states").made().name == "states"


def test_memory_that_is_not_there_is_said_with_the_next_step(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = Hidden(model)
    kind.candidates(EXAMPLES[:1])

    def full(*_: Any, **__: Any) -> Any:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")

    monkeypatch.setattr(model.model.model, "forward", full)
    with pytest.raises(EmbeddingError, match=r"7 examples, .*smaller --batch-tokens or --dtype"):
        kind.candidates(EXAMPLES)
    with pytest.raises(EmbeddingError, match=r"1 examples, .*smaller --max-length"):
        kind.candidates(EXAMPLES[:1])
