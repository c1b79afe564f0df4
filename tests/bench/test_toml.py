import math
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sciode.bench.toml import dumps
from sciode.core.errors import InputError

LEAF = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(blacklist_categories=["Cs"])),
)
VALUE = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(st.characters(blacklist_categories=["Cs"])), inner, max_size=3),
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(st.characters(blacklist_categories=["Cs"])), VALUE, max_size=4))
def test_reading_gives_back_what_was_written(table):
    assert tomllib.loads(dumps(table)) == table


@pytest.mark.parametrize("value", [1e-5, 1.0, 1e300, -0.0, math.inf])
def test_floats_stay_floats(value):
    back = tomllib.loads(dumps({"x": value}))["x"]
    assert isinstance(back, float) and back == value


def test_none_is_left_out_and_other_objects_are_refused():
    assert tomllib.loads(dumps({"a": None, "b": {"c": None}})) == {"b": {}}
    with pytest.raises(InputError, match="object"):
        dumps({"a": object()})
