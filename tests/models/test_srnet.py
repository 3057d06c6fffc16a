import pytest
import torch

from napari_genrecon.models import list_models
from napari_genrecon.models.networks.srnet import FACTORS, REACH, AxialNet, UpscaleNet, UpscaleNets

by_factor = pytest.mark.parametrize("factor", FACTORS)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    net = UpscaleNet().double()
    for tail in net.tails.values():
        torch.nn.init.normal_(tail.weight, std=0.05)
    return net.eval().requires_grad_(False)


def image(shape, seed=0):
    return torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@by_factor
@pytest.mark.parametrize(("gain", "offset"), [(1.0, 100.0), (1e-3, 0.0), (40.0, -7.0)])
def test_network_is_equivariant_to_gain_and_offset(net, factor, gain, offset):
    """f(a*y + b, a*sigma) = a*f(y, sigma) + b, up to the edges."""
    y, sigma = image((20, 24)), image((20, 24), 1).abs()
    expected = gain * net(y, sigma, factor) + offset
    torch.testing.assert_close(net(gain * y + offset, gain * sigma, factor), expected, rtol=1e-6, atol=1e-6 * gain)


@by_factor
def test_no_pixel_sees_further_than_the_reach(net, factor):
    y = image((2 * REACH + 5, 2 * REACH + 5))
    changed = y.clone()
    changed[..., REACH + 2, REACH + 2] += 1
    sigma = torch.zeros_like(y)
    difference = (net(changed, sigma, factor) - net(y, sigma, factor)).abs()[0, 0]
    small = difference.reshape(len(y[0, 0]), factor, len(y[0, 0]), factor).amax((1, 3))
    assert small[:2].max() == small[-2:].max() == 0
    assert small[2].max() > 0
    assert all(spec.halo.x >= REACH for spec in list_models("upscale"))


@by_factor
def test_edges_of_a_constant_image_are_no_different(net, factor):
    y = torch.full((1, 1, 9, 7), 3.0, dtype=torch.float64)
    torch.testing.assert_close(net(y, 0 * y, factor), torch.full((1, 1, 9 * factor, 7 * factor), 3.0).double())


def test_weights_are_a_small_file():
    """Those of both upscalers together have less than 6 MB."""
    networks = UpscaleNet(), UpscaleNets()
    assert sum(weight.numel() * 4 for net in networks for weight in net.state_dict().values()) < 6e6


def test_each_factor_is_enlarged_by_the_network_for_it():
    nets = UpscaleNets().double()
    y = image((6, 5))
    for factor in FACTORS:
        whole = (nets.two if factor == 2 else nets.more)(y, 0 * y, factor)
        assert torch.equal(nets(y, 0 * y, factor), whole)


@by_factor
def test_rows_network_is_equivariant_to_gain_and_offset_and_makes_rows_only(net, factor):
    rows = AxialNet(factor, net)
    y, sigma = image((9, 12)), image((9, 12), 1).abs()
    result = rows(y, sigma)
    assert result.shape == (1, 1, 9 * factor, 12)
    torch.testing.assert_close(rows(4 * y + 100, 4 * sigma), 4 * result + 100, rtol=1e-6, atol=1e-6)


@by_factor
def test_rows_network_starts_as_the_mean_of_the_columns(net, factor):
    """Its detail is that of the network it starts from; the columns are not interpolated."""
    ramp = torch.arange(30, dtype=torch.float64)[:, None].expand(30, 26)[None, None]
    whole = net(ramp, 0 * ramp, factor).reshape(30 * factor, 26, factor).mean(-1)
    torch.testing.assert_close(AxialNet(factor, net)(ramp, 0 * ramp)[0, 0][:, 3:-3], whole[:, 3:-3])
