import copy
import math
from functools import partial

import pytest
import torch
from torch import nn

from gm_lib.data import Batches
from gm_lib.gan import GAN, LOSSES, Loss, MLPDiscriminator, MLPGenerator, digit_gan, r1
from gm_lib.training import fit


class Normed(nn.Module):
    """A player with everything that a step might disturb: batch norm, and spectral norm's vectors."""

    def __init__(self, sizes, latent_dim=None):
        super().__init__()
        self.latent_dim, self.num_classes = latent_dim, 0
        self.in_shape, self.out_shape = (sizes[0],), (sizes[-1],)
        self.net = nn.Sequential(
            nn.utils.parametrizations.spectral_norm(nn.Linear(sizes[0], 16)),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            nn.Linear(16, sizes[-1]),
        )

    def forward(self, x, y=None):
        out = self.net(x)
        return out if self.latent_dim else out.squeeze(-1)


def normed_gan(**settings):
    return GAN(Normed([3, 2], latent_dim=3), Normed([2, 1]), **settings)


def plane_gan(num_classes=0, **settings):
    return GAN(
        MLPGenerator(3, [16], (2,), num_classes), MLPDiscriminator((2,), [16], num_classes), **settings
    )


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# Whose turn it is


def test_a_discriminator_step_leaves_the_generator_bit_identical():
    model, x, x_fake = normed_gan(), torch.randn(8, 2), torch.randn(8, 2)
    optimizers = model.optimizers()
    model.update((x, None), optimizers, 1)
    generator, adam = state(model.generator), copy.deepcopy(optimizers["generator"].state_dict())
    gradients = [p.grad.clone() for p in model.generator.parameters()]
    judge = state(model.discriminator)
    model.discriminator_step(x, x_fake, None, optimizers["discriminator"])
    assert equal(generator, state(model.generator))
    assert str(adam) == str(optimizers["generator"].state_dict())
    assert all(map(torch.equal, gradients, [p.grad for p in model.generator.parameters()]))
    assert not equal(judge, state(model.discriminator))


def test_a_generator_step_leaves_the_discriminator_bit_identical():
    model, x = normed_gan(), torch.randn(8, 2)
    optimizers = model.optimizers()
    model.update((x, None), optimizers, 1)
    judge, adam = state(model.discriminator), copy.deepcopy(optimizers["discriminator"].state_dict())
    gradients = [p.grad.clone() for p in model.discriminator.parameters()]
    generator = state(model.generator)
    model.generator_step(model.generator(torch.randn(8, 3)), None, optimizers["generator"])
    assert equal(judge, state(model.discriminator))
    assert str(adam) == str(optimizers["discriminator"].state_dict())
    assert all(map(torch.equal, gradients, [p.grad for p in model.discriminator.parameters()]))
    assert all(p.requires_grad for p in model.discriminator.parameters())
    assert not equal(generator, state(model.generator))


def test_what_a_user_has_frozen_stays_frozen():
    model = plane_gan()
    model.discriminator.net[0].weight.requires_grad_(False)
    frozen = model.discriminator.net[0].weight.clone()
    model.update((torch.randn(8, 2), None), model.optimizers(), 1)
    assert not model.discriminator.net[0].weight.requires_grad
    assert torch.equal(model.discriminator.net[0].weight, frozen)


