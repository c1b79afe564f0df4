"""Logs: what is written is read, lazily and in any process; what is broken is named."""

import multiprocessing
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from sciode.core.errors import InputError, LayoutError, UnknownName
from sciode.data.logs import Channel, Clock, LogWriter, SensorLog, check_split, conversion, validate_log

START = "2026-03-29T01:30:00+01:00"


def engine(path: Path, runs: int = 2) -> Path:
    """Write two runs: 1 kHz pressure, 10 Hz temperature as integers with a fill value, a valve at odd times."""
    draw = np.random.default_rng(0)
    with LogWriter(path, title="hot fire", source="bench 3") as log:
        for number in range(runs):
            run = log.run(
                f"r{number}", start=START, split="train", conditions={"mixture_ratio": (6.0 + number, "")}
            )
            fast = run.rate(
                "fast",
                [Channel("p", "bar", role="target", sensor_id="K7", valid_max=99.0)],
                sample_rate=1000.0,
                start=-0.5,
                ppm=50.0,
                quality=True,
            )
            marks = np.zeros((3000, 1), dtype="u1")
            marks[100:110] = 2
            fast.append({"p": 10 + draw.normal(size=3000)}, quality=marks)
            slow = run.rate(
                "slow",
                [Channel("t", "kelvin", scale=0.1, offset=273.15, fill_value=-9999, latency=0.05)],
                sample_rate=10.0,
                dtype="i2",
            )
            stored = np.arange(25)
            stored[7] = -9999
            slow.append({"t": stored})
            valve = run.rate("valve", [Channel("v", "", kind="discrete", role="known_future")])
            valve.append({"v": [0.0, 1.0]}, time=[0.0, 1.3])
            valve.append({"v": [0.5]}, time=[2.4])
            run.events([0.2], [3], ["ignition"])
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return engine(tmp_path / "log.h5")


def test_what_was_written_is_read(file: Path) -> None:
    log = SensorLog(file)
    assert list(log.runs) == ["r0", "r1"]
    run = log["r1"]
    assert run.start == START and run.split == "train" and run.conditions["mixture_ratio"] == (7.0, "")
    assert run["p"].channel == Channel("p", "bar", role="target", sensor_id="K7", valid_max=99.0)
    samples = run["p"].read(98, 112)
    step = 1 / (1000 * (1 + 50e-6))
    np.testing.assert_allclose(samples.time, -0.5 + step * np.arange(98, 112), rtol=0, atol=1e-12)
    assert samples.good.tolist() == [True, True] + 10 * [False] + [True, True]
    slow = run["t"].read()
    assert slow.values[3] == pytest.approx(273.45) and np.isnan(slow.values[7]) and not slow.good[7]
    assert run["v"].read().time.tolist() == [0.0, 1.3, 2.4]
    assert run.span == pytest.approx((0.0, 2.4))
    with h5py.File(file) as raw:
        assert raw["runs/r0/events"][0]["text"] == b"ignition" and raw.attrs["title"] == "hot fire"


@pytest.mark.parametrize(("start", "stop"), [(0.0, 0.1), (-1.0, 0.2), (0.2, 0.2), (2.3, 9.0), (0.0995, 0.1005)])
def test_a_stretch_of_time_is_the_samples_in_it(file: Path, start: float, stop: float) -> None:
    for name in ("p", "t", "v"):
        signal = SensorLog(file)["r0"][name]
        whole, part = signal.read(), signal.between(start, stop)
        inside = (whole.time >= start) & (whole.time < stop)
        np.testing.assert_array_equal(part.values, whole.values[inside])


def test_segments_end_at_gaps(tmp_path: Path) -> None:
    with LogWriter(tmp_path / "a.h5") as log:
        run = log.run("r", start=START)
        values = np.ones(1000)
        values[300:310] = np.nan
        values[500] = np.nan  # short enough
        run.rate("fast", [Channel("p", "bar")], sample_rate=100.0).append({"p": values})
        stamps = np.concatenate([np.arange(0, 4, 0.1), np.arange(6, 10, 0.1)])
        run.rate("odd", [Channel("v")]).append({"v": stamps}, time=stamps)
    run = SensorLog(tmp_path / "a.h5")["r"]
    assert np.allclose(run.segments(), [(0.0, 2.99), (3.1, 3.9), (6.0, 9.9)])
    assert np.allclose(run.segments(["p"]), [(0.0, 2.99), (3.1, 9.9)])
    assert run["p"].gaps() == run["p"].gaps(block=7)  # whatever is read at once


def test_segments_of_the_file_are_kept(tmp_path: Path) -> None:
    with LogWriter(tmp_path / "a.h5") as log:
        run = log.run("r", start=START)
        run.rate("fast", [Channel("p", "bar")], sample_rate=10.0).append({"p": np.arange(100.0)})
        run.segments([[1.0, 2.0], [5.0, 50.0]])
        with pytest.raises(InputError, match="rising pairs"):
            run.segments([[2.0, 1.0]])
    assert np.allclose(SensorLog(tmp_path / "a.h5")["r"].segments(), [(1.0, 2.0), (5.0, 9.9)])


