"""Claims about VAEs with levels: their densities, their bounds, and what is kept when they are sampled."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from same_state import assert_same_state, checkpointed
from torch.distributions import Normal, kl_divergence

from gm_lib import evaluation
from gm_lib.data import Batches
from gm_lib.distributions.estimates import assert_unbiased
from gm_lib.training import fit
from gm_lib.vae import (
    LIKELIHOODS,
    Bernoulli,
    HierarchicalVAE,
    digit_hierarchical_vae,
    free_bits,
    iwae_bound,
    likelihood,
    refine,
)

SHAPE = (1, 5, 7)
BOTH = pytest.mark.parametrize("architecture", ["mlp", "conv"])


def hierarchy(architecture="mlp", dims=(2, 3, 1), shape=SHAPE, stir=3.0, width=6, **settings):
    """A small model, its last layers ``stir`` times as large as at the start: no level is like its prior."""
    model = HierarchicalVAE(Bernoulli(shape), dims, width, architecture=architecture, **settings)
    with torch.no_grad():
        for level in model.levels:
            for last in (level.p, level.q):
                last.weight *= stir / 0.1
    return model


def binary(n, shape=SHAPE):
    return torch.randint(0, 2, (n, *shape)).float()


def walked_by_hand(model, x, eps):
    """Each level's z, q and p in torch's distributions, and the logits: from the layers alone, in z."""
    features, seen = model.stem(x), []
    for level, up in list(zip(model.levels, model.up, strict=True))[::-1]:
        if features.shape[2:] != level.size:
            features = F.adaptive_avg_pool2d(features, level.size)
        features = up(features)
        seen.insert(0, level.see(features))
    h, walked = model.start.expand(len(x), *model.start.shape), []
    for level, features, part in zip(model.levels, seen, model._by_level(eps), strict=True):
        if h.shape[2:] != level.size:
            h = F.interpolate(h, level.size)
        mean, log_var = level.prior(h)
        p = Normal(mean, (0.5 * log_var).exp())
        shift, log_shrink = level.posterior(h, features)
        q = Normal(p.mean + p.stddev * shift, p.stddev * (0.5 * log_shrink).exp())
        z = q.mean + q.stddev * part
        walked.append((z, q, p))
        h = level.below(h, z)
    return walked, model.head(h)


def summed(values):
    return values.flatten(1).sum(1)


@BOTH
def test_log_weights_are_the_joint_density_over_q_of_all_levels(architecture):
    model, x = hierarchy(architecture), binary(4)
    log_w = model.log_weights(x, k=3, generator=torch.Generator().manual_seed(1))
    eps = torch.randn(3, 4, model.latent_dim, generator=torch.Generator().manual_seed(1))
    for k in range(3):
        walked, logits = walked_by_hand(model, x, eps[k])
        log_p_x = summed(torch.distributions.Bernoulli(logits=logits).log_prob(x))
        ratio = sum(summed(p.log_prob(z) - q.log_prob(z)) for z, q, p in walked)
        torch.testing.assert_close(log_w[k], log_p_x + ratio, rtol=1e-4, atol=1e-4)


@BOTH
def test_the_terms_of_the_elbo_are_those_of_torch_level_by_level(architecture):
    model, x = hierarchy(architecture), binary(4)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        terms = model.elbo_terms(x)
        torch.manual_seed(2)
        eps = torch.randn(4, model.latent_dim)
    walked, logits = walked_by_hand(model, x, eps)
    kl = torch.stack([summed(kl_divergence(q, p)) for _, q, p in walked], dim=1)
    assert bool((kl > 1e-6).all())
    torch.testing.assert_close(terms.kl, kl, rtol=1e-4, atol=1e-4)
    cost = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    torch.testing.assert_close(terms.reconstruction, summed(cost))
    torch.testing.assert_close(terms.elbo, -summed(cost) - kl.sum(1), rtol=1e-4, atol=1e-4)


def test_the_log_ratio_of_each_level_has_the_kl_as_its_mean():
    model, x = hierarchy(), binary(1)
    eps = torch.randn(40_000, model.latent_dim)
    found = model._infer(x, eps)
    assert_unbiased((found.log_ratio - found.kl).detach(), torch.zeros(3), standard_errors=5)


@BOTH
def test_in_noise_the_prior_is_standard_normal_and_the_joint_is_that_of_the_levels(architecture):
    model, x = hierarchy(architecture), binary(4)
    u = torch.randn(2, 4, model.latent_dim)
    assert (model.prior.batch_shape, model.decode(u).shape) == ((model.latent_dim,), (2, 4, *SHAPE))
    log_p_x = summed(torch.distributions.Bernoulli(logits=model.decode(u[1])).log_prob(x))
    expected = log_p_x + Normal(0.0, 1.0).log_prob(u[1]).sum(1)
    torch.testing.assert_close(model.log_joint(u, x)[1], expected)


def two_pixels():
    """A model of two pixels, of two levels in one dimension, and by quadrature log p(x) of its 4 outcomes."""
    model = hierarchy(dims=(1, 1), shape=(1, 1, 2)).double()
    with torch.no_grad():
        for level in model.levels:
            level.enter.weight *= 3
            # A q wider than p keeps the weights bounded, and so the standard errors of their mean honest.
            level.q.weight[0] /= 3
            level.q.weight[1] *= 0.1
            level.q.bias[1] = 0.7
        model.head[1].weight *= 4
    outcomes = torch.tensor(list(itertools.product((0.0, 1.0), repeat=2))).double().reshape(4, 1, 1, 2)
    steps = torch.linspace(-8, 8, 401, dtype=torch.float64)
    width = steps[1] - steps[0]
    # z₁ on a grid around its prior; for each z₁, z₂ on one around p(z₂ | z₁).
    with torch.no_grad():
        first, second = model.levels
        mean, log_var = first.prior(model.start[None])
        p_1 = Normal(mean[0, 0], (0.5 * log_var[0, 0]).exp())
        z_1 = (p_1.mean + p_1.stddev * steps)[:, None]
        h_1 = first.below(model.start.expand(len(steps), -1), z_1)
        mean, log_var = second.prior(h_1)
        p_2 = Normal(mean, (0.5 * log_var).exp())
        z_2 = p_2.mean + p_2.stddev * steps
        h_2 = second.below(h_1.repeat_interleave(len(steps), 0), z_2.reshape(-1, 1))
        logits = model.head(h_2).reshape(len(steps), len(steps), 1, 1, 2)
        log_p_z = p_1.log_prob(z_1) + p_2.log_prob(z_2)
        cells = (p_1.stddev * width).log() + (p_2.stddev * width).log()
        log_p = []
        for x in outcomes:
            p_x = torch.distributions.Bernoulli(logits=logits)
            joint = p_x.log_prob(x.expand_as(logits)).sum((2, 3, 4)) + log_p_z + cells
            log_p.append(joint.flatten().logsumexp(0))
    return model, outcomes, torch.stack(log_p)


def test_the_weights_are_unbiased_and_bounds_rise_to_log_p():
    model, x, log_p = two_pixels()
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-9)  # the quadrature misses nothing
    assert log_p.exp().std() > 0.01
    with torch.no_grad():
        log_w = model.log_weights(x, k=400_000)
    assert_unbiased(log_w.exp(), log_p.exp(), standard_errors=5)
    last = log_w.mean(0)
    for k in (1, 2, 8, 32):
        bounds = iwae_bound(log_w.reshape(k, -1)).reshape(-1, 4)  # of the four, each with draws of its own
        error = bounds.std(0) / math.sqrt(len(bounds))
        assert bool((bounds.mean(0) < log_p + 5 * error).all())
        assert bool((bounds.mean(0) > last - 5 * error).all())
        last = bounds.mean(0)
    assert bool((log_w.mean(0) < log_p - 0.001).all())


def test_evaluation_finds_the_exact_log_p():
    model, x, log_p = two_pixels()
    with torch.no_grad():
        w = model.log_weights(x, k=20_000).exp()
    found = evaluation.log_likelihood(model, x, k=20_000, chunk=20_000).bound
    error = w.std(0) / w.mean(0) / math.sqrt(20_000)  # of the log of a mean
    assert bool(((found - log_p).abs() < 5 * error).all())
    assert bool((evaluation.negative_elbo(model, x, k=2_000).bound > -log_p).all())
    annealed = evaluation.annealed_log_likelihood(model, x, temperatures=30, chains=200, leapfrog=3)
    likely = log_p.argmax()  # chains that start at the prior rarely meet what makes an unlikely x
    assert abs(annealed.bound[likely] - log_p[likely]) < 0.2


@BOTH
def test_the_gradient_of_the_loss_equals_finite_differences_with_the_noise_held_fixed(architecture):
    for settings in ({}, {"k": 3}):
        model, x = hierarchy(architecture, stir=1.0, **settings).double(), binary(3).double()
        names, params = zip(*model.named_parameters(), strict=True)

        class Loss(torch.nn.Module):
            def __init__(self, model):
                super().__init__()
                self.model = model

            def forward(self, x):
                if self.model.k > 1:
                    return self.model.importance_weighted(x)[1]
                return self.model.elbo(x)

        names, loss = [f"model.{name}" for name in names], Loss(model)

        def objective(*values, names=names, loss=loss, x=x):
            torch.manual_seed(0)
            return torch.func.functional_call(loss, dict(zip(names, values, strict=True)), (x,))

        assert torch.autograd.gradcheck(objective, params, fast_mode=True)


@BOTH
def test_an_example_costs_the_same_in_any_company(architecture):
    model, x = hierarchy(architecture), binary(6)
    eps = torch.randn(6, model.latent_dim)
    whole = model._infer(x, eps)
    parts = [model._infer(a, b) for a, b in zip(x.split(2), eps.split(2), strict=True)]
    for name in ("mean", "kl", "log_ratio", "params"):
        together = torch.cat([getattr(part, name) for part in parts])
        torch.testing.assert_close(getattr(whole, name), together, rtol=1e-4, atol=1e-4)


def test_draws_of_one_example_do_not_mix_with_those_of_another():
    model, x = hierarchy(), binary(2)
    eps = torch.randn(5, 2, model.latent_dim)
    log_w = model._log_w(x, eps)
    for i in range(2):
        torch.testing.assert_close(log_w[:, i : i + 1], model._log_w(x[i : i + 1], eps[:, i : i + 1]))


def test_training_on_more_draws_trains_the_bound_that_log_weights_give():
    model, x = hierarchy(k=5), binary(3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        bound, objective = model.importance_weighted(x)
        torch.manual_seed(0)
        eps = torch.randn(3, 5, model.latent_dim).movedim(1, 0)
    torch.testing.assert_close(bound, iwae_bound(model._log_w(x, eps)))
    assert objective is bound
    assert set(model.update((x, None), model.optimizers(), 1)) == {"loss"}


def after_update(model, x):
    """The terms of one update that moves nothing, and the gradients that it left."""
    torch.manual_seed(0)
    terms = model.update((x, None), {"sgd": torch.optim.SGD(model.parameters(), lr=0.0)}, 1)
    return terms, [p.grad.clone() for p in model.parameters()]


def test_free_bits_are_for_whole_levels_and_below_them_a_level_has_no_gradient():
    model, x = hierarchy(), binary(8)
    plain, _ = after_update(model, x)
    torch.manual_seed(0)
    terms = model.elbo_terms(x)
    level_kls = terms.kl.mean(0).detach()
    nats = level_kls.sort().values[:2].mean().item()  # between the smallest and the next
    model.free_bits = nats
    counted = terms.kl.mean(0)[level_kls > nats].sum()
    right = torch.autograd.grad(terms.reconstruction.mean() + counted, list(model.parameters()))
    freed, gradients = after_update(model, x)
    assert freed["kl"] == plain["kl"]
    expected = freed["reconstruction"] + level_kls.clamp(min=nats).sum()
    torch.testing.assert_close(freed["loss"], expected)
    assert freed["loss"] > plain["loss"]
    torch.testing.assert_close(free_bits(terms.kl, nats), counted + nats)
    for found, wanted in zip(gradients, right, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def kept(model, monkeypatch, **how):
    """The z of every level that goes down the path while the model is sampled, and the samples."""
    seen = []
    with monkeypatch.context() as patch:
        for level in model.levels:
            below = level.below
            patch.setattr(level, "below", lambda h, z, below=below: seen.append(z) or below(h, z))
        made = model.sample(4, generator=torch.Generator().manual_seed(5), **how)
    return seen, made


@BOTH
@pytest.mark.parametrize("fixed", [(0,), (1,), (0, 2), (0, 1, 2)])
def test_levels_that_are_given_are_kept_and_those_above_them_do_not_notice(architecture, fixed, monkeypatch):
    model = hierarchy(architecture)
    with torch.no_grad():
        z = model.encode(binary(4), noisy=True).z
    free, _ = kept(model, monkeypatch)
    seen, made = kept(model, monkeypatch, given={at: z[at] for at in fixed})
    for at in range(3):
        if at in fixed:
            assert torch.equal(seen[at], z[at])
        elif at < fixed[0]:
            assert torch.equal(seen[at], free[at])
        else:  # the same noise around another mean
            assert not torch.equal(seen[at], free[at])
    if len(fixed) == 3:  # nothing is left to chance
        again = model.sample(4, given=dict(enumerate(z)))
        torch.testing.assert_close(made, again)


def test_one_z_may_be_given_for_all_and_parts_of_a_sample_get_their_own(monkeypatch):
    model = hierarchy()
    z = torch.randn(7, 3)
    one = model.sample(7, given={1: z[:1]}, generator=torch.Generator().manual_seed(0))
    all_the_same = model.sample(7, given={1: z[:1].expand(7, 3)}, generator=torch.Generator().manual_seed(0))
    assert torch.equal(one, all_the_same)
    whole = model.sample(7, given={1: z}, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr("gm_lib.vae.model_base.VALUES_AT_ONCE", 2 * model.values_per_draw)
    cut = model.sample(7, given={1: z}, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(whole, cut)


def test_a_level_or_shape_that_is_not_there_is_refused():
    model = hierarchy()
    with pytest.raises(ValueError, match="level 3: there are 3, from 0 at the top"):
        model.sample(2, given={3: torch.zeros(2, 1)})
    with pytest.raises(ValueError, match=r"given\[1\] must be z of the shape \(2, 3\), or \(1, 3\) for all"):
        model.sample(2, given={1: torch.zeros(3)})


@BOTH
def test_draws_from_the_model_have_the_moments_of_its_levels(architecture, monkeypatch):
    model = hierarchy(architecture)
    seen = []
    below = model.levels[0].below
    monkeypatch.setattr(model.levels[0], "below", lambda h, z: seen.append(z) or below(h, z))
    pixels = model.sample(5_000, noisy=True)
    assert set(pixels.unique().tolist()) == {0.0, 1.0}
    mean, log_var = model.levels[0].prior(model.start[None].detach())
    z = torch.cat(seen).detach()
    assert_unbiased(z, mean[0].detach(), standard_errors=5)
    assert_unbiased((z - mean.detach()).square(), log_var[0].detach().exp(), standard_errors=6)


def test_encode_gives_the_levels_at_their_means_or_at_draws_and_reconstruct_decodes_the_first():
    model, x = hierarchy(), binary(4)
    found = model.encode(x)
    walked, logits = walked_by_hand(model, x, torch.zeros(4, model.latent_dim))
    for ours, (z, _, _) in zip(found.z, walked, strict=True):
        torch.testing.assert_close(ours, z)
    torch.testing.assert_close(model.reconstruct(x), logits.sigmoid().detach())
    torch.testing.assert_close(model.decode(found.mean), found.params)
    one, same, other = (
        model.encode(x, noisy=True, generator=torch.Generator().manual_seed(seed)).z for seed in (0, 0, 1)
    )
    assert all(map(torch.equal, one, same))
    assert not any(map(torch.equal, one, other))


def test_a_level_that_q_leaves_to_the_prior_has_no_active_units():
    model, x = hierarchy(stir=6.0), binary(200)
    torch.nn.init.zeros_(model.levels[1].q.weight)
    torch.nn.init.zeros_(model.levels[1].q.bias)
    variance = evaluation.active_units(model, x).variance
    assert variance.shape == (6,)
    assert variance[2:5].max() == 0  # though its z moves with the level above
    assert model.encode(x).z[1].var(0).max() > 1e-3
    assert variance[:2].max() > 1e-3


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("mlp", {"lr": 1e-2}),
        ("mlp", {"lr": 1e-2, "k": 4}),
        ("mlp", {"lr": 2e-3, "optimizer": "muon"}),
        ("conv", {"lr": 1e-2}),
        ("conv", {"lr": 1e-2, "k": 4}),
    ],
)
def test_training_on_four_images_mostly_halves_the_cost_of_coins_and_always_keeps_above_the_entropy(
    architecture, settings
):
    """Mostly: in two of three trainings. Some first weights leave two images to the coins."""
    patterns = torch.zeros(4, 1, 6, 6)
    patterns[0, :, ::2], patterns[1, :, 1::2], patterns[2, :, :, ::2], patterns[3, :, :, 1::2] = 1, 1, 1, 1
    halved, seeds = 0, iter(range(3))
    while halved < 2:
        seed = next(seeds, None)
        assert seed is not None, "two of three trainings have not halved it"
        torch.manual_seed(seed)
        model = hierarchy(architecture, shape=(1, 6, 6), stir=0.1, width=16, **settings)
        optimizers = model.optimizers()
        for step in range(100):
            model.update((patterns.repeat(4, 1, 1, 1), None), optimizers, step + 1)
        with torch.no_grad():
            cost = -iwae_bound(model.log_weights(patterns.repeat(50, 1, 1, 1), k=20))
        assert cost.mean() > math.log(4) - 4 * cost.std() / math.sqrt(len(cost))
        halved += bool(cost.mean() < 12)  # 36 fair coins cost 25


@BOTH
@pytest.mark.parametrize("name", sorted(LIKELIHOODS))
def test_an_update_leaves_a_gradient_on_every_parameter_and_moves_it(architecture, name):
    model = HierarchicalVAE(likelihood(name, (1, 4, 4)), [2, 2], 6, architecture=architecture)
    before = [p.detach().clone() for p in model.parameters()]
    terms = model.update((binary(4, (1, 4, 4)), None), model.optimizers(), 1)
    for p, old in zip(model.parameters(), before, strict=True):
        assert bool(p.grad.abs().sum() > 0)
        assert not torch.equal(p, old)
    assert set(terms) == {"loss", "reconstruction", "kl"}


def test_every_weight_has_one_optimizer_and_matrices_have_muon():
    model = digit_hierarchical_vae(hidden=8, latent_dim=2, likelihood="gaussian", optimizer="muon")
    groups = {name: o.param_groups for name, o in model.optimizers().items()}
    owned = [p for of in groups.values() for group in of for p in group["params"]]
    assert len(owned) == len({id(p) for p in owned}) == len(list(model.parameters()))
    assert {p.ndim for group in groups["muon"] for p in group["params"]} == {2}
    assert all(p.ndim < 2 for group in groups["adam"] for p in group["params"])


@pytest.mark.parametrize(("optimizer", "lr"), [("adam", 1e-3), ("muon", 2e-3)])
def test_a_start_with_large_steps_stays_finite(optimizer, lr):
    # Muon's steps are ten times as long: 0.02.
    model = digit_hierarchical_vae(hidden=32, levels=5, lr=lr, optimizer=optimizer)
    optimizers = model.optimizers()
    for step in range(60):
        x = (torch.rand(32, 1, 28, 28) < torch.rand(32, 1, 1, 1)).float()
        terms = model.update((x, None), optimizers, step + 1)
        assert all(bool(value.isfinite()) for value in terms.values())


@BOTH
def test_log_variances_are_held_where_a_step_went_far_too_far(architecture):
    model = hierarchy(architecture)
    with torch.no_grad():
        for level, dim in zip(model.levels, model.latent_dims, strict=True):
            level.p.bias[dim:] = 1e6
            level.q.bias[dim:] = 1e6
    terms = model.elbo_terms(binary(4))
    assert bool(terms.elbo.isfinite().all())
    assert bool(model.sample(4).isfinite().all())


@BOTH
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(architecture, tmp_path):
    def run(steps, out):
        torch.manual_seed(1)
        model = hierarchy(architecture)
        grey = torch.rand(20, *SHAPE, generator=torch.Generator().manual_seed(2))
        batches = Batches(grey, batch_size=4, seed=3, device="cpu", dynamic_binarization=True)
        fit(model, batches, steps=steps, out=out, average=0.9, device="cpu", progress=False)

    run(9, tmp_path / "whole")
    run(4, tmp_path / "parts")
    run(9, tmp_path / "parts")
    assert_same_state(checkpointed(tmp_path / "whole"), checkpointed(tmp_path / "parts"))


@BOTH
def test_float64_and_bfloat16_work(architecture):
    x = binary(4)
    assert hierarchy(architecture).double().elbo(x.double()).dtype == torch.float64
    model = hierarchy(architecture, stir=1.0)
    eps = torch.randn(8, model.latent_dim)
    exact = model._infer(x, eps)
    with torch.autocast("cpu", torch.bfloat16):
        found = model._infer(x, eps)
    for part, other in zip((*found.z, *found[1:]), (*exact.z, *exact[1:]), strict=True):
        assert part.dtype == torch.float32
        assert (part - other).abs().max() < 0.1 * other.abs().max()
    history = fit(model, [(x, None)], steps=3, precision="bfloat16", device="cpu", progress=False)
    assert math.isfinite(history.final("loss"))


def test_where_tensors_are_made_by_default_does_not_matter():
    model, x = digit_hierarchical_vae(hidden=4, latent_dim=2), torch.zeros(3, 1, 28, 28)
    with torch.device("meta"):
        model.update((x, None), model.optimizers(), 1)
        assert model.sample(3, noisy=True, given={0: model.encode(x, noisy=True).z[0]}).is_cpu
        assert evaluation.log_likelihood(model, x, k=2).bound.is_cpu
        assert evaluation.active_units(model, x).variance.is_cpu


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 7, 13), (2, 1, 1)])
def test_maps_are_a_quarter_of_the_image_above_and_half_of_it_below(shape):
    model, x = hierarchy("conv", dims=(2, 1, 3), shape=shape), binary(2, shape)
    quarter, half = (tuple(math.ceil(side / by) for side in shape[1:]) for by in (4, 2))
    assert model.level_shapes == [(2, *quarter), (1, *quarter), (3, *half)]
    assert model.latent_dim == sum(map(math.prod, model.level_shapes))
    assert model.reconstruct(x).shape == x.shape
    assert model.log_weights(x, k=3).shape == (3, 2)


@BOTH
def test_the_config_rebuilds_the_model(architecture):
    settings = {"levels": 2, "latent_dim": 3, "hidden": 8, "likelihood": "gaussian", "beta": 2.0, "lr": 1e-4}
    model = digit_hierarchical_vae(architecture=architecture, decay_steps=5, free_bits=0.5, **settings)
    again = digit_hierarchical_vae(**model.config)
    again.load_state_dict(model.state_dict())
    assert (again.beta, again.lr, again.decay_steps, again.free_bits) == (2.0, 1e-4, 5, 0.5)
    assert again.level_shapes == model.level_shapes
    assert digit_hierarchical_vae(architecture=architecture).config["hidden"] in (400, 48)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k": 5, "beta": 2.0}, "has none"),
        ({"k": 5, "free_bits": 0.1}, "has none"),
        ({"levels": 0}, "levels must be a whole number, at least 1"),
        ({"latent_dim": 0}, "latent_dims must be a whole number"),
        ({"hidden": 0}, "width must be a whole number"),
        ({"architecture": "conv", "optimizer": "muon"}, "take 'adam'"),
        ({"architecture": "cnv"}, "did you mean 'conv'"),
        ({"optimizer": "mun"}, "did you mean"),
        ({"sigma": 0.1}, "gaussian"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        digit_hierarchical_vae(**settings)
    with pytest.raises(ValueError, match="at least one level"):
        HierarchicalVAE(Bernoulli(SHAPE), [], 4)


def test_other_data_than_the_models_is_refused():
    model = hierarchy()
    with pytest.raises(ValueError, match="exactly 0 or 1"):
        model.check((binary(2) + 0.5, None))
    with pytest.raises(ValueError, match=r"expects x of shape \(n, 1, 5, 7\)"):
        model.elbo(torch.zeros(2, 1, 5, 6))
    with pytest.raises(ValueError, match="computes in"):
        model.log_weights(binary(2).double(), k=2)


def test_measures_that_need_one_gaussian_for_each_example_refuse_a_hierarchy_by_name():
    model = digit_hierarchical_vae(levels=2, latent_dim=2, hidden=8)
    x = (torch.rand(4, 1, 28, 28) < 0.5).float()
    with pytest.raises(TypeError, match="not Inferred"):
        evaluation.split_rate(model, x)
    with pytest.raises(TypeError, match="not Inferred"):
        refine(model, x, steps=1)
