"""Which tokens are learnt, counted by hand: with the tiny tokenizer each byte is a token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import examples
from tiny_models import CHAT, saved_model, tiny_model, tiny_tokenizer

from tsds_qdrant.errors import EmbeddingError
from tsds_qdrant.representations.base import NO_SUPERVISED_TOKENS, OK, REFUSED, Shown
from tsds_qdrant.representations.language.model import LanguageModel
from tsds_qdrant.representations.language.tokens import (
    NOT_LEARNT,
    Tokens,
    answer_alone,
    batches,
    padded,
    tokenized,
)

MakeModel = Callable[..., LanguageModel]


def said(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def user(content: str) -> dict[str, Any]:
    return said("user", content)


def assistant(content: str, **more: Any) -> dict[str, Any]:
    return said("assistant", content, **more)


def call(arguments: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "add", "arguments": arguments}}


BRIEF = said("system", "be brief")
TWO = (user("a"), assistant("b"), user("c"), assistant("dd"))


@pytest.fixture(scope="module")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """``make_model(chat_template, merges, **settings of the model)``."""
    weights = tiny_model(positions=128)

    def make(template: str | None = CHAT, merges: Any = (), **more: Any) -> LanguageModel:
        tokenizer = tiny_tokenizer(template, merges)
        return LanguageModel(saved_model(tmp_path_factory.mktemp("m"), weights, tokenizer), **more)

    return make


def learnt(model: LanguageModel, shown: Shown) -> tuple[str, str]:
    """The text as the model reads it, and what of it is learnt."""
    (tokens,) = tokenized(model, [shown])
    ids = [token for token, mine in zip(tokens.ids, tokens.learnt, strict=True) if mine]
    decode = model.tokenizer.decode
    return decode(tokens.ids), decode(ids)


def test_counts_by_hand(make_model: MakeModel) -> None:
    model = make_model()
    # <s>, "<user>" 6, content, </s>, a line break; "<assistant>" 11, content, </s>, a line break.
    counts = [
        (Shown("", (BRIEF, user("2+2"), assistant("4")), 2), 1 + 18 + 11 + 14, 2),
        (Shown("", TWO, None), 1 + 9 + 14 + 9 + 15, 2 + 3),
        (Shown("", TWO, 3), 1 + 9 + 14 + 9 + 15, 3),
        (Shown("", (user("ä"), assistant("日本")), 1), 1 + 10 + 19, 7),
        (Shown("hello"), 6, 5),
        (Shown("h"), 2, 1),
    ]
    found = tokenized(model, [shown for shown, _, _ in counts])
    for (shown, tokens, answers), one in zip(counts, found, strict=True):
        assert (len(one.ids), one.answer_tokens) == (tokens, answers), shown
        assert (one.status, one.truncated) == (OK, False)


def test_what_is_learnt_in_words(make_model: MakeModel) -> None:
    model = make_model()
    assert learnt(model, Shown("", (BRIEF, user("2+2"), assistant("4")), 2)) == (
        "<s><system>be brief</s>\n<user>2+2</s>\n<assistant>4</s>\n",
        "4</s>",
    )
    assert learnt(model, Shown("", TWO))[1] == "b</s>dd</s>"
    assert learnt(model, Shown("", TWO, 3))[1] == "dd</s>"
    assert learnt(model, Shown("", (assistant("hi"), user("q"), assistant("x"))))[1] == (
        "hi</s>x</s>"
    )
    assert learnt(model, Shown("", (user("q"), assistant(" two\nlines "))))[1] == " two\nlines </s>"
    same = (user("yes"), assistant("yes"), user("yes"), assistant("yes"))
    assert learnt(model, Shown("", same, 3))[1] == "yes</s>"


def test_messages_of_tools_are_read_and_calls_are_learnt(make_model: MakeModel) -> None:
    model = make_model()
    for arguments in ({"x": 1}, '{"x": 1}'):
        turns = (
            user("q"),
            assistant("", tool_calls=[call(arguments)]),
            said("tool", "42"),
            assistant("it is 42"),
        )
        text, answers = learnt(model, Shown("", turns, 1))
        calls = '{"name": "add", "arguments": {"x": 1}}</s>'
        assert answers == f"{calls}it is 42</s>"
        assert f"<assistant>{calls}\n<tool>42</s>\n" in text


def test_a_template_that_knows_tools_writes_them(make_model: MakeModel) -> None:
    template = (
        "{% for tool in tools or [] %}[{{ tool.function.name }}]{% endfor %}"
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}"
        "{% for c in m.tool_calls or [] %}"
        "!{{ c.function.name }}({{ c.function.arguments | tojson }})"
        "{% endfor %}</s>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    turns = (user("q"), assistant("", tool_calls=[call('{"x": 1}')]), said("tool", "42"))
    tools = '[{"type": "function", "function": {"name": "add", "parameters": {}}}]'
    model = make_model(template)
    assert learnt(model, Shown("", (*turns, assistant("ok")), 1, tools)) == (
        '[add]<user>q</s><assistant>!add({"x": 1})</s><tool>42</s><assistant>ok</s>',
        '!add({"x": 1})</s>ok</s>',
    )
    for nothing in ("", "[]", "no JSON", '{"name": "add"}'):
        assert learnt(model, Shown("", TWO[:2], 1, nothing))[0] == "<user>a</s><assistant>b</s>"


def test_nothing_to_learn(make_model: MakeModel) -> None:
    model = make_model()
    empty = [
        Shown("", (user("q"), assistant("")), 1),
        Shown("", (user("q"),), None),
        Shown("", (user("q"), assistant("a", weight=0)), 1),
        Shown("", (user("q"), assistant("a", train=False)), 1),
        Shown("", (user("q" * 200), assistant("behind all that is read")), 1),
        Shown(""),
    ]
    found = tokenized(model, empty)
    assert [tokens.status for tokens in found] == [NO_SUPERVISED_TOKENS] * len(empty)
    assert [tokens.truncated for tokens in found] == [False] * 4 + [True, False]
    assert not list(batches(found, model))
    mixed = (user("q"), assistant("no", weight=0), user("r"), assistant("yes", weight=1))
    assert learnt(model, Shown("", mixed))[1] == "yes</s>"


def test_long_examples_are_cut_behind_what_is_read(make_model: MakeModel) -> None:
    model = make_model(max_length=30)
    shown = Shown("", (user("q"), assistant("a long answer")), 1)
    (tokens,) = tokenized(model, [shown])
    assert (len(tokens.ids), tokens.truncated, tokens.answer_tokens) == (30, True, 30 - 21)
    whole = tokenized(make_model(), [shown])[0]
    assert tokens.ids == whole.ids[:30]
    assert not whole.truncated
    (fits,) = tokenized(model, [Shown("x" * 29)])
    assert (len(fits.ids), fits.truncated) == (30, False)


def test_without_a_template_messages_are_lines(make_model: MakeModel) -> None:
    model = make_model(None)
    assert learnt(model, Shown("", (user("two and two"), assistant("four")), 1)) == (
        "<s>two and two\nfour</s>",
        "four</s>",
    )
    assert learnt(model, Shown("", (BRIEF, *TWO))) == (
        "<s>be brief\na\nb</s>\nc\ndd</s>",
        "b</s>dd</s>",
    )
    assert learnt(model, Shown("", TWO, 3))[1] == "dd</s>"
    assert learnt(model, Shown("text")) == ("<s>text", "text")
    turns = (user("q"), assistant("see", tool_calls=[call("{}")]), said("tool", "1"))
    assert learnt(model, Shown("", turns, 1)) == (
        '<s>q\nsee\n{"name": "add", "arguments": {}}</s>\n1\n',
        'see\n{"name": "add", "arguments": {}}</s>',
    )


def test_a_tokenizer_that_ends_texts_itself_ends_them_once(make_model: MakeModel) -> None:
    from tokenizers import processors

    model = make_model(None)
    own = model.tokenizer.backend_tokenizer
    own.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 256), ("</s>", 257)]
    )
    assert learnt(model, Shown("", TWO[:2], 1)) == ("<s>a\nb</s>", "b</s>")
    assert learnt(model, Shown("text")) == ("<s>text</s>", "text</s>")


def test_tokens_across_the_border_of_an_answer_are_learnt(make_model: MakeModel) -> None:
    """A line break of the prompt and one of the answer become one token."""
    two_breaks = [("Ċ", "Ċ")]
    model = make_model(None, two_breaks)
    merged = model.tokenizer("\n\n")["input_ids"][1]
    (tokens,) = tokenized(model, [Shown("", (user("q"), assistant("\nan")), 1)])
    assert tokens.ids == [257, *model.tokenizer("q\n\nan</s>")["input_ids"][1:]]
    assert tokens.labels == [NOT_LEARNT, NOT_LEARNT, merged, *tokens.ids[3:]]
    one_break = [("q", "Ċ"), ("qĊ", "n")]
    model = make_model(None, one_break)
    (tokens,) = tokenized(model, [Shown("", (user("aq"), assistant("no")), 1)])
    assert tokens.answer_tokens == 3  # "q\nn", "o" and the end
    assert sum(label == NOT_LEARNT for label in tokens.labels) == 2


def test_white_space_that_a_tokenizer_counts_nowhere_is_learnt(make_model: MakeModel) -> None:
    """As GPT-2's says where tokens stand: a token that is a space has no width."""
    from tokenizers import processors

    model = make_model(None)
    model.tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    shown = Shown("", (user("q "), assistant("  a b")), 1)
    assert learnt(model, shown) == ("q \n  a b</s>", "  a b</s>")


