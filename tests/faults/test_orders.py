"""Orders that are one and the same are told from those that differ."""

from __future__ import annotations

from tests.faults.orders import distinct, orders

BUILDING = ("glance", "lock", "begin", "unpack", "verify", "publish", "release")
LOOKING = ("look", "look")


def test_looks_among_looks_and_among_what_no_look_shows_make_one_order() -> None:
    same = {frozenset(one) for one in distinct(BUILDING, LOOKING).values()}
    # Before and after "unpack" and "verify", with one look made already: nobody can tell.
    assert any({(3, 1), (4, 1), (5, 1)} <= one for one in same)
    assert any({(0, 1), (1, 1)} <= one for one in same)


def test_a_look_before_and_after_what_it_shows_are_two() -> None:
    same = {frozenset(one) for one in distinct(BUILDING, LOOKING).values()}
    for before, after in (((1, 1), (2, 1)), ((2, 1), (3, 1)), ((5, 1), (6, 1)), ((3, 1), (3, 2))):
        assert not any({before, after} <= one for one in same)


def test_who_is_refused_twice_ends_so_what_he_would_have_done_makes_no_order() -> None:
    same = distinct(BUILDING, BUILDING)
    (one,) = (each for each in same.values() if (4, 4) in each)
    assert {(4, number) for number in range(4, 8)} <= set(one)
    assert (4, 3) not in one, "he has not yet asked who holds it"


def test_each_order_is_in_one_place_and_none_is_missing() -> None:
    found = [order for same in distinct(BUILDING, BUILDING).values() for order in same]
    assert sorted(found) == orders(BUILDING, BUILDING)
