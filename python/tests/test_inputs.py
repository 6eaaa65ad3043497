"""Tables whose columns have another type than at the fit, or one of few: what means the same is taken, and else the error says what is held."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import tilewise

Y = np.array([1.0, 5.0, 2.0, 7.0] * 20)
FIVE = [tilewise.Ridge(), tilewise.DecisionTreeRegressor(), tilewise.HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=5)]
LIBRARIES = [pd.DataFrame, pl.DataFrame, pa.table]


@pytest.mark.parametrize("model", FIVE, ids=lambda model: type(model).__name__)
@pytest.mark.parametrize("values", [[3, 7, 3, 9], [-2, 7, 7, 0], [0.5, 1.0, 0.1, 0.5]])
def test_categories_of_numbers_come_as_numbers(model, values):
    numbers = pd.Series(values * 20)
    model.fit(pd.DataFrame({"k": numbers.astype("category")}), Y)
    expected = model.predict(pd.DataFrame({"k": numbers.astype("category")}))
    assert len(set(expected)) > 1
    for kind in (numbers.dtype, np.float32, np.float64, "Float64"):
        assert np.array_equal(model.predict(pd.DataFrame({"k": numbers.astype(kind)})), expected), kind
    assert np.array_equal(model.predict(pl.DataFrame({"k": values * 20})), expected)
    # What is no category is one that training did not see, as text is.
    unseen = model.predict(pd.DataFrame({"k": [5, 6]}))
    assert np.array_equal(unseen, model.predict(pd.DataFrame({"k": ["5", "6"]})))
    for large in (2.0**53, -(2.0**60), np.inf):
        with pytest.raises(ValueError, match='row 1 .counted from 0., column "k": Input X contains .*numbers below 2.53 are accepted'):
            model.predict(pd.DataFrame({"k": [3.0, large]}))


def test_numbers_are_no_categories_of_text():
    model = tilewise.DecisionTreeRegressor().fit(pd.DataFrame({"k": ["3", "x", "3", "x"] * 20}), Y)
    with pytest.raises(ValueError, match="is numeric where the model needs categorical; text is accepted"):
        model.predict(pd.DataFrame({"k": [3, 7]}))
    # "07" is called so by no number.
    model.fit(pd.DataFrame({"k": ["03", "07", "03", "07"] * 20}), Y)
    with pytest.raises(ValueError, match="is numeric where the model needs categorical"):
        model.predict(pd.DataFrame({"k": [3, 7]}))


@pytest.mark.parametrize("model", FIVE, ids=lambda model: type(model).__name__)
def test_true_and_false_are_1_and_0(model):
    bits = np.array([0, 1, 0, 1] * 20)
    model.fit(pd.DataFrame({"b": bits, "x": Y}), Y)
    expected = model.predict(pd.DataFrame({"b": bits, "x": Y}))
    for column in (bits.astype(bool), pd.array(bits.astype(bool), dtype="boolean"), bits.astype(bool).astype(object)):
        assert np.array_equal(model.predict(pd.DataFrame({"b": column, "x": Y})), expected)
    for library in LIBRARIES:
        assert np.array_equal(model.predict(library({"b": bits.astype(bool), "x": Y})), expected)
    # And the other way round, as ever.
    model.fit(pd.DataFrame({"b": bits.astype(bool), "x": Y}), Y)
    assert np.array_equal(model.predict(pd.DataFrame({"b": bits, "x": Y})), model.predict(pd.DataFrame({"b": bits.astype(bool), "x": Y})))


def test_missing_booleans_are_missing_numbers():
    bits = np.array([0.0, 1.0, np.nan, 1.0] * 20)
    model = tilewise.DecisionTreeRegressor().fit(pd.DataFrame({"b": bits}), Y)
    objects = pd.Series([False, True, None, True] * 20, dtype=object)
    for column in (objects, objects.astype("boolean")):
        assert np.array_equal(model.predict(pd.DataFrame({"b": column})), model.predict(pd.DataFrame({"b": bits})))
    with pytest.raises(ValueError, match='row 2 .counted from 0., column "b": Input X contains NaN'):
        tilewise.Ridge().fit(pd.DataFrame({"b": bits % 2}).fillna(0.0), Y).predict(pd.DataFrame({"b": objects}))


@pytest.mark.filterwarnings("ignore")
def test_a_column_without_a_value_is_missing():
    of = {"numbers": [1.0, 2.0, 3.0, 4.0] * 20, "texts": ["a", "b", "c", "d"] * 20, "bits": [True, False, True, True] * 20}
    for name, values in of.items():
        values = [None, *values[1:]]
        model = tilewise.DecisionTreeRegressor().fit(pl.DataFrame({"a": values, "x": Y}), Y)
        expected = model.predict(pl.DataFrame({"a": [None, None], "x": [1.0, 5.0]}, schema_overrides={"a": pl.DataFrame({"a": values}).dtypes[0]}))
        tables = [library({"a": [None, None], "x": [1.0, 5.0]}) for library in LIBRARIES]
        tables += [pd.DataFrame({"a": [np.nan, np.nan], "x": [1.0, 5.0]}), pd.DataFrame({"a": pd.Series([pd.NA] * 2, dtype=object), "x": [1.0, 5.0]})]
        for table in tables:
            assert np.array_equal(model.predict(table), expected), (name, type(table))
        with pytest.raises(ValueError, match='row 0 .counted from 0., column "a": Input X contains NaN'):
            tilewise.Ridge().fit(pl.DataFrame({"a": values[1:], "x": Y[1:]}), Y[1:]).predict(tables[1])
    # A fit learns nothing of it.
    alone = tilewise.DecisionTreeRegressor().fit(pl.DataFrame({"x": Y}), Y)
    for library in LIBRARIES:
        with_it = tilewise.DecisionTreeRegressor().fit(library({"a": [None] * 80, "x": Y}), Y)
        assert np.array_equal(with_it.predict(library({"a": [None] * 80, "x": Y})), alone.predict(pl.DataFrame({"x": Y})))
        with pytest.raises(ValueError, match='column "a": Input X contains NaN'):
            tilewise.Ridge().fit(library({"a": [None] * 80, "x": Y}), Y)


def test_objects_that_are_true_and_false_are_booleans():
    objects = pd.Series([True, False, None, True] * 20, dtype=object)
    model = tilewise.DecisionTreeRegressor()
    fits = [model.fit(pd.DataFrame({"b": column}), Y)._model.to_bytes() for column in (objects, objects.astype("boolean"))]
    assert fits[0] == fits[1] and model._model.inputs == [("b", "boolean")]


@pytest.mark.parametrize("model", FIVE, ids=lambda model: type(model).__name__)
def test_sparse_columns_are_as_dense_ones(model):
    dense = pd.DataFrame({"s": np.arange(80) % 3.0, "b": Y > 4, "x": Y})
    sparse = dense.astype({"s": pd.SparseDtype(float, 0.0), "b": pd.SparseDtype(bool, False)})
    expected = model.fit(dense, Y).predict(dense)
    contents = model._model.to_bytes()
    assert np.array_equal(model.predict(sparse), expected)
    assert model.fit(sparse, Y)._model.to_bytes() == contents and np.array_equal(model.predict(dense), expected)


@pytest.mark.parametrize(
    "table, told",
    [
        (pd.DataFrame({"a": pd.Series([True, 1, "x", None] * 20, dtype=object)}), r"column 'a' holds object \(bool, int, str\); numbers, text"),
        (pd.DataFrame({"a": np.arange(80) * 1j}), "column 'a' holds complex128; numbers"),
        (pd.DataFrame({"a": pd.date_range("2020-01-01", periods=80)}), "column 'a' holds datetime64.*; numbers, text, categories and booleans"),
        (pl.DataFrame({"a": [[1]] * 80}), r"column 'a' holds List\(Int64\); numbers"),
    ],
)
def test_what_else_a_column_holds_is_told_by_its_librarys_name(table, told):
    with pytest.raises(ValueError, match=told):
        tilewise.DecisionTreeRegressor().fit(table, Y)
