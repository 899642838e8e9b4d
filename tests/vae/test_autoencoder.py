"""Autoencoders against principal component analysis, Bayes' rule for Gaussians, and the training loop."""

import copy
import math

import pytest
import torch
from same_state import assert_same_state, checkpointed
from sklearn.decomposition import PCA
from torch import nn

from gm_lib.data import Batches
from gm_lib.system import parallel
from gm_lib.training import fit
from gm_lib.vae import Autoencoder, digit_autoencoder


def linear(dims: int = 5, codes: int = 2, **settings) -> Autoencoder:
    return Autoencoder(nn.Linear(dims, codes), nn.Linear(codes, dims), **settings)


def correlated(n: int = 400, dims: int = 5) -> torch.Tensor:
    scales = torch.tensor([2.0, 1.0, 0.5, 0.3, 0.2])[:dims]
    return torch.randn(n, dims) * scales @ torch.linalg.qr(torch.randn(dims, dims)).Q + 1


def test_an_error_is_the_squared_distance_of_an_example_to_its_reconstruction():
    model, x = digit_autoencoder(hidden=8), torch.rand(6, 1, 28, 28)
    made = model.reconstruct(x)
    torch.testing.assert_close(made, model.decode(model.encode(x)).detach())
    distance = torch.cdist(x.flatten(1), made.flatten(1)).diagonal()
    torch.testing.assert_close(model.errors(x), distance**2, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model(x).detach(), model.errors(x))
    assert model.errors(x).shape == (6,)


def test_a_trained_linear_autoencoder_has_the_error_of_pca_and_its_subspace():
    x = correlated().double()
    model = linear(lr=1e-2).double()
    optimizers = model.optimizers()
    for step in range(1, 1501):
        model.update((x, None), optimizers, step)
    pca = PCA(2).fit(x.numpy())
    best = ((x - torch.from_numpy(pca.inverse_transform(pca.transform(x.numpy())))) ** 2).sum(1).mean()
    assert best.item() > 0.1
    assert best.item() - 1e-9 < model.errors(x).mean().item() < 1.001 * best.item()
    span = torch.linalg.qr(model.decoder.weight.detach()).Q
    cosines = torch.linalg.svdvals(torch.from_numpy(pca.components_) @ span)
    torch.testing.assert_close(cosines, torch.ones(2).double(), rtol=0, atol=1e-3)


def test_a_denoiser_of_gaussian_data_learns_the_posterior_mean():
    # x ~ N(mean, variance): E[x | noisy] moves from the noisy value towards the mean by a known share.
    mean, std, noise = torch.tensor([1.0, -2.0]), torch.tensor([1.0, 0.3]), 0.5
    model = Autoencoder(nn.Linear(2, 2), nn.Linear(2, 2), noise=noise, lr=2e-2)
    optimizers = model.optimizers()
    for step in range(1, 2001):
        optimizers["adam"].param_groups[0]["lr"] = 2e-2 * (1 - step / 2001)
        model.update((mean + std * torch.randn(256, 2), None), optimizers, step)
    noisy = mean + torch.tensor([[0.0, 0.0], [1.5, 0.0], [0.0, 0.5], [-1.5, -0.5]])
    gain = std**2 / (std**2 + noise**2)
    torch.testing.assert_close(model.reconstruct(noisy), mean + gain * (noisy - mean), rtol=0, atol=0.05)


def test_noise_is_added_to_what_is_encoded_and_never_to_the_target():
    seen = []
    model = Autoencoder(nn.Identity(), nn.Identity(), noise=0.5)
    model.encoder.register_forward_hook(lambda module, args, out: seen.append(args[0]))
    x = torch.rand(2000, 3)
    before = x.clone()
    errors = model(x)
    torch.testing.assert_close(errors, (seen[0] - before).square().sum(1))
    assert torch.equal(x, before)
    assert (seen[0] - x).std().item() == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(2 * 6000))
    assert torch.equal(model.errors(x), torch.zeros(2000))
    assert torch.equal(seen[1], x)


def test_without_noise_no_random_number_is_drawn():
    model, before = linear(), torch.get_rng_state()
    model.update((torch.zeros(4, 5), None), model.optimizers(), 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_codes_may_have_any_leading_dimensions():
    model = digit_autoencoder(hidden=8)
    z = torch.randn(3, 4, 2)
    made = model.decode(z)
    assert made.shape == (3, 4, 1, 28, 28)
    torch.testing.assert_close(made[1, 2], model.decode(z[1, 2][None])[0])
    assert bool(((made > 0) & (made < 1)).all())


def test_codes_and_examples_keep_the_dtype_of_what_they_are_made_of_under_autocast():
    model, x = linear(), torch.rand(4, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert model.encoder(x).dtype == torch.bfloat16
        assert model.encode(x).dtype == torch.float32
        assert model.decode(model.encode(x)).dtype == torch.float32


def test_an_update_moves_every_parameter_by_its_own_gradient_alone():
    model, x = digit_autoencoder(hidden=8, noise=0.1), torch.rand(4, 1, 28, 28)
    still = {"adam": torch.optim.SGD(model.parameters(), lr=0.0)}
    gradients = []
    for step in (1, 2):
        torch.manual_seed(0)
        terms = model.update((x, None), still, step)
        gradients.append([p.grad.clone() for p in model.parameters()])
    assert set(terms) == {"loss"}
    assert terms["loss"].ndim == 0
    assert not terms["loss"].requires_grad
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second)
    before = [p.detach().clone() for p in model.parameters()]
    model.update((x, None), model.optimizers(), 3)
    assert all(not torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))


