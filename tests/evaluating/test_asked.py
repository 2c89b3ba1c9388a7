"""`eval --on`: the kind of data that a name refers to, and its keys."""

import pytest
from helpers.made_sets import labelled_set

from perceptinit.components.plugin_manager import build_plugin_manager
from perceptinit.errors import MissingPackageError, RecipeError, UsageError
from perceptinit.evaluating.asked import judgments_table, read_asked, set_tables


@pytest.fixture
def registry(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERCEPTINIT_PLUGINS", "")
    return build_plugin_manager().registry


@pytest.mark.parametrize(
    ("text", "name", "kind"),
    [
        ("judgments.csv,images=photographs", "judgments.csv", "judgments"),
        ("s3://bucket/judgments.parquet", "s3://bucket/judgments.parquet", "judgments"),
        ("materials,root=data/materials", "materials", "judgments"),
        ("synthetic", "synthetic", "judgments"),
        ("smoke", "smoke", "test set"),
        ("paper29,root=data/eval", "paper29", "test set"),
        ("vtab/dtd", "vtab/dtd", "test set"),
        ("https://host/sets/pets", "https://host/sets/pets", "test set"),
        ("pets,root=sets", "pets", "test set"),
        ("quickstart", "quickstart", "recipe"),
        ("mine.toml", "mine.toml", "recipe"),
    ],
)
def test_a_name_has_a_kind(registry, text, name, kind):
    (found,) = read_asked([text], registry)
    assert (found.name, found.kind) == (name, kind)


def test_commas_that_do_not_start_a_key_belong_to_a_name_or_a_value(registry):
    (found,) = read_asked(['a,b.csv,people=["ann","bob"],names=c,d.txt'], registry)
    assert (found.name, found.keys) == ("a,b.csv", ('people=["ann","bob"]', "names=c,d.txt"))
    assert judgments_table(found, registry) == (
        {"use": "table", "path": "a,b.csv", "people": ["ann", "bob"], "names": "c,d.txt"},
        "",
        [],
    )


def test_split_and_component_of_judgments_are_keys(registry):
    (found,) = read_asked(["a.csv,use=ratings,split=test,min_gap=0.5"], registry)
    assert judgments_table(found, registry) == (
        {"use": "ratings", "path": "a.csv", "min_gap": 0.5},
        "test",
        [],
    )


def test_sets_with_equal_keys_share_an_evaluator(registry):
    asked = read_asked(["cifar10", "mnist", "stl10,precision=bf16", "cifar10"], registry)
    first, second = set_tables(asked)
    common = {"use": "zero-shot", "root": "data/eval", "batch_size": 256}
    assert first == {**common, "precision": "fp32", "datasets": ["cifar10", "mnist"]}
    assert second == {**common, "precision": "bf16", "datasets": ["stl10"]}


def test_captioned_sets_of_a_suite_are_measured_by_retrieval(registry):
    labeled, captioned = set_tables(read_asked(["paper29,root=sets"], registry))
    assert (labeled["use"], captioned["use"]) == ("zero-shot", "retrieval")
    assert [name.partition("/")[0] for name in captioned["datasets"]] == ["retrieval", "retrieval"]
    assert len(labeled["datasets"]) == 29
    assert labeled["root"] == captioned["root"] == "sets"


def test_a_path_to_a_set_states_its_root(registry, tmp_path):
    labelled_set(tmp_path / "sets/pets", [0, 1], 2)
    (table,) = set_tables(read_asked(["./sets/pets"], registry))
    assert (table["datasets"], table["root"]) == (["pets"], str(tmp_path / "sets"))


def test_a_set_is_requested_once(registry):
    asked = read_asked(["paper29", "cifar10,precision=bf16"], registry)
    with pytest.raises(UsageError, match="--on: requested twice: cifar10"):
        list(set_tables(asked))


def test_judgments_and_test_sets_need_two_commands(registry):
    with pytest.raises(UsageError, match=r"Run one with --on a\.csv,images=b, and one with --on cifar10"):
        read_asked(["a.csv,images=b", "cifar10"], registry)


def test_an_unknown_name_is_an_error_with_the_most_similar_one(registry):
    with pytest.raises(UsageError, match=r"no data called 'cifra10'\. Did you mean 'cifar10'"):
        read_asked(["cifra10"], registry)
    with pytest.raises(MissingPackageError, match="companion package perceptinit-perceptual-sets"):
        read_asked(["bapps,root=data/bapps"], registry)


def test_a_key_without_a_table_is_an_error(registry):
    with pytest.raises(RecipeError, match=r"cifar10,a\.b=1"):
        list(set_tables(read_asked(["cifar10,a.b=1"], registry)))
