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
    "nameless.csv": ["c_00.png,c_01.png,c_02.png,3,1", "c_01.png,c_02.png,c_00.png,2,4"],
    "unclosed.toml": ['schema = 1\nname = "x"\nseeds = [0, 1', "[backbone]", 'use = "timm"'],
    "unquoted.toml": ["schema = 1", "name = x"],
    "unanswered.csv": ["anchor,first,second", "c_00.png,c_01.png,c_02.png"],
    "captions.csv": ["path,text", "c_00.png,a gray square"],
    "next.json": ['{"meta": {"code": 200}, "participant_responses": {"p1": []}}'],
    "names.txt": [f"c_{i:02d}.png" for i in range(12)],
}
DISTANCES = np.abs(np.subtract.outer(np.arange(12.0), np.arange(12.0)))
MATRICES = {
    "square": DISTANCES,
    "gap": np.where(DISTANCES == 11, [[np.nan]] + [[1.0]] * 11, DISTANCES),
    "texts": DISTANCES.astype(str),
    "oblong": DISTANCES[:5, :4],
}
CHECK = ("data", "check", "own_judgments")
KIND = ",images=images,kind=dissimilarity,names=names.txt"

# command, table and folder of images, what, where and what next
MISTAKES = [
    (CHECK, "none.csv", "images", ("no such file", "none.csv", "Set its path")),
    (CHECK, "judgments.csv", "fotos", ("no such folder", 'images = "fotos"', "Set it to the folder")),
    (CHECK, "misspelt.csv", "images", ("no such image", "row 86", "Did you mean 'c_05.png'")),
    (CHECK, "comma.csv", "images", ("'1,5', not a whole number", "row 86: first_votes", "comma.csv")),
    (CHECK, "empty.csv", "images", ("no header", "empty.csv", "Name the columns")),
    (CHECK, "headless.csv", "images", ("two columns", "headless.csv", "first row must be a header")),
    (CHECK, "nameless.csv", "images", ("looks like data", "c_01.png, c_02.png", "Insert a row of names")),
    (("validate", "images"), "", "", ("cannot be read as a recipe", "images", "Give a TOML file")),
    (("validate", "judgments.csv"), "", "", ("not valid TOML", "line 1", "A recipe is a TOML file")),
    (("validate", "unclosed.toml"), "", "", ("Unclosed array", "line 4", "and the one before")),
    (("validate", "unquoted.toml"), "", "", ("Invalid value", "line 2", "texts need quotes")),
    (("report", "nothing"), "", "", ("no such folder", "nothing", "Give a folder of runs")),
    (("compare", "nothing"), "", "", ("no such folder", "nothing", "Give a folder of runs")),
    (("eval", "judgments.csv"), "", "", ("unknown architecture", "judgments.csv", "--on")),
    (("reprot",), "", "", ("no command", "'reprot'", "Did you mean 'report'")),
    (("validate", "quickstart", "--set", 'backbone.use="acme/net"'), "", "", ("not installed", "backbone", "Install its package")),
    (CHECK, "judgments.csv", "broken", ("cannot be read", "broken/c_03.png", "Replace or exclude")),
    (CHECK, "unanswered.csv", "images", ("no column", "unanswered.csv", "Required: anchor, first, second, first_votes")),
    (CHECK, "next.json", "images", ("not a list of records", "next.json", "Export CSV")),
    (("data", "check", "square.npy,images=images"), "", "", ("required", "judgments.kind", "perceptinit show judgments rdm")),
    (("data", "check", f"gap.npy{KIND}"), "", "", ("not symmetric", "cells (0, 11)", "Missing cells are nan in both")),
    (("data", "check", f"texts.npy{KIND}"), "", "", ("expected numbers", "texts.npy", ".astype(float)")),
    (("data", "check", f"oblong.npy{KIND}"), "", "", ("5 x 4 cells", "oblong.npy", "Save a square matrix")),
    (("validate", "quickstart", "--set", "seeds=3"), "", "", ("expected an array", "seeds", "in brackets")),
    (("validate", "quickstart", "--set", 'eval[0].datasets=["imagnet1k"]'), "", "", ("no folder", "[eval[0]]", "Did you mean 'imagenet1k'")),
    (("validate", "quickstart", "--set", 'eval[0].datasets=["images"]'), "", "", ("nor class folders", "[eval[0]]", "one folder per class")),
    (("validate", "quickstart", "--set", 'pretrain.pairs={use="csv",file="captions.csv"}'), "", "", ("no column 'image'", "[pretrain.pairs]", "image_column")),
]  # fmt: skip


