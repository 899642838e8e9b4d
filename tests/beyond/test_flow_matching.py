"""Flow matching: a velocity that carries noise to data, against distributions for which it is known."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal

from gm_lib.beyond import FlowMatching, digit_flow_matching
from gm_lib.beyond.networks import TimeMLP
from gm_lib.distributions.estimates import assert_unbiased
from gm_lib.runtime import forked_rng
from gm_lib.training import fit

MEAN = torch.tensor([1.0, -2.0], dtype=torch.float64)
ROOT = torch.tensor([[1.5, 0.0], [0.8, 0.4]], dtype=torch.float64)
DATA = MultivariateNormal(MEAN, scale_tril=ROOT)


class GaussianVelocity(nn.Module):
    """E[x - z | x_t] for x from ``DATA``: the regression of one Gaussian vector on another."""

    shape, num_classes = (2,), 0

    def forward(self, x_t, t, y=None):
        t, eye = t[:, None, None], torch.eye(2, dtype=x_t.dtype)
        covariance = (ROOT @ ROOT.T).to(x_t)
        slope = (t * covariance - (1 - t) * eye) @ torch.linalg.inv(t**2 * covariance + (1 - t) ** 2 * eye)
        return MEAN.to(x_t) + ((x_t - t[..., 0] * MEAN.to(x_t))[:, None] @ slope.mT)[:, 0]


class Told(nn.Module):
    """A network of images that says what it is told: the label in each pixel, and notes what that was."""

    shape, num_classes = (1, 4, 4), 10

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.labels, self.seen, self.times, self.modes = [], [], [], []

    def forward(self, x_t, t, y=None):
        y = torch.full((len(x_t),), self.num_classes) if y is None else y
        self.labels.append(y)
        self.seen.append(x_t)
        self.times.append(t)
        self.modes.append(self.training)
        return self.weight * y.float()[:, None, None, None].expand_as(x_t)


class Double(nn.Module):
    """GaussianVelocity in a model of float64: ``sample`` asks its parameters for the dtype."""

    shape, num_classes = (2,), 0

    def __init__(self):
        super().__init__()
        self.network, self.unused = GaussianVelocity(), nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, x_t, t, y=None):
        return self.network(x_t, t)


def test_the_density_is_that_of_gaussian_data():
    with forked_rng(0):
        x = DATA.sample((50,))
    model = FlowMatching(GaussianVelocity())
    torch.testing.assert_close(model.log_prob(x), DATA.log_prob(x), rtol=0, atol=2e-3)
    coarse, fine = ((model.log_prob(x, steps=n) - DATA.log_prob(x)).abs().max() for n in (50, 200))
    assert 12 < coarse / fine < 20  # midpoint steps: the error goes with the square of their length


def test_the_density_of_a_model_that_does_nothing_is_that_of_the_noise():
    model = FlowMatching(TimeMLP(3, (8,)))
    for p in model.network.layers[-1].parameters():
        nn.init.zeros_(p)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    noise = torch.distributions.Normal(0, 1).log_prob(x).sum(1)
    torch.testing.assert_close(model.log_prob(x), noise)
    assert not model.log_prob(x).requires_grad


def test_many_euler_steps_make_the_data_and_one_makes_its_mean():
    model = FlowMatching(Double())
    x = model.sample(4000, steps=400, generator=torch.Generator().manual_seed(1))
    whitened = torch.linalg.solve_triangular(ROOT, (x - MEAN).T, upper=False).T
    assert_unbiased(whitened, torch.zeros(2))
    outer = torch.stack([whitened[:, 0] ** 2, whitened[:, 0] * whitened[:, 1], whitened[:, 1] ** 2], 1)
    assert_unbiased(outer, torch.tensor([1.0, 0.0, 1.0]), standard_errors=4.5)
    one = model.sample(5, steps=1, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(one, MEAN.expand(5, 2))


def test_the_smallest_loss_is_the_variance_of_the_slopes_that_pass_a_point():
    t = torch.tensor(0.3, dtype=torch.float64)
    covariance, eye = ROOT @ ROOT.T, torch.eye(2, dtype=torch.float64)
    across = t * covariance - (1 - t) * eye
    at = t**2 * covariance + (1 - t) ** 2 * eye
    least = torch.trace(covariance + eye - across @ torch.linalg.inv(at) @ across.T)
    with forked_rng(2):
        x, z = DATA.sample((20_000,)), torch.randn(20_000, 2, dtype=torch.float64)
    error = FlowMatching(GaussianVelocity()).squared_error(x, z, t.expand(20_000))
    assert_unbiased(error, least)


def test_an_update_is_a_gradient_step_on_lines_at_uniform_times():
    network = Told()
    model = FlowMatching(network, drop=0.25)
    x, y = torch.full((4000, 1, 4, 4), 0.75), torch.arange(4000) % 10
    with forked_rng(3):
        before = network.weight.item()
        loss = model.update((x, y), model.optimizers(), 1)["loss"]
    assert network.weight.item() < before  # far too large
    assert loss.shape == ()
    (t,), (x_t,), (labels,) = network.times, network.seen, network.labels
    assert_unbiased(torch.stack([t, t**2, t**3], 1), torch.tensor([1 / 2, 1 / 3, 1 / 4]))
    z = (x_t - t[:, None, None, None] * 0.5) / (1 - t)[:, None, None, None]  # 0.75 is 0.5 between -1 and 1
    assert_unbiased(z[:, 0, 0, 0], 0.0)
    assert_unbiased(z[:, 0, 0, 0] ** 2, 1.0)
    withheld = labels == 10
    assert_unbiased(withheld.double(), 0.25)
    assert torch.equal(labels[~withheld], y[~withheld])
    assert abs(torch.corrcoef(torch.stack([t, withheld.float()]))[0, 1]) < 4 / 4000**0.5


def test_a_loss_of_images_is_between_minus_one_and_one():
    x, z = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    error = FlowMatching(Told()).squared_error(x, z, torch.tensor([0.5, 0.5]), torch.tensor([0, 0]))
    torch.testing.assert_close(error, torch.tensor([16.0, 16.0]))


def test_guidance_goes_on_in_the_direction_in_which_the_label_leads():
    model, x, y = FlowMatching(Told()), torch.zeros(2, 1, 4, 4), torch.tensor([3, 4])
    plain, guided = (model.velocity(x, 0.5, y, guidance=w)[:, 0, 0, 0] for w in (0, 2))
    torch.testing.assert_close(plain, torch.tensor([3.0, 4.0]))
    torch.testing.assert_close(guided, torch.tensor([3 + 2 * (3 - 10.0), 4 + 2 * (4 - 10.0)]))
    with pytest.raises(ValueError, match="give y"):
        model.sample(2, guidance=1.0)


def test_samples_of_images_follow_their_labels_and_the_generator_and_lie_between_zero_and_one():
    network = Told()
    model = FlowMatching(network)
    x = model.sample(3, [0, 0, 9], steps=4, generator=torch.Generator().manual_seed(0))
    z = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(x, ((z + torch.tensor([0, 0, 9.0])[:, None, None, None] + 1) / 2).clamp(0, 1))
    assert [t[0].item() for t in network.times] == [0, 0.25, 0.5, 0.75]
    assert x[2].min() == 1
    model.sample(2)
    assert network.labels[-1].tolist() == [10, 10]  # none known


def test_samples_are_made_in_parts_in_evaluation_mode(monkeypatch):
    model, y = FlowMatching(Told()), [0, -1, 0, 1, -2]
    whole = model.sample(5, y, steps=1, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr("gm_lib.beyond.flow_matching.AT_ONCE", 2)
    parts = model.sample(5, y, steps=1, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(parts, whole)
    assert not any(model.network.modes)
    assert model.training
    assert model.sample(0).shape == (0, 1, 4, 4)


def test_training_finds_the_velocity_of_gaussian_data():
    with forked_rng(4):
        model = FlowMatching(TimeMLP(1, (32, 32)), lr=1e-2, decay_steps=300)
        batches = [2 + 0.5 * torch.randn(128, 1) for _ in range(300)]
    fit(model, batches, steps=300, device="cpu", progress=False)
    x = torch.linspace(1, 3, 9)[:, None]
    right = torch.distributions.Normal(2, 0.5).log_prob(x)[:, 0]
    assert (model.log_prob(x, steps=30) - right).abs().max() < 0.5
    assert (FlowMatching(TimeMLP(1, (32, 32))).log_prob(x, steps=30) - right).abs().max() > 1


def test_digits_are_learned_from_as_any_model_is():
    with forked_rng(5):
        model = digit_flow_matching(shape=(1, 8, 8), width=8, num_classes=10, decay_steps=4)
        x, y = torch.rand(16, 1, 8, 8), torch.arange(16) % 10
    history = fit(model, [(x, y)], steps=2, device="cpu", precision="bfloat16", log_every=1, progress=False)
    assert all(math.isfinite(row["loss"]) for row in history.rows)
    again = digit_flow_matching(**model.config)
    again.load_state_dict(model.state_dict())
    same = [m.sample(3, [1, 2, 3], generator=torch.Generator().manual_seed(0)) for m in (model, again.eval())]
    torch.testing.assert_close(*same)
    assert same[0].min() >= 0
    assert same[0].max() <= 1


@pytest.mark.parametrize(
    ("batch", "error", "words"),
    [
        (([[0.0]], None), TypeError, "torch.Tensor"),
        ((torch.zeros(2, 4, 4), None), ValueError, "shape"),
        ((torch.full((2, 1, 4, 4), math.nan), torch.zeros(2).long()), ValueError, "NaN"),
        ((torch.full((2, 1, 4, 4), -1.0), torch.zeros(2).long()), ValueError, r"\[0, 1\]"),
        ((torch.full((2, 1, 4, 4), 255.0), torch.zeros(2).long()), ValueError, r"\[0, 1\]"),
        ((torch.zeros(2, 1, 4, 4), None), ValueError, "labels"),
        ((torch.zeros(2, 1, 4, 4), torch.tensor([0, 10])), ValueError, "0 … 9"),
    ],
)
def test_data_of_another_kind_are_refused(batch, error, words):
    with pytest.raises(error, match=words):
        FlowMatching(Told()).check(batch)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="drop"):
        FlowMatching(Told(), drop=1.0)
    with pytest.raises(TypeError, match="shape"):
        FlowMatching(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="16 backward passes"):
        FlowMatching(Told()).log_prob(torch.zeros(2, 1, 4, 4))
    with pytest.raises(ValueError, match="steps"):
        FlowMatching(Told()).sample(2, steps=0)
