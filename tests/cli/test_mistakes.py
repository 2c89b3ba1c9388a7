"""The message about each mistake of a new user says what is wrong, where, and what to do next."""

import numpy as np
import pytest
from PIL import Image

HEADER = "anchor,first,second,first_votes,second_votes"
ROWS = [
    f"c_{i:02d}.png,c_{(i + a) % 12:02d}.png,c_{(i + a + 1) % 12:02d}.png,{a % 3},1"
    for i in range(12)
    for a in range(1, 8)
]
TABLES = {
    "judgments.csv": [HEADER, *ROWS],
    "misspelt.csv": [HEADER, *ROWS, "c_5.png,c_01.png,c_02.png,1,2"],
    "comma.csv": [HEADER, *ROWS, 'c_05.png,c_01.png,c_02.png,"1,5",2'],
    "empty.csv": [],
    "headless.csv": ROWS,
    "unclosed.toml": ['schema = 1\nname = "x"\nseeds = [0, 1', "[backbone]", 'use = "timm"'],
    "unquoted.toml": ["schema = 1", "name = x"],
}
CHECK = ("data", "check", "own_judgments")

# command, table and folder of images, what, where and what next
MISTAKES = [
    (CHECK, "none.csv", "images", ("no such file", "none.csv", "Set its path")),
    (CHECK, "judgments.csv", "fotos", ("no such folder", 'images = "fotos"', "Set it to the folder")),
    (CHECK, "misspelt.csv", "images", ("no such image", "row 86", "Did you mean 'c_05.png'")),
    (CHECK, "comma.csv", "images", ("'1,5', not a number", "row 86: first_votes", "decimal point")),
    (CHECK, "empty.csv", "images", ("no header", "empty.csv", "Name the columns")),
    (CHECK, "headless.csv", "images", ("two columns", "headless.csv", "first row must be a header")),
    (("validate", "images"), "", "", ("cannot be read as a recipe", "images", "Give a TOML file")),
    (("validate", "judgments.csv"), "", "", ("not valid TOML", "line 1", "A recipe is a TOML file")),
    (("validate", "unclosed.toml"), "", "", ("Unclosed array", "line 4", "and the one before")),
    (("validate", "unquoted.toml"), "", "", ("Invalid value", "line 2", "texts need quotes")),
    (("report", "nothing"), "", "", ("no such folder", "nothing", "Give a folder of runs")),
    (("compare", "nothing"), "", "", ("no such folder", "nothing", "Give a folder of runs")),
    (("eval", "judgments.csv"), "", "", ("unknown architecture", "judgments.csv", "--on")),
    (("reprot",), "", "", ("no command", "'reprot'", "Did you mean 'report'")),
    (("validate", "quickstart", "--set", 'backbone.use="acme/net"'), "", "", ("not installed", "backbone", "Install its package")),
]  # fmt: skip


@pytest.mark.parametrize(("command", "table", "images", "parts"), MISTAKES, ids=lambda value: str(value)[:40])
def test_the_message_states_what_is_wrong_where_and_what_next(cli, tmp_path, command, table, images, parts):
    for name, lines in TABLES.items():
        (tmp_path / name).write_text("\n".join(lines))
    (tmp_path / "images").mkdir()
    for i in range(12):
        Image.fromarray(np.full((8, 8, 3), 20 * i, np.uint8)).save(tmp_path / f"images/c_{i:02d}.png")
    done = cli(*command, JUDGMENTS=table, IMAGES=images)
    assert done.returncode in (1, 2)
    for part in parts:
        assert part in done.text, done.text


def test_a_stage_of_one_step_names_the_initializer_once():
    import timm

    from perceptinit import apply_perceptual_init
    from perceptinit.errors import DataError

    few = ("synthetic", {"num_train": 16, "num_val": 8})
    with pytest.raises(DataError) as error:
        apply_perceptual_init(
            timm.create_model("test_vit"), judgments=few, epochs=1, progress=False, cache=False
        )
    assert str(error.value).count("initializer 'triplet-hinge'") == 1
