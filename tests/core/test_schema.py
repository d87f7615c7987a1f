"""Tables of keys: read whole, told of all that is wrong, and never changed."""

from __future__ import annotations

import copy
import pickle
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from opsnb.core import config, schema
from opsnb.core.schema import Table, Wrong, choice, flag, key, seconds, several, some_text, whole


class Part(Table):
    name: str = key(some_text, "What it is called.")
    size: int = key(whole(0, 9), "How large.", 1)


class Sheet(Table):
    parts: tuple[Part, ...] = key(several(Part.model_validate), "Parts.", ())
    by_name: dict[str, Part] = key(schema.named(Part.model_validate), "Parts by name.", {})
    pace: float = key(seconds(0, 5), "Seconds.", 1)
    way: str = key(choice("a", "b"), "Which way.", "a", alias="direction")

    def fits(self) -> None:
        if self.way == "b" and not self.parts:
            raise ValueError("b needs parts")


def faults(said: object) -> tuple[schema.Fault, ...]:
    with pytest.raises(Wrong) as caught:
        Sheet.model_validate(said)
    return caught.value.faults


def test_a_table_is_read_with_what_is_inside() -> None:
    read = Sheet.model_validate({"parts": [{"name": "x"}], "direction": "b", "pace": 2})
    assert read.parts == (Part(name="x", size=1),)
    assert (read.way, read.pace, read.by_name) == ("b", 2.0, {})
    assert type(read.pace) is float
    assert read.model_fields_set == {"parts", "way", "pace"}
    assert Sheet.model_validate(read) is read


def test_all_that_is_wrong_is_told_with_its_place_and_without_its_value() -> None:
    said = {
        "parts": [{"name": "x"}, {"size": 10}, 5],
        "by_name": {"one": {"name": "secret", "sice": 1}},
        "way": "a",
        "pace": "secret",
    }
    told = faults(said)
    assert told == (
        (("parts", 1, "size"), "expected a whole number from 0 to 9"),
        (("parts", 1, "name"), "it must be given"),
        (("parts", 2), "expected a table"),
        (("by_name", "one", "sice"), "no such key"),
        (("pace",), "expected a number of seconds, from 0 to 5"),
        (("way",), "no such key"),
    )
    assert "secret" not in str(Wrong(*told))


def test_values_that_do_not_fit_together_are_refused_however_they_came() -> None:
    with pytest.raises(ValueError, match="b needs parts"):
        Sheet.model_validate({"direction": "b"})
    with pytest.raises(ValueError, match="b needs parts"):
        Sheet.model_construct(way="b")


def test_a_copy_has_what_was_said_and_the_update() -> None:
    read = Sheet.model_validate({"pace": 2})
    changed = read.model_copy(update={"way": "b"})
    assert (changed.pace, changed.way, read.way) == (2, "b", "a")
    assert changed.model_fields_set == {"pace", "way"}


def test_a_table_is_equal_to_its_like_and_never_changes() -> None:
    one, other = Part(name="x"), Part.model_validate({"name": "x", "size": 1})
    assert one == other
    assert {one: 1}[other] == 1
    assert one != Part(name="y")
    assert one != {"name": "x", "size": 1}
    with pytest.raises(AttributeError, match="frozen"):
        one.name = "y"
    with pytest.raises(AttributeError, match="frozen"):
        del one.name
    assert repr(one) == "Part(name='x', size=1)"
    assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == one


def test_it_is_plain_when_it_is_dumped() -> None:
    read = Sheet.model_validate({"parts": [{"name": "x"}], "by_name": {"y": {"name": "y"}}})
    part = {"name": "x", "size": 1}
    assert read.model_dump() == {
        "parts": (part,),
        "by_name": {"y": {"name": "y", "size": 1}},
        "pace": 1,
        "way": "a",
    }


@pytest.mark.parametrize("value", [1, 0, "true", None])
def test_only_true_and_false_are_flags(value: object) -> None:
    with pytest.raises(ValueError, match="true or false"):
        flag(value)


def strangers(table: type[Table]) -> list[str]:
    """Keys whose default is no value of their kind, or not of the type that they are said to have."""
    hints = get_type_hints(table)
    return [
        name
        for name, field in table.model_fields.items()
        if not field.required
        and (field.kind(field.default) != field.default or not _is(field.default, hints[name]))
    ]


def _is(value: object, hint: Any) -> bool:
    kind = get_origin(hint) or hint
    if kind is float:
        return isinstance(value, (int, float))
    return value in get_args(hint) if not isinstance(kind, type) else isinstance(value, kind)


@pytest.mark.parametrize(
    "table",
    [
        config.Hook,
        config.Health,
        config.Settings,
        config.Project,
        config.Environment,
        config.ServerTable,
        config.Config,
    ],
)
def test_every_default_is_a_value_that_its_key_may_have(table: type[Table]) -> None:
    assert strangers(table) == []


def test_the_control_a_default_that_its_key_may_not_have_is_found() -> None:
    class Odd(Table):
        much: int = key(whole(0, 9), "Too much.", 10)

    class Odder(Table):
        much: str = key(whole(0, 9), "No text.", 1)

    with pytest.raises(ValueError, match="from 0 to 9"):
        strangers(Odd)
    assert strangers(Odder) == ["much"]