def test_an_update_is_the_two_textbook_steps():
    model, x = plane_gan().double(), torch.randn(8, 2).double()
    lr = 0.1
    by_hand = copy.deepcopy(model)
    sgd = {
        name: torch.optim.SGD(getattr(model, name).parameters(), lr)
        for name in ("generator", "discriminator")
    }
    torch.manual_seed(7)
    terms = model.update((x, None), sgd, 1)

    def descend(player, loss):
        parameters = list(player.parameters())
        for p, g in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            p.data -= lr * g

    torch.manual_seed(7)
    generator, judge = by_hand.generator, by_hand.discriminator
    z = torch.randn(8, 3, dtype=torch.float64)
    d_real, d_fake = judge(x).sigmoid(), judge(generator(z)).sigmoid()
    paid = -(d_real.log() + (1 - d_fake).log()).mean()
    descend(judge, paid)
    made = -judge(generator(z)).sigmoid().log().mean()
    descend(generator, made)
    for p, expected in zip(model.generator.parameters(), generator.parameters(), strict=True):
        torch.testing.assert_close(p, expected)
    for p, expected in zip(model.discriminator.parameters(), judge.parameters(), strict=True):
        torch.testing.assert_close(p, expected)
    expected = {
        "discriminator_loss": paid,
        "generator_loss": made,
        "d_real": d_real.mean(),
        "d_fake": d_fake.mean(),
    }
    assert terms.keys() == expected.keys()
    for name, term in terms.items():
        assert term.ndim == 0
        assert not term.requires_grad
        torch.testing.assert_close(term, expected[name].detach())


