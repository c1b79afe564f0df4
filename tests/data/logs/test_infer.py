"""Files of other loggers, as npTDMS, asammdf, GWpy, NeXus, pandas and netCDF-4 write them, read without a word."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from sciode.cli.app import app
from sciode.core.errors import InputError, LayoutError, UnknownName
from sciode.data.logs import Inferred, LogSpec, SensorLog, convert_log, infer_log

START = "2026-01-01T00:00:00Z"


def put(group: h5py.Group, key: str, data: Any, **notes: Any) -> h5py.Dataset:
    """Write a dataset with attributes."""
    made = group.create_dataset(key, data=data)
    made.attrs.update(notes)
    return made


def tdms(file: h5py.File) -> None:
    for run, begun in (("op1", b"2026-01-01T08:00:00.250000Z"), ("op2", b"2026-01-01T09:00:00.000000Z")):
        group = file.create_group(run)
        wave = {"wf_start_time": begun, "wf_start_offset": 0.5}
        put(group, "p dyn", np.arange(2000.0), wf_increment=1e-4, unit_string="bar", **wave)
        put(group, "T", np.arange(20.0), wf_increment=0.1, unit_string="°C", **wave)


def asammdf(file: h5py.File) -> None:
    for i, (names, times) in enumerate(
        ((("N[rpm]", "load"), 0.01 * np.arange(50)), (("T",), 0.003 + 0.1 * np.arange(5)))
    ):
        group = file.create_group(f"logs/x.mf4/ChannelGroup_{i}")
        group.attrs["master"] = "t"
        put(group, "t", times, unit="s")
        for name in names:
            put(group, name, times + 1.0, unit="rpm" if "N" in name else "%" if name == "load" else "degC")


def gwpy(file: h5py.File) -> None:
    put(
        file,
        "H1:STRAIN",
        np.arange(4096.0),
        x0=1264316116.5,
        dx=1 / 1024,
        xunit="s",
        unit="m",
        channel="H1:STRAIN",
    )
    put(file, "H1:TEMP", np.arange(64.0), x0=1264316117.0, dx=1 / 16, xunit="s", unit="K")


def nexus(file: h5py.File) -> None:
    entry = file.create_group("entry")
    entry.attrs["NX_class"] = "NXentry"
    for name, start, times in (
        ("pressure", "2026-01-01T00:00:00Z", [0.0, 0.5, 1.5]),
        ("current", "2026-01-01T00:00:01Z", [0.0, 1.0]),
    ):
        group = entry.create_group(f"{name}/value_log")
        group.attrs["NX_class"] = "NXlog"
        put(group, "time", np.array(times), start=start, units="s")
        put(group, "value", np.arange(len(times), dtype="f8"), units="mbar" if name == "pressure" else "A")


def fixed(file: h5py.File) -> None:
    group = file.create_group("run1")
    group.attrs["pandas_type"] = b"frame"
    put(group, "axis0", np.array([b"p", b"T", b"k"]), name=b"N.")
    moments = 1_767_225_600_000_000 + 10_000 * np.arange(100)
    put(group, "axis1", moments, kind=b"datetime64[us]", freq=b"cpandas._libs.tslibs.offsets\nMilli\np0\n")
    put(group, "block0_items", np.array([b"p", b"T"]))
    put(group, "block0_values", np.arange(200.0).reshape(100, 2))
    put(group, "block1_items", np.array([b"k"]))
    put(group, "block1_values", np.arange(100)[:, None])


def frame_table(file: h5py.File) -> None:
    group = file.create_group("run1")
    group.attrs["pandas_type"] = b"frame_table"
    group.attrs["non_index_axes"] = b"cos\nsystem\n(S'exit 1'\ntR."  # a pickle, never read
    rows = np.zeros(100, dtype=[("index", "i8"), ("values_block_0", "f8", (2,)), ("k", "i8")])
    rows["index"] = 1_767_225_600_000_000_000 + 10_000_000 * np.arange(100)
    rows["values_block_0"] = np.arange(200.0).reshape(100, 2)
    put(group, "table", rows, index_kind=b"datetime64")


def netcdf(file: h5py.File) -> None:
    file.attrs["Conventions"] = "CF-1.8"
    time = put(file, "time", 10 * np.arange(100), units="milliseconds since 2026-1-1 0:00:0")
    slow = put(file, "time2", 0.25 + 0.05 * np.arange(20), units="seconds since 2026-01-01 01:00 +01:00")
    p = put(
        file,
        "p",
        np.arange(100, dtype="i2"),
        units="m s-1",
        scale_factor=np.array([0.001]),
        _FillValue=np.array([7], "i2"),
    )
    t = put(file, "T", np.arange(20.0), units="degC", long_name="wall")
    for scale, data in ((time, p), (slow, t)):
        scale.make_scale()
        data.dims[0].attach_scale(scale)


def flat(file: h5py.File) -> None:
    put(file, "time", 1_767_225_600_000 + 10 * np.arange(100))
    put(file, "p__bar", np.arange(100.0))
    put(file, "T__degC", np.arange(100.0))
    put(file, "notes", 3.0)


HUNDRED, TWENTY = np.arange(100.0), np.arange(20.0)
MASKED = np.where(HUNDRED == 7, np.nan, 0.001 * HUNDRED)
NAMES = {"tdms": ["op1", "op2"], "nexus": ["entry"], "pandas, fixed": ["run1"], "pandas, table": ["run1"]}
# Maker, and of some channels: name, unit, times, values.
CASES: dict[str, tuple[Any, list[tuple[str, str, Any, Any]]]] = {
    "tdms": (
        tdms,
        [("p dyn", "bar", 1e-4 * np.arange(2000), np.arange(2000.0)), ("T", "degC", 0.1 * TWENTY, TWENTY)],
    ),
    "asammdf": (
        asammdf,
        [
            ("N[rpm]", "rpm", 0.01 * np.arange(50), 1 + 0.01 * np.arange(50)),
            ("T", "degC", 0.003 + 0.1 * np.arange(5), 1.003 + 0.1 * np.arange(5)),
        ],
    ),
    "gwpy": (
        gwpy,
        [
            ("H1:STRAIN", "m", np.arange(4096) / 1024, np.arange(4096.0)),
            ("H1:TEMP", "K", 0.5 + np.arange(64) / 16, np.arange(64.0)),
        ],
    ),
    "nexus": (nexus, [("pressure", "mbar", [0, 0.5, 1.5], [0, 1, 2]), ("current", "A", [1, 2], [0, 1])]),
    "pandas, fixed": (
        fixed,
        [("T", "", 0.01 * HUNDRED, 1 + 2 * HUNDRED), ("k", "", 0.01 * HUNDRED, HUNDRED)],
    ),
    "pandas, table": (
        frame_table,
        [("values_block_0_1", "", 0.01 * HUNDRED, 1 + 2 * HUNDRED), ("k", "", 0.01 * HUNDRED, 0 * HUNDRED)],
    ),
    "netcdf": (
        netcdf,
        [("p", "m s**-1", 0.01 * HUNDRED, MASKED), ("T", "degC", 0.25 + 0.05 * TWENTY, TWENTY)],
    ),
    "flat": (flat, [("p", "bar", 0.01 * HUNDRED, HUNDRED), ("T", "degC", 0.01 * HUNDRED, HUNDRED)]),
}


def made(path: Path, make: Any) -> Path:
    with h5py.File(path / "file.h5", "w") as file:
        make(file)
    return path / "file.h5"


@pytest.mark.parametrize("case", CASES)
def test_a_file_of_another_logger_is_read(tmp_path: Path, case: str) -> None:
    make, channels = CASES[case]
    runs = NAMES.get(case, ["file"])
    source = made(tmp_path, make)
    found = infer_log(source, start=START if case == "asammdf" else "")
    assert found.profile == case.split(",")[0] and not found.undecided
    log = SensorLog(convert_log(source, found.spec(), tmp_path / "log.h5", quiet=True))
    assert list(log.runs) == runs
    for name, units, times, values in channels:
        signal = log[runs[0]][name]
        read = signal.read()
        assert signal.channel.units == units
        np.testing.assert_allclose(read.time, times, rtol=0, atol=1e-9)
        np.testing.assert_allclose(read.values, values, rtol=1e-15)


def test_runs_begin_when_the_file_says(tmp_path: Path) -> None:
    source = made(tmp_path, tdms)
    log = SensorLog(convert_log(source, infer_log(source).spec(), tmp_path / "log.h5", quiet=True))
    assert [run.start for run in log.runs.values()] == [
        "2026-01-01T08:00:00.750000Z",
        "2026-01-01T09:00:00.500000Z",
    ]
    source = made(tmp_path, gwpy)
    log = SensorLog(convert_log(source, infer_log(source).spec(), tmp_path / "log.h5", quiet=True))
    # 18 leap seconds: astropy.time.Time(1264316116.5, format="gps").utc
    assert log["file"].start == "2020-01-29T06:54:58.500000Z"


def two_clocks(file: h5py.File) -> None:
    flat(file)
    put(file, "t_s", 0.5 + 0.01 * np.arange(100))


def test_two_clocks_are_a_choice(tmp_path: Path) -> None:
    source = made(tmp_path, two_clocks)
    found = infer_log(source)
    line = 'clock = { source = "dataset", path = "time", units = "ms", epoch = "1970-01-01T00:00:00Z" }'
    assert [undecided.lines for undecided in found.undecided] == [
        ('clock = { source = "dataset", path = "t_s" }', line)
    ]
    with pytest.raises(InputError, match="2 datasets could be the time of rate1"):
        found.spec()
    chosen = infer_log(source, time="time")
    assert not chosen.undecided and "t_s" in chosen.text
    # The line that is shown, put where it belongs, settles it.
    settled = found.text.replace(f"# {line}", line)
    log = SensorLog(convert_log(source, LogSpec.parse(settled), tmp_path / "log.h5", quiet=True))
    assert log["file"].start == "2026-01-01T00:00:00.000000Z"


def test_a_spec_without_a_clock_finds_the_only_one(tmp_path: Path) -> None:
    spec = LogSpec.parse(
        f'start = "{START}"\n[[rates]]\nname = "a"\nchannels = [{{ path = "p__bar", name = "p" }}]'
    )
    log = SensorLog(convert_log(made(tmp_path, flat), spec, tmp_path / "log.h5", quiet=True))
    np.testing.assert_allclose(log["file"]["p"].read().time, 0.01 * np.arange(100), atol=1e-9)
    with pytest.raises(
        LayoutError, match=r"2 datasets that could be the time of a: add one of the lines\nclock = \{"
    ):
        convert_log(made(tmp_path, two_clocks), spec, tmp_path / "log.h5", quiet=True)
    (tmp_path / "b").mkdir()
    source = made(tmp_path / "b", lambda file: put(file, "p__bar", np.arange(9.0)))
    with pytest.raises(
        LayoutError, match=r'no dataset of 9 times for a: add the line\nclock = \{ source = "rate"'
    ):
        convert_log(source, spec, tmp_path / "log.h5", quiet=True)


def texts(*stamps: str) -> Any:
    def make(file: h5py.File) -> None:
        file.create_dataset("timestamp", data=list(stamps), dtype=h5py.string_dtype())
        put(file, "p__bar", np.arange(float(len(stamps))))

    return make


def test_texts_are_times(tmp_path: Path) -> None:
    source = made(
        tmp_path, texts("2026-03-29T01:59:59.9+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T01:00:00.2Z")
    )
    log = SensorLog(convert_log(source, infer_log(source).spec(), tmp_path / "log.h5", quiet=True))
    np.testing.assert_allclose(log["file"]["p"].read().time, [0.0, 0.1, 0.3], atol=1e-9)
    assert log["file"].start == "2026-03-29T00:59:59.900000Z"


def test_local_time_is_refused_where_it_is_no_time(tmp_path: Path) -> None:
    source = made(tmp_path, texts("2026-10-25 01:59:59", "2026-10-25 02:00:00"))
    found = infer_log(source)
    assert "has no offset from UTC" in found.undecided[0].what
    (line,) = found.undecided[0].lines
    assert line.endswith('timezone = "UTC" }')
    bare = line.replace(', timezone = "UTC"', "")
    assert bare in found.text
    utc = LogSpec.parse(found.text.replace(f"\n{bare}", f"\n{line}"))
    log = SensorLog(convert_log(source, utc, tmp_path / "log.h5", quiet=True))
    assert log["file"].start == "2026-10-25T01:59:59.000000Z"
    berlin = LogSpec.parse(
        found.text.replace(f"\n{bare}", f"\n{line}").replace('timezone = "UTC"', 'timezone = "Europe/Berlin"')
    )
    with pytest.raises(
        LayoutError, match="stamp 1, '2026-10-25 02:00:00', happens twice or never in Europe/Berlin"
    ):
        convert_log(source, berlin, tmp_path / "log.h5", quiet=True)
    with pytest.raises(InputError, match="no time zone"):
        LogSpec.parse(found.text.replace(f"\n{bare}", f"\n{line}").replace('"UTC"', '"Mars"'))


def falling(file: h5py.File) -> None:
    put(file, "time", np.array([0.0, 1, 3, 2, 4, 4]), units="s")
    put(file, "p", np.arange(6.0), units="furlongs per")


def test_what_is_open_is_asked(tmp_path: Path) -> None:
    source = made(tmp_path, falling)
    found = infer_log(source)
    assert [undecided.lines for undecided in found.undecided] == [
        (f'start = "{START}"',),
        ('  { path = "p", units = "...", name = "p" },',),
        ("repair = true",),
    ]
    assert "do not rise at 2 of 6 samples" in found.undecided[2].what
    text = found.text
    for (line,), told in zip((u.lines for u in found.undecided), (None, "bar", None), strict=True):
        text = text.replace(f"# {line}", line.replace('"..."', f'"{told}"'))
    log = SensorLog(convert_log(source, LogSpec.parse(text), tmp_path / "log.h5", quiet=True))
    assert log["file"]["p"].read().values.tolist() == [0, 1, 3, 2, 5] and log["file"]["p"].channel.units == "bar"


def test_all_is_well_with_the_command(tmp_path: Path) -> None:
    source, spec = made(tmp_path, flat), tmp_path / "spec.toml"
    result = CliRunner().invoke(app, ["log", "infer", str(source), "-o", str(spec), "--target", "p"])
    assert result.exit_code == 0, result.output
    assert LogSpec.read(spec).rates[0].channels[1][1].role == "target"
    result = CliRunner().invoke(app, ["log", "infer", str(made(tmp_path, two_clocks))])
    assert result.exit_code == 1 and "add one of" in result.output and "[[rates]]" in result.output


def test_bad_input_is_named(tmp_path: Path) -> None:
    source = made(tmp_path, flat)
    with pytest.raises(UnknownName, match="did you mean 'nexus'"):
        infer_log(source, profile="nexsu")
    with pytest.raises(UnknownName, match="'q'"):
        infer_log(source, target="q")
    with pytest.raises(LayoutError, match="holds no channels that tdms describes"):
        infer_log(source, profile="tdms")
    with pytest.raises(LayoutError, match="holds no channels"):
        infer_log(made(tmp_path, lambda file: put(file, "image", np.zeros((4, 4)))))
    with pytest.raises(LayoutError, match="is not ISO 8601"):
        broken = Inferred("x", infer_log(made(tmp_path, tdms)).text.replace("@wf_start_time", "@unit_string"), ())
        convert_log(made(tmp_path, tdms), broken.spec(), tmp_path / "log.h5", quiet=True)
