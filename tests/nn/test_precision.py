import pytest
import torch

from sciode.nn import strict_float32
from sciode.surrogate import Refiner


def _switches() -> tuple[str, str]:
    return torch.backends.cudnn.conv.fp32_precision, torch.backends.cuda.matmul.fp32_precision


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="this torch has the older switches only")
def test_switches_come_back_also_after_an_error() -> None:
    before = _switches()
    with pytest.raises(ZeroDivisionError), strict_float32():
        assert _switches() == ("ieee", "ieee")
        1 / 0  # noqa: B018
    assert _switches() == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="TF32 is a matter of CUDA")
def test_a_refiner_on_cuda_rounds_as_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = Refiner(1, 1, network={"width": 32, "depth": 2}).cuda().eval()
    u, dt = torch.randn(8, 1, 64, device="cuda"), torch.ones(8, device="cuda")
    v, tau = model.normalised(u), model.leads(dt)
    x, t = torch.randn_like(v), model.sampler.schedule.at(torch.tensor(0.0, dtype=torch.float64))
    monkeypatch.setattr(torch.backends.cudnn.conv, "fp32_precision", "tf32")
    with torch.no_grad():
        single = model.given(v, tau).output(x, t)
        double = model.double().given(v.double(), tau.double()).output(x.double(), t)
    assert (single - double).abs().max() < 1e-5 * double.abs().max()  # TF32 keeps three digits
