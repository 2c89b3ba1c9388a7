"""Every bundled recipe runs shrunk and ends with its table; two of them in `make test`."""

import pytest
from helpers.command_line import ROOT
from helpers.smoke import check_smoke

RECIPES = sorted((ROOT / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_runs_shrunk_and_ends_with_the_table(cli, tmp_path, path):
    check_smoke(cli, tmp_path, path)