@pytest.mark.parametrize("steps", [1, 3])
def test_each_discriminator_step_sees_its_own_part_of_the_batch_and_all_of_it_is_seen(steps):
    seen = []

    def note(real_logits, fake_logits):
        seen.append(real_logits.detach())
        return LOSSES["minimax"].discriminator(real_logits, fake_logits)

    model = plane_gan(loss=Loss(note, LOSSES["minimax"].generator), discriminator_steps=steps, lr=0.0)
    x = torch.randn(12, 2)
    model.update((x, None), model.optimizers(), 1)
    assert [len(part) for part in seen] == [12 // steps] * steps
    torch.testing.assert_close(torch.cat(seen).sort().values, model.discriminator(x).detach().sort().values)


def test_the_penalty_is_paid_by_the_discriminator_and_recorded():
    penalty = partial(r1, gamma=50.0)
    model, x = plane_gan(penalty=penalty), torch.randn(8, 2)
    gradients = {}
    for paying in (penalty, None):
        model.penalty = paying
        torch.manual_seed(0)
        still = {"discriminator": torch.optim.SGD(model.discriminator.parameters(), 0.0)}
        terms = model.discriminator_step(x, -x, None, still["discriminator"])
        gradients[paying] = [p.grad.clone() for p in model.discriminator.parameters()]
        assert ("penalty" in terms) == (paying is not None)
    expected = penalty(model.discriminator, x, x).mean()
    slopes = torch.autograd.grad(expected, list(model.discriminator.parameters()), allow_unused=True)
    for with_it, without, slope in zip(gradients[penalty], gradients[None], slopes, strict=True):
        torch.testing.assert_close(with_it - without, torch.zeros_like(without) if slope is None else slope)


def test_every_discriminator_step_has_noise_of_its_own_and_the_generator_learns_from_the_last():
    judged = []
    model = plane_gan(discriminator_steps=2)
    model.discriminator.register_forward_pre_hook(lambda _, inputs: judged.append(inputs[0].detach()))
    model.update((torch.randn(64, 2), None), model.optimizers(), 1)
    _, first, _, second, taught = judged
    assert len(torch.cat([first, second]).unique(dim=0)) == 64
    assert torch.equal(taught, second)


def test_only_what_the_generator_learns_from_remembers_how_it_was_made():
    made = []
    model = plane_gan(discriminator_steps=3)
    model.generator.register_forward_hook(lambda *call: made.append(call[-1].requires_grad))
    model.update((torch.randn(12, 2), None), model.optimizers(), 1)
    assert made == [False, False, True]


# The averaged generator


def test_the_average_follows_its_recursion_over_weights_and_statistics():
    model = normed_gan(average=0.9)
    optimizers = model.optimizers()
    expected = state(model.generator)
    assert equal(expected, state(model.averaged))
    for step in range(1, 101):
        model.update((torch.randn(8, 2), None), optimizers, step)
        a = min(0.9, (1 + step) / (10 + step))
        for name, value in model.generator.state_dict().items():
            expected[name] = (
                a * expected[name] + (1 - a) * value if value.is_floating_point() else value.clone()
            )
    for name, value in model.averaged.state_dict().items():
        torch.testing.assert_close(value, expected[name], msg=name)
    assert not any(p.requires_grad for p in model.averaged.parameters())


def test_an_average_of_0_keeps_the_latest_weights():
    model = normed_gan(average=0.0)
    model.update((torch.randn(8, 2), None), model.optimizers(), 1)
    assert equal(state(model.averaged), state(model.generator))


def test_of_three_statistics_for_averaged_weights_the_recomputed_are_right_and_two_come_near():
    """Batch norm divides by what its layer's input has with the weights in use, over the noise that is drawn.

    Measured anew with the averaged weights, the statistics are that by definition. Averaged ones, which the
    library keeps, and the latest generator's, which belong to other weights, are near them where weights
    move slowly; statistics of no weights are not. One discriminator, at one moment, judges them all.
    """
    torch.manual_seed(0)
    model = GAN(Normed([3, 2], latent_dim=3), MLPDiscriminator((2,), [32]), lr=2e-4)
    batches = Batches(
        torch.randn(2000, 2) @ torch.tensor([[1.0, 0.5], [0.0, 2.0]]) + 3, batch_size=128, device="cpu"
    )
    fit(model, batches, steps=400, device="cpu", progress=False)
    averaged = model.averaged
    live, none, anew = (copy.deepcopy(averaged) for _ in range(3))
    for mine, latest in zip(live.buffers(), model.generator.buffers(), strict=True):
        mine.copy_(latest)
    none.net[1].reset_running_stats()
    anew.net[1].reset_running_stats()
    anew.net[1].momentum = None  # a plain mean over all that it is shown
    anew.train()
    with torch.no_grad():
        for part in torch.randn(40, 500, 3):
            anew(part)
        z = torch.randn(5000, 3)
        for generator in (averaged, live, none, anew):
            generator.eval()
        normed = anew.net[1](
            anew.net[0](z)
        )  # the right ones: mean 0 and variance 1, give or take their error
        scale, shift = anew.net[1].weight, anew.net[1].bias
        assert (((normed - shift) / scale).mean(0).abs() < 5 / 5000**0.5).all()
        assert (((normed - shift) / scale).var(0) - 1).abs().max() < 0.2
        right = anew(z)
        logits = model.discriminator(right)
        off, misjudged = {}, {}
        for name, generator in (("averaged", averaged), ("live", live), ("none", none)):
            shown = generator(z)
            off[name] = ((shown - right).square().mean(0).sqrt() / right.std(0)).max()
            misjudged[name] = (model.discriminator(shown) - logits).square().mean().sqrt() / logits.std()
    torch.testing.assert_close(model.generate(z), averaged(z))
    # In 4 runs the first two were 0.01 to 0.04; the last was 0.9 to 1.6 in 16.
    for name in ("averaged", "live"):
        assert max(off[name], misjudged[name]) < 0.1, name
    assert min(off["none"], misjudged["none"]) > 0.3


# Sampling


@pytest.mark.parametrize("training", [True, False])
def test_a_sample_depends_on_its_own_noise_alone_and_sampling_changes_nothing(training):
    model = normed_gan().double()
    model.update((torch.randn(8, 2).double(), None), model.optimizers(), 1)
    model.train(training)
    before, modes = state(model), [m.training for m in model.modules()]
    z = torch.randn(2100, 3).double()
    together = model.generate(z)
    assert together.shape == (2100, 2)
    torch.testing.assert_close(model.generate(z[5:6]), together[5:6])
    torch.testing.assert_close(model.generate(z.flip(0)).flip(0), together)
    assert equal(before, state(model))
    assert modes == [m.training for m in model.modules()]


def test_sampling_with_a_generator_repeats_itself_and_uses_the_average():
    model = plane_gan()
    nn.init.zeros_(model.generator.net[0].weight)
    first, second = (model.sample(7, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert not first.requires_grad
    z = torch.randn(7, 3, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(first, model.averaged(z))


def test_no_samples_are_an_empty_batch_and_calling_the_model_generates():
    assert digit_gan(latent_dim=4, width=4).sample(0).shape == (0, 1, 28, 28)
    model, z = plane_gan(), torch.randn(4, 3)
    assert torch.equal(model(z), model.generate(z))


# Labels


def test_a_conditional_gan_learns_which_label_goes_where():
    centre = torch.tensor([[-2.0, 0.0], [2.0, 1.0]])
    y = torch.arange(2000) % 2
    model = plane_gan(num_classes=2, lr=2e-3, penalty=r1)  # a plain one takes its time
    batches = Batches(centre[y] + 0.2 * torch.randn(2000, 2), y, batch_size=64, device="cpu")
    fit(model, batches, steps=800, device="cpu", progress=False)
    for label in (0, 1):
        x = model.sample(500, torch.full((500,), label))
        # Deaf to its label it is at least half the way between the two, 2.06, from one of them.
        assert (x.mean(0) - centre[label]).norm() < 1


def test_labels_that_are_missing_wrong_or_too_few_are_refused():
    model = plane_gan(num_classes=10)
    x = torch.randn(4, 2)
    with pytest.raises(ValueError, match="needs labels"):
        model.sample(4)
    with pytest.raises(ValueError, match="4 examples needs 4 labels"):
        model.sample(4, torch.arange(3))
    with pytest.raises(ValueError, match=r"4 examples needs 4 labels, got shape \(\)"):
        model.sample(4, 3)
    with pytest.raises(ValueError, match="labels are needed"):
        model.check((x, None))
    with pytest.raises(ValueError, match="0 … 9"):
        model.check((x, torch.tensor([0, 1, 2, 10])))
    model.check((x, torch.arange(4)))


# Refusals


def test_players_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"makes examples of shape \(3,\), the discriminator judges \(2,\)"):
        GAN(MLPGenerator(3, [4], (3,)), MLPDiscriminator((2,), [4]))
    with pytest.raises(ValueError, match="takes 10 classes, the discriminator 0"):
        GAN(MLPGenerator(3, [4], (2,), 10), MLPDiscriminator((2,), [4]))
    for settings in ({"discriminator_steps": 0}, {"average": 1.0}, {"average": -0.1}):
        with pytest.raises(ValueError, match=f"{next(iter(settings))} must be"):
            plane_gan(**settings)


def test_data_that_the_generator_could_never_make_is_refused():
    model = digit_gan(latent_dim=4, width=4)
    model.check((torch.rand(4, 1, 28, 28), None))
    with pytest.raises(ValueError, match=r"shape \(n, 1, 28, 28\), got \(4, 1, 32, 32\)"):
        model.check((torch.rand(4, 1, 32, 32), None))
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        model.check((2 * torch.rand(4, 1, 28, 28) - 1, None))
    with pytest.raises(ValueError, match="choose a batch size that is a multiple"):
        plane_gan(discriminator_steps=3).check((torch.randn(8, 2), None))


def test_a_generator_of_ones_own_may_make_images_of_another_range():
    class Tanh(MLPGenerator):
        def forward(self, z, y=None):
            return super().forward(z, y).tanh()

    model = GAN(Tanh(3, [8], (1, 4, 4)), MLPDiscriminator((1, 4, 4), [8]))
    x = 2 * torch.rand(4, 1, 4, 4) - 1
    model.check((x, None))
    model.update((x, None), model.optimizers(), 1)
    for bad, message in ((x / 0, "NaN or infinite"), (x.double(), r"x is torch\.float64")):
        with pytest.raises(ValueError, match=message):
            model.check((bad, None))


def test_players_that_do_not_know_themselves_are_told_what_is_missing():
    players = {"generator": MLPGenerator(3, [4], (2,)), "discriminator": MLPDiscriminator((2,), [4])}
    for role, name in (
        ("generator", "latent_dim"),
        ("generator", "num_classes"),
        ("discriminator", "in_shape"),
    ):
        incomplete = copy.deepcopy(players)
        delattr(incomplete[role], name)
        with pytest.raises(TypeError, match=f"the {role}, MLP.*, has no attribute '{name}'"):
            GAN(**incomplete)


def test_a_loss_may_be_given_by_its_name_and_what_is_none_is_refused_at_once():
    assert plane_gan(loss="minimax").loss is LOSSES["minimax"]
    with pytest.raises(ValueError, match="did you mean 'minimax'"):
        plane_gan(loss="minmax")
    with pytest.raises(TypeError, match=r"loss must be a gm_lib\.gan\.Loss or a key of LOSSES, not function"):
        plane_gan(loss=lambda real, fake: fake)


def test_a_penalty_through_batch_norm_is_refused_with_the_reason():
    with pytest.raises(ValueError, match="gradient of a whole batch: take batch norm out"):
        normed_gan(penalty=r1)


# As a whole


def test_on_a_gaussian_the_generator_finds_mean_and_spread():
    mean, sigma = 1.5, 0.5
    model = GAN(MLPGenerator(1, [], (1,)), MLPDiscriminator((1,), [32]), penalty=r1, lr=1e-2)
    batches = Batches(mean + sigma * torch.randn(4000, 1), batch_size=128, device="cpu")
    fit(model, batches, steps=600, device="cpu", progress=False)
    x = model.sample(20_000)
    assert abs(x.mean().item() - mean) < 0.15
    assert abs(x.std().item() / sigma - 1) < 0.15


@pytest.mark.parametrize("num_classes", [0, 10])
def test_training_that_was_interrupted_goes_on_bit_for_bit(tmp_path, num_classes):
    x, y = torch.rand(64, 1, 28, 28), torch.arange(64) % 10

    def train(steps, out=None):
        torch.manual_seed(0)
        model = digit_gan(latent_dim=4, width=4, num_classes=num_classes, gamma=0.1)
        batches = Batches(x, y, batch_size=16, seed=0, device="cpu")
        history = fit(model, batches, steps=steps, device="cpu", out=out, progress=False, log_every=2)
        return model, history

    whole, history = train(6)
    train(3, tmp_path)
    resumed, again = train(6, tmp_path)
    assert equal(state(whole), state(resumed))
    assert history.rows == again.rows


def test_the_config_rebuilds_the_model():
    model = digit_gan(latent_dim=5, width=4, num_classes=10, loss="minimax", gamma=0.5, lr=1e-4, average=0.5)
    again = digit_gan(**model.config)
    again.load_state_dict(model.state_dict())
    assert (again.lr, again.average, again.latent_dim, again.num_classes) == (1e-4, 0.5, 5, 10)
    assert again.loss == LOSSES["minimax"]
    assert again.penalty.keywords == {"gamma": 0.5}
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in again.discriminator.modules())
    z, y = torch.randn(2, 5), torch.tensor([3, 4])
    assert torch.equal(again.generate(z, y), model.generate(z, y))
    with pytest.raises(ValueError, match="did you mean 'minimax'"):
        digit_gan(loss="minmax")


def test_the_average_is_saved_with_the_model():
    names = digit_gan(latent_dim=4, width=4).state_dict()
    assert {name.removeprefix("averaged.") for name in names if name.startswith("averaged.")} == {
        name.removeprefix("generator.") for name in names if name.startswith("generator.")
    }


def test_untrained_players_know_nothing():
    model = digit_gan(latent_dim=4, width=8)
    terms = model.update((torch.rand(32, 1, 28, 28), None), model.optimizers(), 1)
    assert abs(terms["discriminator_loss"].item() - math.log(4)) < 0.3
