"""A shared fixture of the fuzz tests: a folder for the files of a module."""

import pytest


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")