def _total(log: SensorLog) -> float:
    return float(log["r0"]["p"].read().values.sum())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_the_same(file: Path, method: str) -> None:
    log = SensorLog(file)
    want = _total(log)
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_total, [log, log]) == [want, want]
    assert _total(pickle.loads(pickle.dumps(log))) == want


def test_a_stretch_of_a_long_log_is_read_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LogWriter(tmp_path / "a.h5") as log:
        fast = log.run("r", start=START).rate("fast", [Channel("p", "bar")], sample_rate=1e4)
        for _ in range(4):
            fast.append({"p": np.zeros(2**16)})
    counted: list[int] = []
    original = Channel.physical
    monkeypatch.setattr(Channel, "physical", lambda self, x: (counted.append(len(x)), original(self, x))[1])
    SensorLog(tmp_path / "a.h5")["r"]["p"].between(3.0, 3.01)
    assert counted == [100]


def test_a_kill_leaves_the_old_file(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(KeyboardInterrupt), LogWriter(file) as log:
        log.run("r", start=START)
        raise KeyboardInterrupt
    assert file.read_bytes() == before and [p.name for p in file.parent.iterdir()] == ["log.h5"]


def test_a_live_log_grows_under_its_readers(tmp_path: Path) -> None:
    path = tmp_path / "live.h5"
    with LogWriter(path, live=True) as log:
        fast = log.run("r", start=START).rate("fast", [Channel("p", "bar")], sample_rate=100.0)
        log.go_live()
        lengths = []
        with h5py.File(path, "r", swmr=True) as reader:
            for _ in range(3):
                fast.append({"p": np.ones(50)})
                log.flush()
                data = reader["runs/r/rates/fast/p"]
                data.refresh()
                lengths.append(data.shape[0])
    assert lengths == [50, 100, 150]


def test_units_are_converted() -> None:
    scale, offset = conversion("psi", "bar", "p")
    assert scale == pytest.approx(0.0689475729) and offset == 0.0
    with pytest.raises(InputError, match="channel p is in 'kelvin', expected 'bar'"):
        conversion("kelvin", "bar", "p")


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Channel("a/b"), "no name of a channel"),
        (lambda: Channel("p", "barr"), "channel p: pint does not know the unit 'barr'"),
        (lambda: Channel("p", scale=0.0), "scale is finite and not 0"),
        (lambda: Channel("p", latency=-1.0), "latency is in seconds"),
        (lambda: Clock(), "a rate or times"),
        (lambda: Clock(rate=-1.0), "a sample rate is in Hz"),
        (lambda: check_split({"train": ["a"], "test": ["a"]}), "run a is in train and in test"),
    ],
)
def test_bad_channels_are_named(make: object, match: str) -> None:
    with pytest.raises(InputError, match=match):
        make()  # type: ignore[operator]


def test_an_unknown_role_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="target"):
        Channel("p", role="targets")


@pytest.mark.parametrize(
    ("act", "match"),
    [
        (lambda log: log.run("r", start="yesterday"), "ISO 8601"),
        (lambda log: log.run("r", start="2026-01-01T00:00:00"), "no offset from UTC"),
        (lambda log: (log.run("r", start=START), log.run("r", start=START)), "no name of a new run"),
        (lambda log: log.run("r", start=START).rate("a", []), "has no channels"),
        (lambda log: log.run("r", start=START).rate("a", [Channel("p"), Channel("p")]), "channel p twice"),
        (lambda log: fast(log).append({"q": [1.0]}), r"samples of \['p'\] are due"),
        (lambda log: fast(log).append({"p": [1.0]}, time=[0.0]), "irregular clocks only"),
        (lambda log: fast(log, None).append({"p": [1.0, 2.0]}, time=[0.0, 0.0]), "finite and rise"),
        (lambda log: fast(log, None).append({"p": [1.0, 2.0]}, time=[0.0]), "2 samples take as many times"),
        (lambda log: fast(log, dtype="i2").append({"p": [1.5]}), "give whole numbers"),
        (lambda log: fast(log, dtype="i2").append({"p": [70000]}), "found 70000 to 70000"),
        (lambda log: fast(log).append({"p": [1.0]}, quality=[[0]]), "keeps no quality"),
        (lambda log: log.go_live(), "not live"),
    ],
)
def test_bad_writing_is_named(tmp_path: Path, act: object, match: str) -> None:
    with LogWriter(tmp_path / "a.h5") as log, pytest.raises(InputError, match=match):
        act(log)  # type: ignore[operator]


