"""``mix``: what a log of losses gives, and what is said of one that cannot be read."""

from __future__ import annotations

import gzip
import json
import math
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from commands import run
from hypothesis import given
from hypothesis import strategies as st

from tsds_qdrant.training import OnlineMixture
from tsds_qdrant.training.mixing_log import read_steps, replay
from tsds_qdrant.training.mixing_rules import VARIANTS, MixtureRules

HISTORY = [("first", 2.0), ("second", 3.0), ("first", 1.8), ("second", 2.5)]
WEIGHTS = {
    "paper": ["0.5000", "0.4958", "0.5041", "0.4888"],
    "official-update": ["0.5000", "0.4743", "0.4756", "0.4404"],
    "official": ["0.5000", "0.4613", "0.4639", "0.4159"],
    "exp3": ["0.5000", "0.4958", "0.5054", "0.4880"],
}


def log_of(path: Path, *lines: Any) -> Path:
    path.write_text(
        "".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in lines)
    )
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    rows = [{"step": k, "source": s, "loss": loss} for k, (s, loss) in enumerate(HISTORY, 1)]
    return log_of(tmp_path / "log.jsonl", *rows)


def table(stdout: str) -> list[list[str]]:
    return [line.split() for line in stdout.splitlines()]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_worked_histories_as_a_table_and_as_json(log: Path, variant: str) -> None:
    head, _, *rows = table(run("mix", "--losses", log, "--variant", variant).stdout)
    assert head == ["step", "least", "first", "second"]
    assert [row[2] for row in rows] == WEIGHTS[variant]
    shown = json.loads(run("mix", "--losses", log, "--variant", variant, "--json").stdout)
    assert shown["variant"] == variant
    assert shown["sources"] == ["first", "second"]
    mixture = OnlineMixture(["first", "second"], variant=variant)  # type: ignore[arg-type]
    for (source, loss), point in zip(HISTORY, shown["points"], strict=True):
        mixture.update(source, loss)
        assert (point["weights"], point["epsilon"]) == (mixture.weights, mixture.epsilon)
    assert shown["rewards"] == mixture.rewards


def test_the_paper_is_the_variant_if_none_is_named(log: Path) -> None:
    assert (
        run("mix", "--losses", log).stdout
        == run("mix", "--losses", log, "--variant", "paper").stdout
    )


def test_every_so_many_rows_and_always_the_last(tmp_path: Path) -> None:
    rows = [{"step": 5 * k, "source": "ab"[k % 2], "loss": 1.5} for k in range(1, 102)]
    log = log_of(tmp_path / "log.jsonl", *rows)
    steps = [int(row[0]) for row in table(run("mix", "--losses", log).stdout)[2:]]
    assert len(steps) <= 21
    assert steps[-1] == 505
    shown = [row[0] for row in table(run("mix", "--losses", log, "--every", 40).stdout)[2:]]
    assert shown == ["200", "400", "505"]
    whole = json.loads(run("mix", "--losses", log, "--json").stdout)
    assert len(whole["points"]) == 101
    few = json.loads(run("mix", "--losses", log, "--json", "--every", 50).stdout)
    assert few["points"] == [whole["points"][k] for k in (49, 99, 100)]


def test_losses_of_a_step_are_means_by_token(tmp_path: Path) -> None:
    log = log_of(
        tmp_path / "log.jsonl",
        {"step": 1, "source": 7, "loss": 2.0, "tokens": 30, "chance": 0.25},
        {"step": 1, "source": "b", "loss": 1.0},
        "",
        {"step": 1, "source": "7", "loss": 6.0, "tokens": 10, "chance": 0.25},
        {"step": 2, "source": "b", "loss": 2.0},
        {"step": 2, "source": "b", "loss": 4.0},
    )
    mixture = OnlineMixture(["7", "b"])
    mixture.observe({"7": 3.0, "b": 1.0}, {"7": 0.25})
    mixture.observe({"b": 3.0})
    done = json.loads(run("mix", "--losses", log, "--json").stdout)
    assert done["points"][-1]["weights"] == mixture.weights


def test_first_weights_name_sources_that_the_log_lacks(log: Path) -> None:
    words = ["mix", "--losses", log, "--warm-up", 1, "--initial", "first=1,second=2,third=1"]
    head, _, *rows = table(run(*words).stdout)
    assert head[2:] == ["first", "second", "third"]
    assert rows[0][2:] == ["0.2500", "0.5000", "0.2500"]
    said = run("mix", "--losses", log, "--initial", "first=1,third=1", code=1).stderr
    assert f"from '{log}:2' on has the source 'second', which has no first weight" in said


