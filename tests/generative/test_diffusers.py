"""Schedulers of diffusers, read: agreement where both do the same, pipelines, and what is refused."""

from typing import Any

import pytest
import torch
from torch import Tensor

from sciode.core.errors import InputError
from sciode.core.names import UnknownName
from sciode.generative import Grid, SciodeScheduler, from_diffusers, presets
from tests.generative.laws import Mixture, mixture

diffusers = pytest.importorskip("diffusers")

MULTI: dict[str, tuple[str, dict[str, Any]]] = {
    "2M": ("DPMSolverMultistepScheduler", {}),
    "2M, heun": ("DPMSolverMultistepScheduler", {"solver_type": "heun"}),
    "2M, few": ("DPMSolverMultistepScheduler", {"final_sigmas_type": "sigma_min"}),
    "2M, trailing": ("DPMSolverMultistepScheduler", {"timestep_spacing": "trailing"}),
    "2M, leading": ("DPMSolverMultistepScheduler", {"timestep_spacing": "leading", "steps_offset": 1}),
    "2M, karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "2M, exponential": ("DPMSolverMultistepScheduler", {"use_exponential_sigmas": True}),
    "2M, scaled": ("DPMSolverMultistepScheduler", {"beta_schedule": "scaled_linear", "beta_start": 0.00085}),
    "2M, v": ("DPMSolverMultistepScheduler", {"prediction_type": "v_prediction"}),
    "2M, x0": ("DPMSolverMultistepScheduler", {"prediction_type": "sample"}),
    "3M": ("DPMSolverMultistepScheduler", {"solver_order": 3}),
    "DPM-2M": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}),
    "UniPC, bh2": ("UniPCMultistepScheduler", {}),
    "UniPC, bh1": ("UniPCMultistepScheduler", {"solver_type": "bh1", "final_sigmas_type": "sigma_min"}),
    "UniPC-3": ("UniPCMultistepScheduler", {"solver_order": 3}),
    "DEIS": ("DEISMultistepScheduler", {}),
    "DEIS-3": ("DEISMultistepScheduler", {"solver_order": 3}),
    "DDIM": ("DDIMScheduler", {"clip_sample": False}),
    "DDIM, clipped": ("DDIMScheduler", {}),
    "DDIM, offset": ("DDIMScheduler", {"clip_sample": False, "steps_offset": 1, "set_alpha_to_one": False}),
    "Euler": ("EulerDiscreteScheduler", {}),
    "Euler, karras": ("EulerDiscreteScheduler", {"use_karras_sigmas": True}),
    "Heun": ("HeunDiscreteScheduler", {}),
    "flow": ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
}


def scheduler(name: str) -> Any:
    kind, options = MULTI[name]
    return getattr(diffusers, kind)(**options)


def model(law: Mixture, prediction: str, x: Tensor, sigma: float, flow: bool) -> Tensor:
    """Return what a perfect network says of alpha x0 + sigma eps."""
    alpha, scale = (1.0 - sigma, sigma) if flow else ((1 + sigma**2) ** -0.5, sigma * (1 + sigma**2) ** -0.5)
    total = alpha**2 * law.variance + scale**2
    away = x[:, None] - alpha * law.centres.to(x)
    weights = torch.softmax(-0.5 * (away**2).sum(-1) / total, -1)
    x0 = (weights[..., None] * (law.centres.to(x) + alpha * law.variance / total * away)).sum(1)
    eps = (x - alpha * x0) / scale
    return {"epsilon": eps, "sample": x0, "v_prediction": alpha * eps - scale * x0, "flow": eps - x0}[prediction]


