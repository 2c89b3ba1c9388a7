"""The source satisfies the claims of docs/trust.md about loading, execution and network access."""

import ast
import re
import tomllib
from pathlib import Path

import perceptinit

PACKAGE = Path(perceptinit.__file__).parent
TREES = {
    str(path.relative_to(PACKAGE)): ast.parse(path.read_text(encoding="utf-8"))
    for path in PACKAGE.rglob("*.py")
}


def calls(tree):
    """Yield the function name and the node of each call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def modules(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def who_imports(*names):
    return {
        file
        for file, tree in TREES.items()
        for module in modules(tree)
        if any(module == name or module.startswith(f"{name}.") for name in names)
    }


def test_no_file_is_unpickled():
    decoders = {"pairs/decoders.py"}  # between a parent and its processes, through unnamed pipes
    assert who_imports("pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal") == decoders
    assert who_imports("multiprocessing") <= decoders
    loads = [ast.unparse(call) for name, call in calls(TREES["pairs/decoders.py"]) if "pickle.load" in name]
    assert loads == ["pickle.loads(results.recv_bytes())"]
    for file, tree in TREES.items():
        for name, call in calls(tree):
            assert name not in ("torch.load", "torch.jit.load", "torch.hub.load"), file
            if name == "np.load":
                options = {keyword.arg: keyword.value for keyword in call.keywords}
                assert ast.unparse(options["allow_pickle"]) == "False", file


def test_no_text_and_no_code_of_weights_is_executed():
    for file, tree in TREES.items():
        for name, call in calls(tree):
            assert name not in ("eval", "exec", "os.system", "os.popen"), file
            assert "trust_remote_code" not in {keyword.arg for keyword in call.keywords}, file


def test_other_programs_are_started_only_by_the_listed_modules():
    assert who_imports("subprocess") == {
        "running/workers.py",
        "pairs/decoders.py",  # Python, to decode images
        "files/mat_files.py",  # the MATLAB reader of scipy, with limits
        "running/queue.py",  # programs of Slurm
    }
    assert who_imports("webdataset") == {
        "pairs/webdataset_stream.py",  # the shell commands that a recipe names
        "pairs/packing.py",
        "pairs/tar_file.py",
    }


def test_the_network_is_used_only_by_the_listed_modules():
    allowed = {
        "files/remote/network.py",  # downloads, and an address in a recipe
        "test_sets/remote.py",  # the token of `hf auth login`
        "initializers/imagenet.py",  # by tag
        "exporting/__init__.py",  # --push
    }
    found = who_imports(
        "urllib.request", "requests", "httpx", "huggingface_hub", "http.client", "fsspec", "aiohttp"
    )
    assert found <= allowed


def lowest_versions():
    """Return the lower bounds of each package in all pyproject.toml, as tuples of numbers."""
    found = {}
    for path in (PACKAGE.parent / "pyproject.toml", *PACKAGE.parent.glob("plugins/*/pyproject.toml")):
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        extras = project.get("optional-dependencies", {}).values()
        for line in (*project.get("dependencies", ()), *(line for extra in extras for line in extra)):
            if match := re.match(r"([\w-]+)(?:\[.*?\])?>=([\d.]+)", line):
                found.setdefault(match[1].lower(), []).append(tuple(map(int, match[2].split("."))))
    return found


def test_lower_bounds_have_no_hole_that_the_page_names():
    page = (PACKAGE.parent / "docs/trust.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \(.*?\) \| ([\d.]+) \| CVE", page, re.MULTILINE)
    assert {name for name, _ in rows} == {"h11", "jinja2", "onnx"}
    lowest = lowest_versions()
    too_low = [name for name, version in rows if min(lowest[name]) < tuple(map(int, version.split(".")))]
    assert too_low == []
