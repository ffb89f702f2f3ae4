"""Flags from the fields of settings classes, on a toy command."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from typer.testing import CliRunner, Result

from tsds_qdrant.cli.commands import ConfigOption, FlagCommand, command_of
from tsds_qdrant.cli.flags import filled, only, taking
from tsds_qdrant.errors import SettingsError
from tsds_qdrant.settings.fields import setting


def letters(text: str, flag: str) -> tuple[str, ...] | None:
    if text == "none":
        return None
    if not text.isalpha():
        raise SettingsError(f"{flag} is '{text}'; give letters")
    return tuple(text)


@dataclass(frozen=True)
class Oven:
    """The oven

    Attributes:
        heat: how hot.
    """

    heat: int = setting(180, "How hot.", least=0)
    fan: bool = setting(True, "Leave the fan off.", " /--no-fan")
    light: bool = setting(False, "Switch the light on.", "--light/--no-light")


@dataclass(frozen=True)
class Cake:
    """What is baked.

    Attributes:
        name: of the cake.
    """

    name: str = setting(MISSING, "Its name.", "--cake", envvar="TOY_CAKE")
    layers: tuple[str, ...] | None = setting(("a",), "Letters.", parse=letters)
    eggs: tuple[int, ...] = setting((), "Again and again.", "--egg", repeated=True)
    icing: Literal["thin", "thick"] | None = setting(None, "Icing.")
    where: Path = setting(Path("kitchen"), "A place.", metavar="DIR")
    sugar: float = setting(0.5, "How sweet.", hidden=True)
    oven: Oven = field(default_factory=Oven)

    def __post_init__(self) -> None:
        if self.sugar > 1:
            raise SettingsError(f"sugar is {self.sugar:g}; at most 1")


@dataclass(frozen=True)
class Steam(Oven):
    """Another oven"""

    water: float = setting(1.0, "Litres.")


@dataclass(frozen=True)
class Fire(Oven):
    """An oven without flags"""

    heat: int = 900
    fan: bool = False
    light: bool = True


made: list[Any] = []
Loud = Annotated[bool, typer.Option("--loud", help="Say it.")]
Guest = Annotated[list[str] | None, typer.Argument(help="Who comes.")]


def bake(cake: Cake, guests: Guest = None, loud: Loud = False) -> None:
    """Bake a cake."""
    made.append((cake, guests, loud))


def run(*words: str, code: int = 0, taken: Any = Cake, env: Any = None, **more: Any) -> Result:
    made.clear()
    app = typer.Typer(rich_markup_mode=None, add_completion=False)
    app.command(cls=FlagCommand)(taking(taken, **more)(bake))
    result = CliRunner().invoke(app, list(words), env={"TOY_CAKE": None, **(env or {})})
    assert result.exit_code == code, result.output
    return result


def test_what_is_not_given_keeps_the_default_of_its_field() -> None:
    run("--cake", "tart")
    assert made == [(Cake("tart"), None, False)]


def test_every_type_of_field() -> None:
    words = "ann --cake tart --layers abc --egg 2 bob --egg=3 --icing thick --where shed --sugar 1"
    run(*words.split(), "--heat", "20", "--no-fan", "--light", "--loud")
    oven = Oven(20, fan=False, light=True)
    cake = Cake("tart", ("a", "b", "c"), (2, 3), "thick", Path("shed"), 1.0, oven)
    assert made == [(cake, ["ann", "bob"], True)]
    assert [type(value) for value in made[0][0].eggs] == [int, int]


def test_a_parse_may_make_none() -> None:
    run("--cake", "tart", "--layers", "none")
    assert made[0][0].layers is None


def test_the_environment_gives_what_the_words_do_not() -> None:
    run(env={"TOY_CAKE": "pie"})
    assert made[0][0].name == "pie"
    run("--cake", "tart", env={"TOY_CAKE": "pie"})
    assert made[0][0].name == "tart"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Missing option '--cake' (env var: 'TOY_CAKE')"),
        (("--cake", "tart", "--heat", "-1"), "'--heat'"),
        (("--cake", "tart", "--heat", "hot"), "'--heat'"),
        (("--cake", "tart", "--egg", "two"), "'--egg'"),
        (("--cake", "tart", "--eg", "2"), "--eg"),
    ],
)
def test_wrong_usage_is_refused_by_typer(words: tuple[str, ...], said: str) -> None:
    assert said in run(*words, code=2).stderr
    assert not made


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--layers", "a1"), "--layers is 'a1'; give letters"), (("--sugar", "2"), "sugar is 2")],
)
def test_settings_refuse_as_they_do_in_the_library(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        raise run("--cake", "tart", *words, code=1).exception  # type: ignore[misc]


def test_the_help_has_a_panel_for_each_class() -> None:
    shown = run("--help", usual=("heat", "cake"), rare=("where",)).stdout
    panels = [line for line in shown.splitlines() if line.endswith(":") and line[0] != " "]
    assert panels == ["Arguments:", "Usual:", "What is baked:", "The oven:", "Options:"]
    usual = shown.split("Usual:")[1].split("What is baked:")[0]
    assert usual.index("--heat N") < usual.index("--cake TEXT")
    assert "[default: 180; x>=0]" in usual
    assert "[env var: TOY_CAKE; required]" in usual
    assert "--icing thin|thick" in shown
    assert "\n  --no-fan" in shown
    assert "--light / --no-light" in shown
    assert "--layers TEXT" in shown
    assert "--where" not in shown
    assert "--sugar" not in shown
    assert "(2 more)" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_all_flags_are_shown_on_request() -> None:
    shown = run("--help-all", rare=("where",)).stdout
    assert "--where DIR" in shown
    assert "--sugar X" in shown
    assert "--help-all" not in run("--help", taken=only(Cake, "name")).stdout


def test_a_help_text_of_its_own() -> None:
    assert "Its title." in run("--help", texts={"cake": "Its title."}).stdout


def test_a_part_of_a_class() -> None:
    taken = only(Cake, "name", "sugar")
    run("--cake", "tart", "--sugar", "1", taken=taken)
    assert made[0][0] == Cake("tart", sugar=1.0)
    assert "--icing" in run("--cake", "tart", "--icing", "thin", taken=taken, code=2).stderr
    run("--cake", "tart", "--heat", "9", taken=taken, code=2)


def test_a_subclass_in_place_of_an_inner_class() -> None:
    run("--cake", "tart", "--water", "2", "--heat", "9", taken=filled(Cake, oven=Steam))
    assert made[0][0].oven == Steam(heat=9, water=2.0)
    run("--cake", "tart", "--water", "2", taken=filled(Cake, oven=only(Steam, "heat")), code=2)
    run("--cake", "tart", taken=filled(Cake, oven=Fire))
    assert made[0][0].oven == Fire()


def test_flags_that_are_read_elsewhere() -> None:
    secret = Annotated[str | None, typer.Option("--secret", help="Not for the command.")]
    run("--cake", "tart", "--secret", "yes", also={"secret": secret})
    assert made == [(Cake("tart"), None, False)]


def test_what_cannot_be_a_command() -> None:
    with pytest.raises(TypeError, match="bake takes no Oven"):
        taking(Cake, Oven)(bake)

    @dataclass(frozen=True)
    class Odd:
        """Odd"""

        many: list[int] | None = setting(None, "No flag can be that.")

    def odd(it: Odd) -> None:
        """Nothing."""

    odd.__annotations__["it"] = Odd
    with pytest.raises(TypeError, match=r"Odd\.many is .* give it a parse"):
        taking(Odd)(odd)


def job(tmp_path: Path, text: str) -> tuple[str, str]:
    (tmp_path / "job.toml").write_text(text)
    return "--config", str(tmp_path / "job.toml")


def with_file(*words: str, code: int = 0, env: Any = None) -> Result:
    return run(*words, also={"config": ConfigOption}, code=code, env=env)


def test_flags_from_a_file(tmp_path: Path) -> None:
    file = job(
        tmp_path,
        'cake = "tart"\nlayers = "ab"\negg = [1, 2]\nheat = 7\nno-fan = true\nlight = true\n'
        "sugar = 0.25\nloud = true\n",
    )
    with_file(*file)
    cake = Cake("tart", ("a", "b"), (1, 2), sugar=0.25, oven=Oven(7, fan=False, light=True))
    assert made == [(cake, None, True)]


def test_flags_given_win_over_a_file_and_that_over_the_environment(tmp_path: Path) -> None:
    file = job(tmp_path, 'cake = "tart"\negg = [1, 2]\nheat = 7\nlight = true\n')
    with_file(*file, "--egg", "3", "--heat=8", "--no-light", env={"TOY_CAKE": "pie"})
    assert made[0][0] == Cake("tart", eggs=(3,), oven=Oven(8))
    with_file(*job(tmp_path, "heat = 7\n"), env={"TOY_CAKE": "pie"})
    assert made[0][0] == Cake("pie", oven=Oven(7))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('cakes = "tart"', "'cakes' in '.*job.toml' is no flag of 'bake'; did you mean 'cake'?"),
        ("zzz = 1", "'zzz' in .*; 'tsds-qdrant bake --help' shows all"),
        ('config = "other.toml"', "'config' in .* is no flag"),
        ("help_all = true", "'help_all' in .* is no flag"),
        ('guests = "ann"', "'guests' in .* is no flag"),
        ('light = "yes"', "'light' in .* is 'yes'; write true or false"),
        ('cake = "tart"\nlayers = "a1"', "--layers is 'a1'; give letters"),
        ("cake = ", "is no TOML .* write lines like size = 1000"),
    ],
)
def test_a_file_with_what_is_no_flag_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        raise with_file(*job(tmp_path, text), code=1).exception  # type: ignore[misc]


def test_a_command_keeps_its_own_defaults_when_a_file_gave_others(tmp_path: Path) -> None:
    command = command_of("bake", taking(Cake, also={"config": ConfigOption})(bake))
    command.make_context("bake", list(job(tmp_path, 'cake = "tart"\nheat = 7\n')))
    context = command.make_context("bake", ["--cake", "pie"])
    assert context.params["heat"] == 180
