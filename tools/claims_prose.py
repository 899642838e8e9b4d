"""Claims about text: what beats counting on names, and what does not."""

from __future__ import annotations

from claims import Asked, Measured, at_least, at_most, claim
from gm_lib.data import names
from gm_lib.evaluation import WittenBell, nats_per_character
from make_pretrained import names_gan, names_model, names_vae

CHARACTER = "nats per character"
ORDER = 4  # the best on the validation names


@claim(
    title="Models of names",
    claim=(
        "A recurrent network beats counting by Witten and Bell's rule, on names that it has not seen, by at "
        "least 0.05 nats per character. A VAE with that network for its decoder collapses; one whose "
        "code is kept by free bits and word dropout uses it. Names of a GAN are judged by counting. The "
        "models that come with the library are those of seed 0."
    ),
    data=(
        "The names of makemore, each once: 25,494 for training, 2,000 test names; ends are counted as "
        "characters"
    ),
    counting=Asked("counting by their rule with a context of 4, test names", CHARACTER),
    network=Asked("recurrent network, test names", CHARACTER),
    ahead=Asked("by how much the network is better", CHARACTER, gate=at_least(0.05)),
    plain_bound=Asked("VAE without help, bound of 100 draws", CHARACTER),
    plain_kl=Asked("its KL per name", "nats", gate=at_most(0.5)),
    helped_elbo=Asked("VAE with free bits and word dropout, -ELBO", CHARACTER),
    helped_bound=Asked("its bound of 100 draws", CHARACTER),
    helped_kl=Asked("its KL per name", "nats", gate=at_least(6.0)),
    gan_by_counting=Asked("2,000 names of the GAN, by counting", CHARACTER),
    gan_different=Asked("different ones among them", "names"),
)
def prose_models(seed: int) -> Measured:
    """Train the four models from ``seed`` by the functions that made the shipped ones."""
    data = names(fallback=False)
    counting = WittenBell(data.train, ORDER, data.alphabet.symbols).log_prob(data.test).sum(1)
    by_counts = nats_per_character(counting, data.test).mean
    network = names_model(seed, None).facts["nats_per_character"]["test"]["mean"]
    plain, helped = (
        names_vae(name, seed, None).facts["nats_per_character"]["test"]
        for name in ("names_vae_collapsed", "names_vae")
    )
    samples = names_gan(seed, None).facts["samples"]
    return {
        "counting": by_counts,
        "network": network,
        "ahead": by_counts - network,
        "plain_bound": plain["bound"]["mean"],
        "plain_kl": plain["kl"],
        "helped_elbo": helped["elbo"]["mean"],
        "helped_bound": helped["bound"]["mean"],
        "helped_kl": helped["kl"],
        "gan_by_counting": samples["nats_per_character_by_counts_of_4"],
        "gan_different": samples["different"],
    }
