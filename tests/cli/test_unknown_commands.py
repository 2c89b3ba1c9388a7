"""The error about an unknown command names the most similar one."""

import pytest


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("rnu",), "no command called 'rnu'. Did you mean 'run'? Known: run, tune, "),
        (("data", "lst"), "no command called 'data lst'. Did you mean 'data list'? Known: data list, "),
        (("new", "plugn"), "no command called 'new plugn'. Did you mean 'new plugin'? Known: new plugin, "),
        (("zzzz",), "no command called 'zzzz'. Known: run, tune, "),
    ],
    ids=str,
)
def test_an_unknown_command_is_an_error_with_the_most_similar_one(cli, words, sentence):
    done = cli(*words)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {sentence}")


def test_an_unknown_option_of_a_group_is_an_error_about_the_option(cli):
    done = cli("data", "--frist")
    assert done.returncode == 2
    assert "No such option: --frist" in done.stderr


def test_shell_completion_after_an_unknown_command_has_no_error(cli):
    done = cli(_PERCEPTINIT_COMPLETE="complete_bash", COMP_WORDS="perceptinit rnu --", COMP_CWORD="2")
    assert "error" not in done.stderr
