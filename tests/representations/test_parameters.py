"""Parameters counted without weights, against the models themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_models import saved_model, tiny_model

from tsds_qdrant.errors import EmbeddingError
from tsds_qdrant.representations.language.parameters import active_parameters


@pytest.mark.parametrize("tied", [False, True])
def test_the_configuration_alone_says_how_many(tmp_path: Path, tied: bool) -> None:
    model = tiny_model(tie_word_embeddings=tied)
    place = saved_model(tmp_path, model)
    assert active_parameters(place) == model.num_parameters()
    for path in tmp_path.iterdir():
        if path.name != "config.json":
            path.unlink()
    assert active_parameters(place) == model.num_parameters()


def test_of_experts_those_that_are_chosen_count(tmp_path: Path) -> None:
    from transformers import MixtralConfig, MixtralForCausalLM

    def saved(name: str, **experts: Any) -> int:
        config = MixtralConfig(
            vocab_size=64,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            **experts,
        )
        config.save_pretrained(tmp_path / name)
        return int(MixtralForCausalLM(config).num_parameters())

    whole = saved("all", num_local_experts=4, num_experts_per_tok=4)
    assert active_parameters(str(tmp_path / "all")) == whole
    saved("some", num_local_experts=4, num_experts_per_tok=1)
    expert = 2 * 3 * 16 * 24  # layers, matrices of an expert
    assert active_parameters(str(tmp_path / "some")) == whole - 3 * expert


def test_what_is_no_model_is_refused_with_the_way_around(tmp_path: Path) -> None:
    empty, odd = tmp_path / "empty", tmp_path / "odd"
    for place in (empty, odd):
        place.mkdir()
    (odd / "config.json").write_text('{"model_type": "bert-of-nowhere"}')
    with pytest.raises(EmbeddingError, match=r"holds no config.json.*--train-params"):
        active_parameters(str(empty))
    with pytest.raises(EmbeddingError, match=r"cannot be counted.*--train-params"):
        active_parameters(str(odd))
    (odd / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(EmbeddingError, match=r"cannot be counted.*--train-params"):
        active_parameters(str(odd))
    with pytest.raises(EmbeddingError, match="does not exist"):
        active_parameters(str(tmp_path / "nowhere"))