def test_a_compressed_log_and_one_from_standard_input(log: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.jsonl.gz"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    assert run("mix", "--losses", packed).stdout == run("mix", "--losses", log).stdout


def test_the_weights_are_drawn(log: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for name in ("weights.svg", "weights.png", "weights.pdf"):
        said = run("mix", "--losses", log, "--plot", tmp_path / name).stderr
        assert f"wrote {tmp_path / name}" in said
    drawn = (tmp_path / "weights.svg").read_text()
    assert ET.fromstring(drawn).tag.endswith("svg")
    assert all(f"<!-- {word} -->" in drawn for word in ("first", "second", "step", "weight"))
    assert (tmp_path / "weights.png").read_bytes().startswith(b"\x89PNG")
    assert not run("mix", "--losses", log, "--json", "--plot", tmp_path / "w.svg").stderr


@pytest.mark.slow
def test_names_are_in_the_legend_whatever_they_are(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    names = ["_x", "$y", r"$\\frac$", "網", "long" * 50, *(f"s{k}" for k in range(30))]
    rows = [{"step": 1, "source": s, "loss": 60 - k} for k, s in enumerate(names)]
    log = log_of(
        tmp_path / "log.jsonl", *({**row, "step": t} for t in range(1, 400) for row in rows)
    )
    run("mix", "--losses", log, "--plot", tmp_path / "w.svg")
    drawn = (tmp_path / "w.svg").read_text()
    assert all(word in drawn for word in ("_x", "$y", "frac", "網", "longlo.."))
    assert "s29" not in drawn


GOOD = {"step": 3, "source": "a", "loss": 1.0}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "is no JSON"),
        ("[1]", "which is no JSON object"),
        ({"source": "a", "loss": 1.0}, "has no 'step' (its fields: source, loss)"),
        ({"step": 4, "loss": 1.0}, "has no 'source'"),
        ({"step": 4, "source": "a"}, "has no 'loss'"),
        ({**GOOD, "loss": math.nan}, "has the loss null"),
        ({**GOOD, "loss": "2.0"}, "has the loss '2.0'"),
        ({**GOOD, "loss": True}, "has the loss True"),
        ({**GOOD, "loss": [1.0]}, "has the loss [1.0]"),
        ({**GOOD, "loss": 10**400}, "has the loss 10000000000000000000.."),
        ({**GOOD, "loss": 1e290}, "has the loss 1e+290"),
        ({**GOOD, "step": 3.5}, "has the step 3.5"),
        ({**GOOD, "step": "4"}, "has the step '4'"),
        ({**GOOD, "step": 2}, "has the step 2 after step 3"),
        ({**GOOD, "source": None}, "has the source None"),
        ({**GOOD, "source": ""}, "has the source ''"),
        ({**GOOD, "source": True}, "has the source True"),
        ({**GOOD, "tokens": 0}, "has 0 tokens"),
        ({**GOOD, "tokens": None}, "has the tokens null"),
        ({**GOOD, "chance": 0}, "has the chance 0"),
        ({**GOOD, "chance": 1.5}, "has the chance 1.5"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path: Path, line: Any, words: str) -> None:
    log = log_of(tmp_path / "log.jsonl", GOOD, GOOD, line, GOOD)
    said = run("mix", "--losses", log, code=1).stderr
    assert said.startswith(f"error: '{log}:3' ")
    assert words in said
    assert said.count("\n") == 1
    failed = json.loads(run("mix", "--losses", log, "--json", code=1).stdout)
    assert failed["error"]["kind"] == "bad_record"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--variant", "official"], 1, "'none.jsonl' does not exist"),
        (["--alpha", "1"], 2, "alpha is 1; give a number from 0 to below 1"),
        (["--alpha", "-0.1"], 2, "alpha is -0.1"),
        (["--scale", "0"], 2, "scale is 0; give a positive number"),
        (["--variant", "odm"], 2, "variant is 'odm'; choose among paper, official"),
        (["--warm-up", "-1"], 2, "'--warm-up': Input should be greater than or equal to 0"),
        (["--every", "0"], 2, "'--every': Input should be greater than or equal to 1"),
        (["--initial", "a"], 2, "--initial has 'a'; give weights like web=0.7,code=0.3"),
        (["--initial", "a=x"], 2, "--initial has 'a=x'"),
        (["--initial", "a=1,a=2"], 2, "has 'a' twice"),
        (["--plot", "weights.docx"], 1, "'weights.docx' names no picture"),
    ],
)
def test_wrong_words_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = run("mix", "--losses", "none.jsonl", *words, code=code).output
    assert said in " ".join(shown.replace("│", "").split())
    assert not [*tmp_path.iterdir()]


def test_an_empty_log_and_a_first_weight_of_zero(tmp_path: Path, log: Path) -> None:
    empty = log_of(tmp_path / "empty.jsonl", "")
    assert "holds no" in run("mix", "--losses", empty, code=1).stderr
    said = run("mix", "--losses", log, "--initial", "first=0,second=1", code=2).stderr
    assert "the first weight of source 'first' is 0.0; give a positive number" in said


def test_rewards_beyond_floats_are_null_in_json(tmp_path: Path) -> None:
    log = log_of(tmp_path / "log.jsonl", {**GOOD, "loss": 1e6}, {**GOOD, "source": "b"})
    words = ["mix", "--losses", log, "--variant", "official", "--json"]
    shown = json.loads(run(*words).stdout, parse_constant=pytest.fail)
    assert shown["rewards"]["a"] is None
    assert shown["rewards"]["b"] == pytest.approx(0.1 * math.e)


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.floats(0, 9), st.integers(1, 50)),
        min_size=1,
        max_size=15,
    ),
    st.sampled_from(VARIANTS),
)
def test_a_replay_is_what_a_mixture_would_have_done(
    tmp_path_factory: pytest.TempPathFactory, lines: Any, variant: Any
) -> None:
    log = log_of(
        tmp_path_factory.mktemp("logs") / "log.jsonl",
        *(
            {"step": k, "source": source, "loss": loss, "tokens": tokens}
            for k, (source, loss, tokens) in enumerate(lines)
        ),
    )
    done = replay(read_steps(log), MixtureRules(variant=variant))
    mixture = OnlineMixture(done.sources, variant=variant)
    for (source, loss, _), point in zip(lines, done.points, strict=True):
        mixture.update(source, loss)
        assert point.weights == pytest.approx(mixture.weights, abs=1e-12)
