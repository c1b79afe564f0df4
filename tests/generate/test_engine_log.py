"""Generated engine runs: repeatable, sound, and unstable where the plan says so."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sciode.cli.app import app
from sciode.core.errors import InputError
from sciode.data.logs import SensorLog, validate_log
from sciode.generate.engine_log import EngineLog, _lag, engine_log

SMALL = EngineLog(runs=3, duration=0.5, rate=5000.0)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return engine_log(tmp_path_factory.mktemp("log") / "a.h5", SMALL, quiet=True)


def test_a_seed_repeats_and_another_differs(file: Path, tmp_path: Path) -> None:
    same = SensorLog(engine_log(tmp_path / "b.h5", SMALL, quiet=True))
    other = SensorLog(engine_log(tmp_path / "c.h5", EngineLog(2, 0.5, 5000.0, seed=1), quiet=True))
    for name in ("p_dyn", "oh", "p_c", "mixture_ratio", "t_inj"):
        want = SensorLog(file)["run-001"][name].read().values
        np.testing.assert_array_equal(same["run-001"][name].read().values, want)
        assert not np.array_equal(other["run-001"][name].read().values, want)


def test_sensors_have_their_rates_units_and_roles(file: Path) -> None:
    run = SensorLog(file)["run-000"]
    told = {name: (signal.channel.units, signal.channel.role, len(signal)) for name, signal in run.signals.items()}
    assert told == {
        "p_dyn": ("bar", "target", 2500),
        "oh": ("volt", "past_covariate", 2500),
        "p_c": ("bar", "past_covariate", 50),
        "mixture_ratio": ("", "known_future", 50),
        "flow": ("kg/s", "known_future", 50),
        "t_inj": ("kelvin", "past_covariate", 5),
    }


def test_without_faults_there_is_nothing_to_find(tmp_path: Path) -> None:
    settings = EngineLog(runs=2, duration=0.5, rate=5000.0, faults=False)
    assert validate_log(engine_log(tmp_path / "a.h5", settings, quiet=True)) == []


def test_faults_are_marked(file: Path) -> None:
    log = SensorLog(file)
    assert not log["run-001"]["p_c"].read().good.all()  # a dropout
    spiked = log["run-002"]["oh"].read()
    assert (~spiked.good).sum() == pytest.approx(20, abs=2) and spiked.values[~spiked.good].min() > 8
    assert (~log["run-000"]["t_inj"].read().good).any()


@pytest.mark.slow
def test_high_load_goes_unstable(tmp_path: Path) -> None:
    log = SensorLog(engine_log(tmp_path / "a.h5", EngineLog(runs=8, duration=4.0, faults=False), quiet=True))
    loud, load = [], []
    for run in log.runs.values():
        p, mixture = run["p_dyn"].read().values, run["mixture_ratio"].read().values
        loud += (p[: 40000 - 40000 % 8000].reshape(-1, 8000).std(1)).tolist()
        load += mixture.reshape(-1, 80)[:, -20:].mean(1).tolist()
    assert np.corrcoef(loud, load)[0, 1] > 0.4
    assert max(loud) > 5 * min(loud)


def test_a_lag_is_first_order() -> None:
    step = np.concatenate([np.zeros(10), np.ones(100)])
    late = _lag(step, 10.0, 1.0)
    assert late[:10].tolist() == 10 * [0.0]
    assert late[19] == pytest.approx(1 - np.exp(-1.0), rel=1e-12)


def test_the_command_writes_a_log(tmp_path: Path) -> None:
    call = ["log", "demo", str(tmp_path / "a.h5"), "--runs", "1", "--duration", "0.5", "-q"]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.output
    assert list(SensorLog(tmp_path / "a.h5").runs) == ["run-000"]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"runs": 0}, "half a second or more"),
        ({"duration": 0.1}, "half a second"),
        ({"rate": 100.0}, "is recorded at 4000"),
    ],
)
def test_bad_settings_are_named(change: dict, match: str) -> None:
    with pytest.raises(InputError, match=match):
        EngineLog(**change)
