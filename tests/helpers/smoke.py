"""The required result of `perceptinit run RECIPE --smoke` for bundled recipes."""

import json

from perceptinit.recipe.reading import load_recipe


def check_smoke(cli, folder, recipe):
    """Run a smoke run in `folder`: all arms finish with the same batches and the same text tower."""
    done = cli("run", recipe, "--smoke")
    assert done.returncode == 0, done.stderr
    assert "samples seen" in done.stdout or "without pretraining" in done.stdout
    assert "imulated" in done.stdout
    records = [json.loads(p.read_text()) for p in folder.glob("runs/*/*/seed*/record.json")]
    assert {r["arm"]["name"] for r in records} == {a.name for a in load_recipe(recipe).arms}
    assert all(r["status"] == "finished" for r in records)
    # all arms have the same batches, or none without pretraining
    assert len({r["hashes"].get("pretrain_data") for r in records}) == 1
    assert len({r["hashes"]["built"]["text"] for r in records}) == 1
    assert len({r["hashes"]["init"]["text"] for r in records}) == 1
