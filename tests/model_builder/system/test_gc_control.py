"""The garbage collector is off while modules are imported, and on again afterwards."""

from __future__ import annotations

import gc

import pytest

from model_builder.system.gc_control import gc_paused


def test_it_is_off_within() -> None:
    with gc_paused():
        assert not gc.isenabled()
        there: list[object] = []
    assert gc.isenabled()
    assert not any(one is there for one in gc.get_objects())
    gc.unfreeze()
    assert any(one is there for one in gc.get_objects())


def test_it_is_on_again_after_an_error() -> None:
    with pytest.raises(ModuleNotFoundError), gc_paused():
        raise ModuleNotFoundError
    assert gc.isenabled()


def test_where_it_was_off_it_stays_off() -> None:
    gc.disable()
    try:
        with gc_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