def theirs(made: Any, law: Mixture, x: Tensor) -> Tensor:
    """Run the scheduler in float64; ``x`` is the state in our scaling."""
    kind = type(made).__name__
    flow = kind.startswith("Flow")
    prediction = "flow" if flow else made.config.prediction_type
    divided = kind in ("EulerDiscreteScheduler", "HeunDiscreteScheduler")
    sigmas = made.sigmas.double().tolist() if hasattr(made, "sigmas") else []
    if divided:
        x = x * (1 + sigmas[0] ** 2) ** 0.5
    for index, t in enumerate(made.timesteps):
        if sigmas:
            sigma = sigmas[index]
        else:
            bar = made.alphas_cumprod[t].double()
            sigma = ((1 - bar) / bar).sqrt().item()
        inner = x / (1 + sigma**2) ** 0.5 if divided else x
        clipping = {"use_clipped_model_output": True} if kind == "DDIMScheduler" else {}
        x = made.step(model(law, prediction, inner, sigma, flow), t, x, return_dict=False, **clipping)[0]
    return x


def widen(made: Any, grid: Grid) -> None:
    """Check the scheduler's sigmas, and put our float64 ones in their place: theirs are rounded to float32."""
    if hasattr(made, "alphas_cumprod"):
        made.alphas_cumprod = torch.cumprod(1.0 - made.betas.double(), 0)
    if hasattr(made, "sigmas"):
        ours = grid.sigma if type(made).__name__.startswith("Flow") else grid.rho
        if type(made).__name__.startswith("Heun"):
            ours = torch.cat([ours[:1], ours[1:-1].repeat_interleave(2), ours[-1:]])
        torch.testing.assert_close(made.sigmas.double(), ours, rtol=2e-4, atol=0.0)  # 1 - 0.9999 in float32
        made.sigmas = ours.clone()


