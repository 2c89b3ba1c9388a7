"""Every bundled recipe finishes a smoke run with its table; `make test` runs two of them."""

import pytest
from helpers.command_line import ROOT
from helpers.smoke import check_smoke

RECIPES = sorted((ROOT / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_bundled_recipe_finishes_a_smoke_run_with_its_table(cli, tmp_path, path):
    check_smoke(cli, tmp_path, path)
