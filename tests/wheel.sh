#!/bin/sh
# Builds the wheel and tries it where no source tree can help it: a fresh environment, another folder.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"$root/.venv/bin/python" -m build --wheel --no-isolation --outdir "$place/dist" "$root" >"$place/build.log" 2>&1 || {
    cat "$place/build.log"
    exit 1
}
"$root/.venv/bin/python" -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet -c "$root/constraints.txt" "$place"/dist/*.whl
cd "$place"
venv/bin/sciode --help >help.txt
grep -q bench help.txt
venv/bin/sciode data generate advection --size smoke --out a.hdf5
venv/bin/sciode data inspect a.hdf5
venv/bin/sciode bench run "$root/tests/bench/tiny.toml" --out run
test -s run/report.html
test -s run/results.csv
venv/bin/python - <<'PY'
import importlib.resources as resources
import sciode
from sciode.generate import recipe_names

files = resources.files("sciode")
assert (files / "py.typed").is_file()
assert (files / "_datasets" / "burgers" / "card.md").is_file()
assert (files / "bench" / "suites" / "smoke.toml").is_file()
assert len(recipe_names()) >= 7, recipe_names()
print("the wheel of sciode", sciode.__version__, "holds", len(recipe_names()), "recipes, its suites and its types")
PY