@pytest.mark.parametrize("steps", [10, 20])
@pytest.mark.parametrize("name", sorted(MULTI))
def test_agreement_with_the_scheduler(name: str, steps: int) -> None:
    made = scheduler(name)
    made.set_timesteps(steps)
    read = from_diffusers(made)
    law = mixture(read.schedule, variance=0.5)
    widen(made, read.sampler.grid)
    x = torch.randn(64, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    denoise = law
    for wrap in read.guidance:
        denoise = wrap(denoise)  # type: ignore[assignment]
    ours = read.sampler.integrate(denoise, x)
    assert read.sampler.evaluations == len(made.timesteps)
    assert ((ours - theirs(made, law, x)).abs() / (1.0 + ours.abs())).max() < 5e-6


class Net(torch.nn.Module):
    """A network that a pipeline can call."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = diffusers.UNet2DModel(
            sample_size=8,
            in_channels=1,
            out_channels=1,
            layers_per_block=1,
            block_out_channels=(8, 16),
            norm_num_groups=4,
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
        ).eval()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("DPMSolverMultistepScheduler", {}),
        ("UniPCMultistepScheduler", {}),
        ("HeunDiscreteScheduler", {}),
        ("DDIMScheduler", {}),
        ("DDPMScheduler", {}),
    ],
)
def test_a_pipeline_runs_ours(kind: str, options: dict[str, Any]) -> None:
    net = Net().net
    scheduler = SciodeScheduler(getattr(diffusers, kind)(**options))
    pipeline = diffusers.DDPMPipeline(unet=net, scheduler=scheduler)
    pipeline.set_progress_bar_config(disable=True)
    stream = torch.Generator().manual_seed(4)
    picture = pipeline(batch_size=2, generator=stream, num_inference_steps=6, output_type="np").images

    again = torch.Generator().manual_seed(4)
    noise = torch.randn(2, 1, 8, 8, generator=again)
    seeds = [int(n) for n in torch.randint(1 << 62, (2,), generator=again)]
    read = from_diffusers(getattr(diffusers, kind)(**options), steps=6)
    with torch.no_grad():
        expected = read.sampler.sample(read.denoiser(net), noise, seed=seeds)
    expected = (expected / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    assert (torch.from_numpy(picture) - expected).abs().max() < 1e-6


def test_another_preset_on_the_times_of_a_scheduler() -> None:
    scheduler = SciodeScheduler(diffusers.DDIMScheduler(clip_sample=False), presets.dpm_solver_pp, order=3)
    scheduler.set_timesteps(8)
    assert scheduler.sampler.name == "DPM-Solver++(3M)"
    assert scheduler.timesteps.tolist() == list(range(875, -1, -125))
    law = mixture(scheduler.sampler.schedule)
    x = torch.randn(4, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = scheduler.sampler.sample(law, x)
    for t in scheduler.timesteps:
        bar = scheduler.sampler.schedule.alpha(scheduler.sampler.schedule.at((t.item() + 1) / 1000)).item() ** 2
        x = scheduler.step(model(law, "epsilon", x, (1 / bar - 1) ** 0.5, False), t, x, return_dict=False)[0]
    torch.testing.assert_close(x, expected, rtol=1e-9, atol=1e-9)


def test_steps_out_of_order_are_refused() -> None:
    scheduler = SciodeScheduler({"_class_name": "DDIMScheduler"})
    x = torch.zeros(1, 2)
    with pytest.raises(InputError, match="set_timesteps"):
        scheduler.step(x, 10, x)
    scheduler.set_timesteps(4)
    with pytest.raises(InputError, match="750"):
        scheduler.step(x, 500, x)


@pytest.mark.parametrize("name", ["2M", "flow"])
def test_add_noise_is_the_marginal(name: str) -> None:
    made = scheduler(name)
    made.set_timesteps(10)
    ours = SciodeScheduler(made)
    x0, noise = torch.ones(3, 2), torch.full((3, 2), 2.0)
    times = made.timesteps[[1, 4, 9]]
    expected = (made.scale_noise if name == "flow" else made.add_noise)(
        x0, times if name == "flow" else noise, noise if name == "flow" else times
    )
    torch.testing.assert_close(ours.add_noise(x0, noise, times), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "options", "word"),
    [
        ("DPMSolverMultistepScheduler", {"thresholding": True}, "thresholding"),
        ("DPMSolverMultistepScheduler", {"use_lu_lambdas": True}, "use_lu_lambdas"),
        ("DDIMScheduler", {"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr"),
        ("DDPMScheduler", {"variance_type": "fixed_large"}, "variance_type"),
        ("DDIMScheduler", {"set_alpha_to_one": False}, "set_alpha_to_one"),
        ("UniPCMultistepScheduler", {"disable_corrector": [0]}, "disable_corrector"),
        ("EulerDiscreteScheduler", {"timestep_type": "continuous"}, "timestep_type"),
        ("DPMSolverMultistepScheduler", {"solver_order": 3, "solver_type": "heun"}, "solver_order"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(kind: str, options: dict[str, Any], word: str) -> None:
    with pytest.raises(InputError, match=word):
        from_diffusers(getattr(diffusers, kind)(**options), steps=10)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UnknownName, match="DDIMScheduler"):
        from_diffusers({"_class_name": "DDIMSchedule"})
    with pytest.raises(UnknownName, match="trailing"):
        from_diffusers({"_class_name": "DDIMScheduler", "timestep_spacing": "tailing"})
    with pytest.raises(InputError, match="_class_name"):
        from_diffusers({})


def test_a_default_of_float64_changes_nothing() -> None:
    noise = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    config = {"_class_name": "UniPCMultistepScheduler"}

    def run() -> Tensor:
        scheduler = SciodeScheduler(config)
        scheduler.set_timesteps(6)
        x = noise
        for t in scheduler.timesteps:
            x = scheduler.step(0.5 * x, t, x)[0]
        return x

    expected = run()
    torch.set_default_dtype(torch.float64)
    try:
        again = run()
    finally:
        torch.set_default_dtype(torch.float32)
    assert again.dtype is torch.float32
    assert torch.equal(again, expected)


@pytest.mark.parametrize("name", ["2M", "UniPC, bh2", "DDIM", "Heun"])
def test_float32_is_near_float64(name: str) -> None:
    read = from_diffusers(scheduler(name), steps=10 if name == "Heun" else 20)
    law = mixture(read.schedule, variance=0.5)
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(3))
    wide = read.sampler.sample(law, x.double())
    assert (read.sampler.sample(law, x).double() - wide).abs().max() < 5e-6
