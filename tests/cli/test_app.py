import json
import re
import subprocess
import sys

import pytest

from sciode import __version__
from sciode.cli import main
from tests.bench.suite import SUITE, write_suite, write_waves


def call(*arguments):
    """Run the command line here; return its exit status."""
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return caught.value.code or 0


def test_help_is_quick_because_nothing_heavy_is_imported():
    code = (
        "import sys, time; clock = time.perf_counter()\n"
        "from sciode.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'h5py', 'xarray', 'matplotlib', 'scipy', 'neuralop'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy), len(sys.modules), round(time.perf_counter() - clock, 2))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    last = done.stdout.splitlines()[-1]
    print(last)
    assert last.startswith("HEAVY []")
    assert int(re.search(r"\] (\d+)", last).group(1)) < 700


def test_module_runs_as_a_command():
    done = subprocess.run([sys.executable, "-m", "sciode.cli", "--version"], capture_output=True, text=True)
    assert done.stdout.strip() == f"sciode {__version__}" and done.returncode == 0


@pytest.mark.parametrize(
    "verb", [["data"], ["bench"], ["train"], ["doctor"], ["data", "generate"], ["bench", "run"]]
)
def test_every_verb_has_help(verb, capsys):
    assert call(*verb, "--help") == 0
    assert "Usage: sciode" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bench", "run", "smok"], "unknown suite 'smok'; did you mean 'smoke'?"),
        (["bench", "run", "smoke", "--only", "burgres"], "unknown data set 'burgres'; did you mean 'burgers'?"),
        (["bench", "run", "smoke", "--seeds", "one"], "--seeds takes numbers"),
        (["bench", "run", "smoke", "--seeds", "1,1"], "the same number twice"),
        (["bench", "run", "missing.toml"], "no suite file at missing.toml"),
        (["bench", "run", "smoke", "--out", "run", "--device", "cuda:99"], "device 'cuda:99' cannot be used"),
        (["bench", "compare", "a", "b"], "no run at a"),
        (["data", "generate", "burgres", "--out", "x.hdf5"], "unknown recipe 'burgres'; did you mean 'burgers'?"),
        (["data", "generate", "burgers", "--size", "smal", "--out", "x.hdf5"], "did you mean 'small'?"),
        (["data", "inspect", "none.hdf5"], "none.hdf5"),
    ],
)
def test_an_expected_error_is_one_line_and_status_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ")
    assert "Traceback" not in error and error.count("\n") == 1


def test_an_unknown_command_gets_the_nearest(capsys):
    assert call("bench", "rnu") == 2
    assert "Did you mean 'run'" in capsys.readouterr().err


def test_an_unexpected_error_keeps_its_traceback(monkeypatch, tmp_path):
    import sciode.bench

    def fault(*arguments, **options):
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(sciode.bench, "run_suite", fault)
    with pytest.raises(ZeroDivisionError, match="a fault of ours"):
        main(["bench", "run", "smoke"])


def test_bench_run_list_and_compare(tmp_path, capsys):
    suite = write_suite(tmp_path, SUITE)
    out = tmp_path / "run"
    assert call("bench", "run", suite, "--out", out, "--only", "*/persistence", "--quiet") == 0
    shown = capsys.readouterr().out
    assert "persistence" in shown and "not run yet: waves--fno--0" in shown and "report.html" in shown
    assert call("bench", "compare", out, out, "--html", tmp_path / "c.html") == 0
    assert "rollout nRMSE" in capsys.readouterr().out and (tmp_path / "c.html").is_file()
    assert call("bench", "list") == 0
    assert "smoke" in capsys.readouterr().out


def test_data_from_recipe_to_another_layout(tmp_path, capsys):
    file, well = tmp_path / "a.hdf5", tmp_path / "b.hdf5"
    assert call("data", "generate", "advection", "--out", file, "--quiet") == 0
    assert call("data", "inspect", file) == 0
    assert "96" in capsys.readouterr().out
    assert call("data", "validate", file) == 0
    assert call("data", "convert", file, well, "--schema", "well") == 0
    assert call("data", "inspect", well) == 0
    assert "ell" in capsys.readouterr().out
    assert call("data", "list") == 0
    assert "burgers" in capsys.readouterr().out.split()


def test_validate_shows_what_is_wrong_and_exits_1(tmp_path, capsys):
    import h5py

    file = write_waves(tmp_path / "bad.hdf5")
    with h5py.File(file, "r+") as opened:
        opened["tensor"][3, 2] = float("nan")
    assert call("data", "validate", file) == 1
    assert "not finite" in capsys.readouterr().out


def test_doctor_names_versions_and_missing_extras(capsys):
    assert call("doctor") == 0
    shown = capsys.readouterr().out
    assert "torch" in shown and "cpu" in shown and "extra [ot]" in shown


def test_results_are_plain_json(tmp_path):
    suite = write_suite(tmp_path)
    out = tmp_path / "run"
    call("bench", "run", suite, "--out", out, "--only", "*/persistence", "--quiet")
    text = (out / "results.json").read_text()
    assert "NaN" not in text and json.loads(text)["suite"] == "tiny"
