"""Weights of sources: rules by hand and from the definition, draws, going on from a state."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsds_qdrant.errors import InputError, SettingsError, StateError
from tsds_qdrant.training import OnlineMixture
from tsds_qdrant.training.mixing_rules import REWARDS, VARIANTS

HISTORY = (("first", 2.0), ("second", 3.0), ("first", 1.8), ("second", 2.5))
EXPLORATION = (0.5, 0.416277, 0.339889, 0.294353)
Steps = Sequence[Mapping[str, float]]


@pytest.mark.parametrize(
    ("variant", "weights", "rewards"),
    [
        ("paper", (0.5, 0.495817, 0.504099, 0.488789), (0.723037, 1.044133)),
        ("official-update", (0.5, 0.474283, 0.475579, 0.440390), (1.269980, 3.025948)),
        ("official", (0.5, 0.461310, 0.463931, 0.415941), (1.269980, 3.025948)),
        ("exp3", (0.5, 0.495817, 0.505431, 0.488045), None),
    ],
)
def test_worked_histories(variant: Any, weights: Any, rewards: Any) -> None:
    mixture = OnlineMixture(["first", "second"], variant=variant, alpha=0.9)
    for (source, loss), weight, least in zip(HISTORY, weights, EXPLORATION, strict=True):
        mixture.update(source, loss)
        assert mixture.weights["first"] == pytest.approx(weight, abs=1e-6)
        assert mixture.epsilon == pytest.approx(least, abs=1e-6)
    if rewards:
        assert [*mixture.rewards.values()] == pytest.approx(rewards, abs=1e-6)


def by_definition(
    variant: str, sources: Sequence[str], steps: Steps, alpha: float, warm_up: int
) -> dict[str, float]:
    """Weights after ``steps``, with plain exponentials and loops."""
    K = len(sources)
    R, pi, before = dict.fromkeys(sources, 0.0), dict.fromkeys(sources, 1 / K), 1 / K
    for t, losses in enumerate(steps, 1):
        if t <= warm_up:
            continue
        for source, loss in losses.items():
            if variant == "exp3":
                R[source] += loss / 10 / pi[source]
            else:
                reward = loss / pi[source] if variant == "paper" else math.exp(loss)
                R[source] = alpha * R[source] + (1 - alpha) * reward
        least = min(1 / K, math.sqrt(math.log(K) / (K * t)))
        grown = {s: R[s] if variant == "official" else math.exp(before * R[s]) for s in sources}
        total = sum(grown.values())
        share = {s: grown[s] / total if total else 1 / K for s in sources}
        pi, before = {s: (1 - K * least) * share[s] + least for s in sources}, least
    return pi


NAMES = ("web", "code", "law", "talk", "maths")
rules = st.fixed_dictionaries(
    {
        "variant": st.sampled_from(VARIANTS),
        "alpha": st.sampled_from([0.0, 0.5, 0.9, 0.99]),
        "warm_up": st.integers(0, 3),
    }
)


@st.composite
def trainings(draw: st.DrawFn, highest: float = 20.0) -> tuple[tuple[str, ...], Steps]:
    sources = NAMES[: draw(st.integers(1, len(NAMES)))]
    step = st.dictionaries(st.sampled_from(sources), st.floats(0, highest), max_size=3)
    return sources, draw(st.lists(step, max_size=12))


@given(trainings(highest=6.0), rules)
def test_weights_are_those_of_the_definition(training: Any, rule: Any) -> None:
    sources, steps = training
    mixture = OnlineMixture(sources, **rule)
    for losses in steps:
        mixture.observe(losses)
    assert mixture.weights == pytest.approx(
        by_definition(rule["variant"], sources, steps, rule["alpha"], rule["warm_up"]), abs=1e-9
    )


@given(trainings(highest=1e300), rules, st.sampled_from(REWARDS))
def test_weights_are_a_distribution_whatever_the_losses(
    training: Any, rule: Any, reward: Any
) -> None:
    sources, steps = training
    mixture = OnlineMixture(sources, **rule, reward=reward)
    for losses in steps:
        mixture.observe(losses)
        weights = mixture.weights.values()
        assert sum(weights) == pytest.approx(1, abs=1e-12)
        assert min(weights) >= mixture.epsilon * (1 - 1e-12)


@given(trainings(), rules, st.sampled_from(REWARDS), st.randoms())
def test_renaming_sources_renames_weights_and_their_order_means_nothing(
    training: Any, rule: Any, reward: Any, mixing: Any
) -> None:
    sources, steps = training
    renamed = dict(zip(sources, mixing.sample(sources, len(sources)), strict=True))
    shuffled = mixing.sample(sources, len(sources))
    plain, other, again = (
        OnlineMixture(names, **rule, reward=reward, seed=3)
        for names in (sources, [*renamed.values()], shuffled)
    )
    for losses in steps:
        plain.observe(losses)
        other.observe({renamed[source]: loss for source, loss in losses.items()})
        again.observe(dict(reversed(losses.items())))
    expected = {renamed[source]: weight for source, weight in plain.weights.items()}
    assert other.weights == pytest.approx(expected, abs=1e-9)
    assert again.weights == plain.weights
    assert again.draw(20) == plain.draw(20)


@given(trainings(), rules, st.sampled_from(REWARDS), st.data())
def test_a_mixture_resumed_at_any_point_goes_on_the_same(
    training: Any, rule: Any, reward: Any, chosen: st.DataObject
) -> None:
    sources, steps = training
    stop = chosen.draw(st.integers(0, len(steps)))
    whole = OnlineMixture(sources, **rule, reward=reward, seed=5)
    seen = []
    for at, losses in enumerate([*steps, {}]):
        if at == stop:
            state = json.loads(json.dumps(whole.state_dict(), allow_nan=False))
            resumed = OnlineMixture(sources[::-1], **rule, reward=reward, seed=8)
            resumed.load_state_dict(state)
        seen.append(whole.draw(3))
        whole.observe(losses)
    again = []
    for losses in [*steps, {}][stop:]:
        again.append(resumed.draw(3))
        resumed.observe(losses)
    assert again == seen[stop:]
    assert resumed.state_dict() == whole.state_dict()


def test_draws_follow_the_weights_and_are_the_same_in_any_portions() -> None:
    initial = {"web": 6, "code": 3, "law": 1}
    whole = OnlineMixture([*initial], initial, seed=1).draw(20_000)
    for source, weight in initial.items():
        assert Counter(whole)[source] / 20_000 == pytest.approx(weight / 10, abs=0.015)
    parts = OnlineMixture([*initial], initial, seed=1)
    assert [*parts.draw(1), *parts.draw(0), *parts.draw(7), *parts.draw(92)] == whole[:100]
    assert OnlineMixture([*initial], initial, seed=2).draw(100) != whole[:100]


def test_the_first_weights_are_copied_and_stay_during_warm_up() -> None:
    initial = {"web": 3.0, "code": 1.0}
    mixture = OnlineMixture(["code", "web"], initial, warm_up=2)
    initial["web"] = 0.0
    for _ in range(2):
        mixture.update("code", 9.0)
        assert mixture.weights == {"code": 0.25, "web": 0.75}
        assert mixture.rewards == {"code": 0.0, "web": 0.0}
    mixture.update("code", 9.0)
    assert mixture.weights["code"] != 0.25


def test_weights_stay_equal_while_exploration_is_all() -> None:
    """K = 22 sources: until t = K ln K = 68, whatever is learnt."""
    mixture = OnlineMixture([f"s{k}" for k in range(22)])
    for t in range(1, 70):
        mixture.update("s3", 5.0)
        equal = all(weight == pytest.approx(1 / 22) for weight in mixture.weights.values())
        assert equal == (t <= 68)


def test_the_drop_rewards_what_is_learnt_and_not_what_is_noise() -> None:
    """Noise keeps its high loss, one source falls slowly, one is known."""

    def run(reward: Any, scale: float) -> dict[str, float]:
        mixture = OnlineMixture(["noise", "slow", "known"], reward=reward, scale=scale)
        for t in range(300):
            mixture.observe({"noise": 6.0, "slow": 5.0 - t / 100, "known": 0.1})
        return mixture.weights

    by_loss, drop = run("loss", 1), run("drop", 1000)
    assert max(by_loss, key=by_loss.__getitem__) == "noise"
    assert drop["slow"] > 3 * drop["noise"]
    assert drop["noise"] == pytest.approx(drop["known"])


def test_a_closed_source_is_drawn_no_more_and_the_rest_keeps_its_proportions() -> None:
    mixture = OnlineMixture(["a", "b", "c"], {"a": 2, "b": 1, "c": 1}, seed=4)
    mixture.close("a")
    assert mixture.weights == {"a": 0.0, "b": 0.5, "c": 0.5}
    assert {*mixture.draw(200)} == {"b", "c"}
    mixture.update("a", 2.0)  # learnt late: it was drawn before
    assert sum(mixture.weights.values()) == pytest.approx(1)
    assert mixture.weights["a"] == 0
    mixture.close("b")
    mixture.close("c")
    assert mixture.draw(3) == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_source_added_later_has_the_mean_reward_and_the_least_weight(variant: Any) -> None:
    mixture = OnlineMixture(["a", "c"], variant=variant)
    for source, loss in (("a", 2.0), ("c", 3.0), ("a", 1.5)):
        mixture.update(source, loss)
    mean = sum(mixture.rewards.values()) / 2
    mixture.add("b")
    assert mixture.sources == ("a", "b", "c")
    assert mixture.rewards["b"] == pytest.approx(mean)
    assert mixture.weights["b"] == mixture.epsilon == min(mixture.weights.values())
    assert sum(mixture.weights.values()) == pytest.approx(1)
    mixture.update("b", 2.0)
    assert sum(mixture.weights.values()) == pytest.approx(1)


def test_resuming_with_other_sources_adds_and_closes() -> None:
    before = OnlineMixture(["a", "b"])
    before.update("a", 2.0)
    after = OnlineMixture(["b", "new"])
    after.load_state_dict(before.state_dict())
    assert after.sources == ("a", "b", "new")
    assert after.weights["a"] == 0
    assert {*after.draw(100)} == {"b", "new"}


@pytest.mark.parametrize(
    ("sources", "settings", "words"),
    [
        ([], {}, r"sources are \[\]"),
        ("web", {}, "sources are 'web'"),
        (["a", ""], {}, "give a list of names"),
        (["a", "a"], {}, "'a' is named twice"),
        (["a"], {"variant": "dataflex"}, "variant is 'dataflex'; choose among paper, official"),
        (["a"], {"reward": "gain"}, "reward is 'gain'"),
        (["a"], {"alpha": 1.0}, "alpha is 1"),
        (["a"], {"alpha": math.nan}, "alpha is nan"),
        (["a"], {"warm_up": -1}, "warm-up is -1"),
        (["a"], {"scale": 0.0}, "scale is 0"),
        (["a", "b"], {"initial": {"a": 1.0}}, "given for a, and the sources are a, b"),
        (["a", "b"], {"initial": {"a": 1.0, "b": 0.0}}, "of source 'b' is 0.0"),
        (["a", "b"], {"initial": {"a": 1e308, "b": 1e-308}}, "of source 'b' is 1e-308"),
        (["a", "b"], {"initial": {"a": math.inf, "b": 1}}, "of source 'a' is inf"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(sources: Any, settings: Any, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        OnlineMixture(sources, **settings)


@pytest.mark.parametrize(
    ("losses", "chances", "words"),
    [
        ({"a": 1.0, "z": 1.0}, None, "source 'z' is unknown; name a, b"),
        ({"a": 1.0, "b": math.nan}, None, "'b' in step 1 is nan"),
        ({"a": math.inf}, None, "'a' in step 1 is inf"),
        ({"a": 1.0}, {"a": 0.0}, "chance of source 'a' in step 1 is 0"),
        ({"a": 1.0}, {"a": 1.5}, "is 1.5"),
    ],
)
def test_steps_that_cannot_be_learnt_from_change_nothing(
    losses: Any, chances: Any, words: str
) -> None:
    mixture = OnlineMixture(["a", "b"])
    before = mixture.state_dict()
    with pytest.raises(InputError, match=words):
        mixture.observe(losses, chances)
    assert mixture.state_dict() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"form": 2}, "form 2"),
        ({"random": {}}, "no state of a mixture"),
        ({"weights": [1.0]}, "not a number for each source"),
        ({"weights": [0.9, 0.9]}, "weights that are none"),
        ({"weights": [None, 1.0]}, "weights that are none"),
        ({"sources": None}, "no state of a mixture"),
        ({"variant": "exp3"}, "saved with variant exp3 and is made with paper"),
        ({"alpha": 0.5}, "saved with alpha 0.5 and is made with 0.9"),
    ],
)
def test_what_is_no_state_is_refused_and_changes_nothing(change: Any, words: str) -> None:
    mixture = OnlineMixture(["a", "b"])
    before = mixture.state_dict()
    with pytest.raises(StateError, match=words):
        mixture.load_state_dict({**before, **change})
    for lacking in before:
        with pytest.raises(StateError):
            mixture.load_state_dict({key: one for key, one in before.items() if key != lacking})
    assert mixture.state_dict() == before
