"""Bundled recipes are found by name in a checkout and after `pip install`."""

import shutil
import tomllib
from pathlib import Path

from perceptinit.recipe import shipped
from perceptinit.recipe.reading import load_recipe

ROOT = Path(__file__).parents[2]


def test_every_bundled_recipe_is_listed_and_found_by_name(recipes_folder):
    files = {path.stem: path for path in sorted(recipes_folder.rglob("*.toml"))}
    assert shipped.list_shipped() == files
    assert load_recipe("quickstart").name == load_recipe("quickstart.toml").name == "quickstart"
    assert all(shipped.summaries().values())


def test_a_file_takes_precedence_over_a_bundled_recipe_of_the_same_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("aa").mkdir()  # a folder is not a recipe
    assert load_recipe("aa").name == "aa"
    Path("aa.toml").write_text('schema = 1\nname = "mine"\n[backbone]\nuse = "timm"\nmodel = "x"')
    assert load_recipe("aa.toml").name == "mine"


def test_a_copied_recipe_finds_its_parent_recipe(cli, tmp_path):
    done = cli("new", "recipe", "compute_matched")
    assert done.stdout.splitlines()[0] == "compute_matched.toml"
    own = load_recipe(tmp_path / "compute_matched.toml")
    ours = load_recipe("compute_matched")
    assert [own.fingerprint(arm) for arm in own.arms] == [ours.fingerprint(a) for a in ours.arms]
    again = cli("new", "recipe", "compute_matched")
    assert again.returncode == 2
    assert "compute_matched.toml: already exists. Rename it, or change to another folder" in again.stderr


def test_a_new_recipe_for_own_judgments_fits_the_batch_to_the_images(cli, tmp_path):
    cli("new", "recipe", "own_judgments")
    copied = load_recipe(tmp_path / "own_judgments.toml").arms[1].init[0].config
    bundled = load_recipe("own_judgments").arms[1].init[0].config
    assert (copied.batch_size, copied.epochs, copied.lr, copied.patience) == ("auto", 256, 1e-3, 8)
    assert (bundled.batch_size, bundled.epochs, bundled.lr, bundled.patience) == (64, 10, 2e-3, None)


def test_the_wheel_contains_the_recipes_at_the_searched_path(tmp_path, monkeypatch):
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    (place,) = wheel["targets"]["wheel"]["force-include"].values()
    monkeypatch.setattr(shipped, "PACKAGE", tmp_path / "perceptinit")
    installed = tmp_path / place
    shutil.copytree(ROOT / "recipes", installed)
    assert shipped.list_shipped()["quickstart"] == installed / "quickstart.toml"
    assert load_recipe("compute_matched").sources[1][0] == str(installed / "controls_materials.toml")


def test_list_includes_recipes(cli):
    assert "does it work" not in cli("list", "pairs").stdout
    for arguments in (["list"], ["list", "recipe"], ["list", "recipes"]):
        assert "pi_clip_yfcc" in cli(*arguments).stdout


def test_an_unknown_recipe_name_is_reported_with_a_suggestion(cli):
    done = cli("run", "quickstrat")
    assert done.returncode == 2
    sentence = "quickstrat: no such recipe. Did you mean the bundled recipe 'quickstart'?"
    assert sentence in done.stderr
    done = cli("validate", "recipes/quickstart.toml")  # as in a checkout
    assert "Did you mean the bundled recipe 'quickstart'?" in done.stderr
    assert "Did you mean 'quickstart'?" in cli("new", "recipe", "quickstrat").stderr