GENERATION = (
    "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content + '</s>' }}{% endgeneration %}"
    "{% else %}{{ m.content }}{% endif %}|{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def test_a_template_may_say_itself_what_is_generated(make_model: MakeModel) -> None:
    model = make_model(GENERATION)
    assert learnt(model, Shown("", TWO)) == (
        "<user>a|<assistant>b</s>|<user>c|<assistant>dd</s>|",
        "b</s>dd</s>",
    )
    assert learnt(model, Shown("", TWO, 3))[1] == "dd</s>"
    assert learnt(model, Shown("", (*TWO[:3], assistant("no", weight=0))))[1] == "b</s>"
    narrow = GENERATION.replace("{{ m.content + '</s>' }}", "{{ m.content }}").replace(
        "{% endgeneration %}", "{% endgeneration %}</s>"
    )
    assert learnt(make_model(narrow), Shown("", TWO, 3))[1] == "dd"


REFUSING = (
    "{% for m in messages %}{% if m.role not in ('user', 'assistant') %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "<{{ m.role }}>{{ m.content | trim }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
"""As Gemma's and Mistral's."""
SILENT = (
    "{% for m in messages if m.role in ('user', 'assistant') %}<{{ m.role }}>{{ m.content }}</s>"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


def test_roles_that_a_template_refuses_become_part_of_others(make_model: MakeModel) -> None:
    model = make_model(REFUSING)
    assert learnt(model, Shown("", (BRIEF, user("q"), assistant(" a ")), 2)) == (
        "<user>be brief\n\nq</s>\n<assistant>a</s>\n",
        "a</s>",
    )
    developer = said("developer", "be brief")
    for first in (BRIEF, developer):
        assert learnt(model, Shown("", (first, *TWO), 4))[1] == "dd</s>"
    twice = (user("a"), user("b"), assistant("c"), assistant("d"))
    assert learnt(model, Shown("", twice, 2)) == (
        "<user>a\n\nb</s>\n<assistant>c\n\nd</s>\n",
        "c\n\nd</s>",
    )
    turns = (user("q"), assistant("", tool_calls=[call("{}")]), said("tool", "1"), assistant("x"))
    text, answers = learnt(model, Shown("", turns, 1))
    assert text.split("\n")[2] == "<user>1</s>"
    assert answers == '{"name": "add", "arguments": {}}</s>x</s>'
    with_earlier = (BRIEF, user("a"), assistant("b"), said("tool", "t"), user("c"), assistant("d"))
    assert learnt(model, Shown("", with_earlier, 5)) == (
        "<user>be brief\n\na</s>\n<assistant>b</s>\n<user>t\n\nc</s>\n<assistant>d</s>\n",
        "d</s>",
    )


def test_what_a_template_leaves_out_in_silence_is_said_otherwise(make_model: MakeModel) -> None:
    model = make_model(SILENT)
    assert learnt(model, Shown("", (BRIEF, *TWO[:2]), 2))[0] == (
        "<user>be brief\n\na</s><assistant>b</s>"
    )
    turns = (user("q"), assistant("", tool_calls=[call("{}")]), said("tool", "1"), assistant("x"))
    assert "<user>1</s>" in learnt(model, Shown("", turns, 1))[0]
    # What another message happens to say is no proof that the template writes it.
    echo = (said("system", "q"), user("q"), assistant("q"))
    assert learnt(model, Shown("", echo, 2))[0] == "<user>q\n\nq</s><assistant>q</s>"


def test_a_dialogue_that_no_form_fits_has_a_status_and_harms_no_other(
    make_model: MakeModel,
) -> None:
    model = make_model(REFUSING)
    first = Shown("", (assistant("I begin"), user("why"), assistant("so")))
    found = tokenized(model, [first, Shown("", TWO), first, Shown("text")])
    assert [tokens.status for tokens in found] == [REFUSED, OK, REFUSED, OK]
    assert [row for batch in batches(found, model) for row in batch.rows] == [1, 3]


THINKING = (
    "{% for m in messages %}<{{ m.role }}>"
    "{% if m.role == 'assistant' and loop.last %}{{ '<think>' + (m.reasoning_content or '')"
    " + '</think>' }}{% endif %}{{ m.content }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{{ ask }}{% endif %}"
)
"""As Qwen3's: the thoughts of the last answer alone are shown."""


@pytest.mark.parametrize(("ask", "prefix"), [("", "<think></think>"), ("<think>", "</think>")])
def test_thoughts_of_earlier_answers_are_not_shown(
    make_model: MakeModel, ask: str, prefix: str
) -> None:
    model = make_model(THINKING.replace("{{ ask }}", ask))
    assert learnt(model, Shown("", TWO))[1] == f"b</s>{prefix}dd</s>"
    assert learnt(model, Shown("", TWO, 3))[1] == f"{prefix}dd</s>"
    thought = (user("q"), assistant("a", reasoning_content="hm"))
    assert learnt(model, Shown("", thought, 1))[1] == f"{prefix[:-8]}hm</think>a</s>"


def test_a_prompt_that_asks_for_thoughts_which_an_answer_lacks(make_model: MakeModel) -> None:
    """As DeepSeek R1's: it asks with ``<think>``, and writes answers without their thoughts."""
    template = CHAT.replace("'<assistant>'", "'<assistant><think>'")
    model = make_model(template)
    assert learnt(model, Shown("", TWO))[1] == "b</s>dd</s>"
    assert learnt(model, Shown("", TWO, 3))[1] == "dd</s>"


def test_answers_end_with_what_ends_them(make_model: MakeModel) -> None:
    """Without a token for it, all that the template writes of an answer is learnt."""
    model = make_model(
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    assert learnt(model, Shown("", TWO[:2], 1)) == ("user: a\n\nassistant: b\n\n", "b\n\n")
    model = make_model(CHAT.replace("eos_token + '\n'", "' ' + eos_token + ' \n '"))
    assert learnt(model, Shown("", TWO))[1] == "b </s>dd </s>"


def test_the_day_of_today_is_in_no_token(make_model: MakeModel) -> None:
    day = (
        "{% if strftime_now is defined %}{% set day = strftime_now('%d %b %Y, %Y-%m-%d') %}"
        "{% else %}{% set day = 'no day' %}{% endif %}{{ day }}|"
    )
    text = learnt(make_model(day + CHAT), Shown("", TWO))[0]
    assert text.startswith("26 Jul 2024, 2024-07-26|<s><user>")


@pytest.mark.parametrize("template", ["{% for %}", "{{ raise_exception('never') }}", "{{ 1 / 0 }}"])
def test_a_template_that_cannot_be_used_ends_the_run(make_model: MakeModel, template: str) -> None:
    model = make_model(template)
    with pytest.raises(EmbeddingError, match=r"chat template of model .* cannot be used \(.+\)"):
        tokenized(model, [Shown("", TWO)])
    assert tokenized(model, [Shown("a text needs none")])[0].status == OK


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(make_model: MakeModel) -> None:
    model = make_model()
    model.tokenizer.add_tokens([f"[{number}]" for number in range(70)])
    assert tokenized(model, [Shown("[0]")])[0].status == OK
    with pytest.raises(EmbeddingError, match=r"makes the token 328, but the model knows 320"):
        tokenized(model, [Shown("[69]")])


@pytest.mark.filterwarnings("ignore:This sequence already has")
def test_a_tokenizer_that_does_not_say_where_tokens_stand(make_model: MakeModel) -> None:
    from transformers import ByT5Tokenizer

    model = make_model(None)
    expected = learnt(model, Shown("", TWO, 3))[1]
    slow = ByT5Tokenizer()
    assert not slow.is_fast
    model.__dict__["tokenizer"] = slow
    # It takes white space away behind the token that ends an answer.
    assert learnt(model, Shown("", TWO, 3)) == ("a\nb</s>c\ndd</s>", expected)
    slow.chat_template = CHAT
    assert learnt(model, Shown("", TWO, 3))[1] == expected
    assert learnt(model, Shown("", TWO))[1] == "b</s>dd</s>"


TEXTS = st.text(st.sampled_from("ab \n<>/sé日{}%"), max_size=6)
PLACES = ("system", "user", "assistant", "tool")


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(PLACES), TEXTS), min_size=1, max_size=6),
    st.sampled_from([CHAT, None, GENERATION]),
)
def test_exactly_the_answers_are_learnt(
    make_model: MakeModel, turns: list[tuple[str, str]], template: str | None
) -> None:
    cached = MODELS.get(template) or MODELS.setdefault(template, make_model(template))
    messages = tuple(said(role, content) for role, content in turns)
    answers = [content for role, content in turns if role == "assistant" and content]
    (tokens,) = tokenized(cached, [Shown("", messages)])
    ids = [token for token, mine in zip(tokens.ids, tokens.learnt, strict=True) if mine]
    if len(tokens.ids) < 128:
        empty = sum(role == "assistant" and not content for role, content in turns)
        if template is not GENERATION or not empty:
            expected = "".join(f"{answer}</s>" for answer in answers)
            assert cached.tokenizer.decode(ids) == expected


MODELS: dict[str | None, LanguageModel] = {}


def test_batches(make_model: MakeModel) -> None:
    model = make_model()
    lengths = (5, 40, 7, 40, 1, 9)
    found = [Tokens(list(range(k)), [False] * (k > 0) + [True] * (k - 1)) for k in lengths]
    assert [batch.rows for batch in batches(found, model, batch_size=2)] == [[1, 3], [5, 2], [0]]
    tight = [batch.rows for batch in batches(found, model, batch_tokens=41)]
    assert tight == [[1], [3], [5, 2, 0]]
    for side, place in (("right", slice(0, 3)), ("left", slice(2, 5))):
        batch = padded([found[0], Tokens([8, 9, 10], [False, False, True])], [0, 7], 99, side)
        assert batch.rows == [0, 7]
        assert batch.ids[1, place].tolist() == [8, 9, 10]
        assert batch.labels[1, place].tolist() == [NOT_LEARNT, NOT_LEARNT, 10]
        assert batch.attention.sum(1).tolist() == [5, 3]
        assert (batch.ids[1] == 99).sum() == 2
        assert batch.labels[0].tolist() == [NOT_LEARNT, 1, 2, 3, 4]


def test_an_answer_alone() -> None:
    whole = Tokens([1, 2, 3, 4], [False, False, True, True], truncated=True)
    alone = answer_alone(whole, 9)
    assert (alone.ids, alone.labels) == ([9, 3, 4], [NOT_LEARNT, 3, 4])
    assert answer_alone(Tokens([1], [False]), 9).status == NO_SUPERVISED_TOKENS