@pytest.mark.parametrize(("command", "table", "images", "parts"), MISTAKES, ids=lambda value: str(value)[:40])
def test_the_message_states_what_is_wrong_where_and_what_next(cli, tmp_path, command, table, images, parts):
    for name, lines in TABLES.items():
        (tmp_path / name).write_text("\n".join(lines))
    for name, matrix in MATRICES.items():
        np.save(tmp_path / f"{name}.npy", matrix)
    for folder in ("images", "broken"):
        (tmp_path / folder).mkdir()
        for i in range(12):
            Image.fromarray(np.full((8, 8, 3), 20 * i, np.uint8)).save(tmp_path / f"{folder}/c_{i:02d}.png")
    (tmp_path / "broken/c_03.png").write_bytes(b"not an image")
    own = ("--set", f"data.mine.path={table}", "--set", f"data.mine.images={images}") if table else ()
    done = cli(*command, *own)
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
    assert str(error.value).count("initializer 'triplet'") == 1


NEWCOMERS = [
    (("validate", "m.toml", "--set", "data.mine.path=square.npy"), ("square.npy", "a matrix, not a table", 'use = "rdm"')),
    (("validate", "m.toml", "--set", 'data.mine.fit="pad"'), ("data.mine.fit", "unknown key", "[backbone]")),
    (("compare", "images"), ("images", "no runs found", "Give a folder of runs")),
    (("compare", "sc.csv", "--baseline", "a", "--delta", "0.005"), ("--delta", "0.005 points may be a share", "set 0.5")),
    (("data", "check", "alike.npy,images=images,kind=dissimilarity,names=names.txt"), ("alike.npy", "the diagonal of the matrix is the maximum", 'Set kind = "similarity"')),
    (("show", "triplet-hnge"), ("no component called", "triplet-hnge", "Did you mean 'triplet-hinge'")),
    (("show", "initializer"), ("show initializer", "add a name", "perceptinit list initializer")),
    (("show", "synthetic"), ("several kinds", "'synthetic'", "Add one: ")),
]  # fmt: skip


@pytest.mark.parametrize(("command", "parts"), NEWCOMERS, ids=lambda value: " ".join(value)[:40])
def test_a_newcomer_reads_what_is_wrong_where_and_what_next(cli, tmp_path, command, parts):
    for name, matrix in (("square", DISTANCES), ("alike", 1 - DISTANCES / 11)):
        np.save(tmp_path / f"{name}.npy", matrix)
    (tmp_path / "names.txt").write_text("\n".join(TABLES["names.txt"]))
    (tmp_path / "images").mkdir()
    for i in range(12):
        Image.fromarray(np.full((8, 8, 3), 20 * i, np.uint8)).save(tmp_path / f"images/c_{i:02d}.png")
    rows = [f"{arm},{seed},accuracy,{0.5 + 0.01 * seed}" for arm in "ab" for seed in range(3)]
    (tmp_path / "sc.csv").write_text("\n".join(["arm,seed,measure,value", *rows]))
    (tmp_path / "m.toml").write_text(
        'schema = 1\nname = "m"\n[data.mine]\nuse = "table"\npath = "x.csv"\nimages = "images"\n'
        '[backbone]\nuse = "timm"\nmodel = "test_resnet"\n[[init]]\nuse = "triplet-hinge"\njudgments.like = "data.mine"\n'
    )
    text = cli(*command).text
    for part in parts:
        assert part in text, text


def test_show_finds_the_kind_of_a_component(cli):
    assert cli("show", "triplet-hinge").stdout == cli("show", "initializer", "triplet-hinge").stdout
