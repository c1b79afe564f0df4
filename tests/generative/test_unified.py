"""Samplers as records: what they spell, and the search for better ones."""

from pathlib import Path

import pytest
import torch

from sciode.core.errors import InputError, UnknownName
from sciode.generative import VP, StepRecord, grid, load_records, presets, save_records, search_schedule
from tests.generative.laws import mixture

SCHEDULE = VP()
LAW = mixture(SCHEDULE)
NOISE = torch.randn(12, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("spacing", ["lam", "quadratic"])
def test_records_spell_known_samplers(spacing: str) -> None:
    where = grid(SCHEDULE, 9, spacing, end=1e-3)
    common = {"steps": 9, "spacing": spacing, "end": 1e-3}
    cases = [
        (presets.records_of(where, 1), presets.ddim(SCHEDULE, **common)),
        (presets.records_of(where, 2), presets.dpm_solver_pp(SCHEDULE, 2, **common)),
        (
            presets.records_of(where, 2, relaxation="taylor"),
            presets.dpm_solver_pp(SCHEDULE, 2, form="taylor", **common),
        ),
        (
            presets.records_of(where, 3, relaxation="taylor"),
            presets.dpm_solver_pp(SCHEDULE, 3, **common),
        ),
        (
            presets.records_of(where, 3, relaxation="taylor", prediction="noise"),
            presets.dpm_solver(SCHEDULE, 3, multistep=True, **common),
        ),
        (presets.records_of(where, 2, corrector=True), presets.unipc(SCHEDULE, 2, **common)),
        (presets.records_of(where, 3, corrector=True), presets.unipc(SCHEDULE, 3, **common)),
        (
            presets.records_of(where, 2, corrector=True, relaxation="bh1"),
            presets.unipc(SCHEDULE, 2, variant="bh1", **common),
        ),
        (
            presets.records_of(where, 3, corrector=True, prediction="noise"),
            presets.unipc(SCHEDULE, 3, prediction="noise", **common),
        ),
    ]
    for records, sampler in cases:
        made = presets.usf(SCHEDULE, records)
        assert made.evaluations == 9
        assert (made.sample(LAW, NOISE) - sampler.sample(LAW, NOISE)).abs().max() < 1e-11, sampler.name


def test_a_step_from_further_back_is_a_singlestep_method() -> None:
    # DPM-Solver++(2S): to the middle in lam, then from the start again with the slope found there
    where = grid(SCHEDULE, 8, "lam", end=1e-3)
    taus = SCHEDULE.tau(where.t[1:]).tolist()
    records = []
    for i in range(4):
        records.append(StepRecord(taus[2 * i]))
        records.append(StepRecord(taus[2 * i + 1], estimates=((0,),), start=1, relaxation="midpoint"))
    wanted = presets.dpm_solver_pp(SCHEDULE, 2, 8, "lam", end=1e-3, multistep=False).sample(LAW, NOISE)
    assert (presets.usf(SCHEDULE, records).sample(LAW, NOISE) - wanted).abs().max() < 1e-11


def test_kinds_may_change_from_step_to_step(tmp_path: Path) -> None:
    taus = SCHEDULE.tau(grid(SCHEDULE, 200, "lam", end=1e-3).t[1:]).tolist()
    records = [
        StepRecord(tau, ("data", "noise")[i % 2], ((1,),) if i else (), corrector=i % 3 == 0)
        for i, tau in enumerate(taus)
    ]
    exact = LAW.flow(NOISE, 0.0, SCHEDULE.at(1e-3).item())
    x0 = presets.usf(SCHEDULE, records).sample(LAW, NOISE)
    assert (x0 - exact).abs().max() < 2e-3
    save_records(records, tmp_path / "schedule.json")
    assert load_records(tmp_path / "schedule.json") == tuple(records)


def test_the_search_beats_what_it_starts_from_and_repeats() -> None:
    options = {"generations": 6, "population": 10, "end": 1e-3, "fine": 100, "quiet": True}
    found = search_schedule(SCHEDULE, LAW, NOISE, 6, seed=3, **options)  # type: ignore[arg-type]
    assert found.error < 0.8 * found.known
    assert list(found.history) == sorted(found.history, reverse=True)
    again = search_schedule(SCHEDULE, LAW, NOISE, 6, seed=3, **options)  # type: ignore[arg-type]
    assert again.records == found.records
    # on noise that it has not seen it is at least no worse than the best sampler that people know
    other = torch.randn(64, 8, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    exact = LAW.flow(other, 0.0, SCHEDULE.at(1e-3).item())

    def error(records: tuple[StepRecord, ...]) -> float:
        return (presets.usf(SCHEDULE, records).sample(LAW, other) - exact).pow(2).mean().sqrt().item()

    known = presets.known_schedules(SCHEDULE, 6, ("lam", "quadratic", "time", "karras"), None, 1e-3)
    assert error(found.records) < 1.1 * min(map(error, known))


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ([], "one step or more"),
        ([StepRecord(0.5, start=1)], "starts 1 evaluations back"),
        ([StepRecord(0.5, estimates=((1,),))], "derivative 1 of step 0"),
        ([StepRecord(0.5), StepRecord(0.1, estimates=((0,),))], "other than 0"),
        ([StepRecord(0.1), StepRecord(0.5)], "decrease"),
    ],
)
def test_bad_records_are_refused(records: list[StepRecord], said: str) -> None:
    with pytest.raises(InputError, match=said):
        presets.usf(SCHEDULE, records)


def test_unknown_names_and_broken_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="data"):
        presets.usf(SCHEDULE, [StepRecord(0.1, "dta")])
    with pytest.raises(UnknownName, match="midpoint"):
        presets.usf(SCHEDULE, [StepRecord(0.1, relaxation="midpont")])
    (tmp_path / "broken.json").write_text('[{"tau": 1}]')
    with pytest.raises(InputError, match="no schedule"):
        load_records(tmp_path / "broken.json")
    with pytest.raises(InputError, match="steps"):
        search_schedule(SCHEDULE, LAW, NOISE, 1, quiet=True)