def fast(log: LogWriter, sample_rate: float | None = 10.0, **options):
    return log.run("r", start=START).rate("fast", [Channel("p", "bar")], sample_rate=sample_rate, **options)


def spoil(file: Path, act) -> Path:
    with h5py.File(file, "r+") as raw:
        act(raw)
    return file


@pytest.mark.parametrize(
    ("act", "match"),
    [
        (lambda raw: raw.attrs.__setitem__("format", "other"), "no sciode-log file"),
        (lambda raw: raw.attrs.__setitem__("version", 9), "version 9, this sciode reads 1"),
        (lambda raw: raw.__delitem__("runs"), "lacks the group /runs"),
    ],
)
def test_other_files_are_refused(file: Path, act: object, match: str) -> None:
    with pytest.raises(LayoutError, match=match):
        SensorLog(spoil(file, act))


@pytest.mark.parametrize(
    ("act", "match"),
    [
        (lambda r: r["rates/fast"].attrs.__delitem__("sample_rate"), "neither a dataset time nor the attribute"),
        (lambda r: r["rates/fast"].attrs.__setitem__("sample_rate", -5.0), "a sample rate is in Hz"),
        (lambda r: r["rates/valve/time"].__setitem__(1, 9.0), "time does not rise at sample 2"),
        (lambda r: r["rates/valve/v"].resize(2, axis=0), "2 samples and 3 times"),
        (lambda r: r["rates/slow"].create_dataset("p", data=[1.0]), "channel p in two rates"),
        (lambda r: r["rates/slow"].create_dataset("words", data=[b"a"]), "is no channel"),
        (lambda r: r["rates/slow/t"].attrs.__setitem__("units", "grok"), "does not know the unit 'grok'"),
    ],
)
def test_broken_runs_are_named(file: Path, act, match: str) -> None:
    with pytest.raises(LayoutError, match=match):
        SensorLog(spoil(file, lambda raw: act(raw["runs/r0"])))["r0"].signals  # noqa: B018


def test_an_unknown_channel_names_the_nearest(file: Path) -> None:
    with pytest.raises(UnknownName, match="'p'"):
        SensorLog(file)["r0"]["pp"]


def test_opaque_attributes_are_left_alone(file: Path) -> None:
    bomb = b"\x80\x04cos\nsystem\n(S'touch /tmp/owned'\ntR."
    spoil(file, lambda raw: raw["runs/r0/rates/fast/p"].attrs.__setitem__("channel", np.void(bomb)))
    assert SensorLog(file)["r0"]["p"].channel.units == "bar"


def test_a_truncated_file_is_refused(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(LayoutError, match="truncated"):
        SensorLog(file)


def test_a_sound_log_has_no_problems(file: Path) -> None:
    assert validate_log(file) == []


@pytest.mark.parametrize(
    ("act", "severity", "message"),
    [
        (lambda r: r["rates/fast/p"].__setitem__(slice(0, 500), 12.5), "warning", "stays at 12.5 for 490 samples"),
        (lambda r: r["rates/fast/p"].__setitem__(slice(0, 3000, 10), 50.0), "warning", "exactly 50, its bound"),
        (lambda r: r["rates/fast/p"].__setitem__(slice(None), 3.0), "warning", "is 3 throughout"),
        (lambda r: r["rates/fast/p"].__setitem__(slice(None), np.nan), "error", "has no good sample"),
        (lambda r: r["rates/fast/p"].__setitem__(slice(0, 600), np.nan), "warning", "20.0 % of the samples"),
        (lambda r: r["rates/valve/time"].__setitem__(1, 0.0), "error", "1 samples are stamped twice"),
        (lambda r: r["rates/valve/time"].__setitem__(1, -1.0), "error", "1 samples are out of order"),
        (
            lambda r: r["rates/valve"].attrs.__setitem__("sample_rate", 1.0),
            "warning",
            "0.833333 Hz, 1 Hz are stated",
        ),
        (lambda r: r.attrs.__setitem__("status", "aborted"), "warning", "ended as 'aborted'"),
        (lambda r: r["rates/slow/t"].attrs.__setitem__("units", "grok"), "error", "'grok'"),
        (lambda r: r["rates"].__delitem__("slow"), "warning", "lacks t, which other runs have"),
        (lambda r: [r["rates"].__delitem__(k) for k in list(r["rates"])], "warning", "holds no samples"),
    ],
)
def test_problems_are_found(file: Path, act, severity: str, message: str) -> None:
    found = validate_log(spoil(file, lambda raw: act(raw["runs/r0"])))
    assert any(p.severity == severity and message in p.message for p in found), found


def test_a_broken_file_is_a_finding(file: Path, tmp_path: Path) -> None:
    file.write_bytes(file.read_bytes()[:2000])
    assert validate_log(file)[0].severity == "error"
    with pytest.raises(InputError, match="no file"):
        validate_log(tmp_path / "nothing.h5")