def test_the_loss_is_a_mean_over_examples_and_a_sum_over_values():
    model, x = digit_autoencoder(hidden=8, lr=0.0), torch.rand(6, 1, 28, 28)
    one, three = (
        model.update((data, None), model.optimizers(), 1)["loss"] for data in (x, x.repeat(3, 1, 1, 1))
    )
    torch.testing.assert_close(one, three)
    torch.testing.assert_close(one, 28 * 28 * (model.reconstruct(x) - x).square().mean())


def test_hidden_layers_are_mirrored_and_the_config_rebuilds_the_model():
    model = digit_autoencoder(latent_dim=3, hidden=(32, 16), noise=0.2, lr=1e-4)
    sizes = [tuple(p.shape) for name, p in model.named_parameters() if name.endswith("weight")]
    assert sizes == [(32, 784), (16, 32), (3, 16), (16, 3), (32, 16), (784, 32)]
    again = digit_autoencoder(**model.config)
    again.load_state_dict(model.state_dict())
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(again.reconstruct(x), model.reconstruct(x))
    assert (again.noise, again.lr) == (0.2, 1e-4)


def test_two_processes_have_together_the_gradient_of_one(monkeypatch):
    model, x = linear(noise=0.5).double(), correlated(8).double()

    def gradient(rows: slice, place: tuple[int, int]) -> torch.Tensor:
        monkeypatch.setattr(parallel, "_own_rows", place)
        torch.manual_seed(1)
        return torch.autograd.grad(model(x[rows]).mean(), model.encoder.weight)[0]

    whole = gradient(slice(0, 8), (0, 1))
    parts = [gradient(slice(0, 4), (0, 2)), gradient(slice(4, 8), (1, 2))]
    torch.testing.assert_close((parts[0] + parts[1]) / 2, whole)


def images(x: torch.Tensor) -> Batches:
    return Batches(x, batch_size=8, seed=3, device="cpu")


def test_a_run_in_two_parts_ends_where_one_without_a_break_does(tmp_path):
    options = {"device": "cpu", "progress": False, "average": 0.9, "log_every": 5}
    x, model = torch.rand(40, 1, 28, 28), digit_autoencoder(hidden=4, noise=0.3)
    again = copy.deepcopy(model)
    history = fit(model, images(x), steps=13, out=tmp_path / "straight", **options)
    assert history.terms == ["loss"]
    for steps in (6, 13):
        fit(copy.deepcopy(again), images(x), steps=steps, out=tmp_path / "parts", **options)
    assert_same_state(checkpointed(tmp_path / "parts"), checkpointed(tmp_path / "straight"))


# What is refused


@pytest.mark.parametrize("noise", [-0.1, float("nan"), float("inf")])
def test_impossible_noise_is_refused(noise):
    with pytest.raises(ValueError, match="noise is a standard deviation"):
        linear(noise=noise)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.rand(3, 1, 28, 28).numpy(), TypeError, r"expects a torch\.Tensor, not ndarray"),
        (
            torch.rand(3, 1, 28, 28).double(),
            ValueError,
            r"computes in torch\.float32, and x is torch\.float64",
        ),
        (2 * torch.rand(3, 1, 28, 28) - 1, ValueError, r"\[0, 1\]"),
        (torch.full((3, 1, 28, 28), float("nan")), ValueError, "NaN or infinity"),
        (torch.zeros(0, 1, 28, 28), ValueError, "no values"),
        (torch.rand(3, 1, 28, 56), ValueError, r"expects x of shape \(n, 1, 28, 28\)"),
        (torch.rand(1, 28, 28), ValueError, r"\(n, channels, height, width\)"),
    ],
)
def test_what_are_no_images_in_the_unit_interval_is_refused_before_training(x, error, message):
    model = digit_autoencoder(hidden=4)
    model.check((torch.rand(3, 1, 28, 28), None))
    with pytest.raises(error, match=message):
        model.check((x, None))


def test_check_accepts_any_real_data_that_the_networks_take_and_changes_nothing():
    model, state = linear(noise=0.5).train(), torch.get_rng_state()
    model.check((torch.linspace(-100, 100, 15).view(3, 5), torch.zeros(3)))
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training


def test_a_decoder_that_puts_out_another_shape_is_refused_and_not_broadcast():
    model = Autoencoder(nn.Linear(5, 2), nn.Linear(2, 1))
    for action in (model, model.errors, lambda x: model.check((x, None))):
        with pytest.raises(ValueError, match=r"decoder made \(\d, 1\) of examples of shape \(\d, 5\)"):
            action(torch.zeros(3, 5))
