"""Models trained beforehand, with a card for each that says how, on what, and how well they do.

The weights come with the library, made by ``tools/make_pretrained.py``. None is loaded unless its checksum is
the one on its card.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from gm_lib.beyond import VAEGAN, CouplingFlow, Diffusion, FlowMatching, MaskedAutoregressive
from gm_lib.beyond import digit_autoregressive as untrained_autoregressive
from gm_lib.beyond import digit_diffusion as untrained_diffusion
from gm_lib.beyond import digit_flow as untrained_flow
from gm_lib.beyond import digit_flow_matching as untrained_flow_matching
from gm_lib.beyond import digit_vae_gan as untrained_vae_gan
from gm_lib.classifier import DigitClassifier, ImageClassifier, SpeechClassifier
from gm_lib.data.shapes import SHAPE
from gm_lib.gan import GAN, DCGANDiscriminator, DCGANGenerator, WaveGenerator
from gm_lib.gan import digit_gan as untrained_gan
from gm_lib.gan.text import TextGenerator
from gm_lib.system.choose import choose
from gm_lib.training import load_weights
from gm_lib.vae import VAE, CharacterModel, SequenceVAE, TextVAE
from gm_lib.vae import digit_vae as untrained_vae
from gm_lib.vae import music_vae as untrained_music_vae

WEIGHTS = Path(__file__).with_name("weights")
Model = TypeVar("Model", bound=nn.Module)


def digit_classifier() -> DigitClassifier:
    """Return the classifier that judges samples, trained on MNIST and on scikit-learn's digits.

    On the CPU, in evaluation mode, without gradients for its weights. Raises what :func:`card` raises, and
    ``ValueError`` for weights that are not those of the card.
    """
    with torch.device("cpu"):
        return _load("digit_classifier", DigitClassifier())


def speech_classifier() -> SpeechClassifier:
    """Return the classifier of spoken digits, trained on recordings of the Free Spoken Digit Dataset.

    Its weights are under CC BY-SA 4.0, as the recordings are that it learned from. On the CPU, in evaluation
    mode, without gradients for its weights. Raises what :func:`digit_classifier`
    raises.
    """
    with torch.device("cpu"):
        return _load("speech_classifier", SpeechClassifier())


def speech_vae() -> VAE:
    """Return a conditional VAE of pictures of spoken digits, ``gm_lib.sound.log_mel``'s, with 16 dimensions.

    Its weights are under CC BY-SA 4.0, as the recordings are that it was trained on. On the CPU, in
    evaluation mode, without gradients for its weights. Raises what :func:`digit_classifier` raises.
    """
    with torch.device("cpu"):
        return _load("speech_vae", untrained_vae(**card("speech_vae")["config"]))


def speech_gan() -> DCGANGenerator:
    """Return the generator of a conditional DCGAN of pictures of spoken digits (n, 1, 64, 48).

    It is called as :func:`digit_gan` is. Licence, place and errors: as :func:`speech_vae`.
    """
    with torch.device("cpu"):
        return _load("speech_gan", DCGANGenerator(**_players("speech_gan")))


def speech_wave_gan() -> WaveGenerator:
    """Return the generator of a conditional GAN of waveforms of spoken digits (n, 1, 6016), in [-1, 1].

    It is called as :func:`digit_gan` is. Licence, place and errors: as :func:`speech_vae`.
    """
    with torch.device("cpu"):
        return _load("speech_wave_gan", WaveGenerator(**_players("speech_wave_gan")))


def music_vae() -> SequenceVAE:
    """Return a model of chorales in C, whose keys are autoregressive given a code for each quarter note.

    ``sample(n, lengths)`` makes piano rolls (n, steps, 88). Its card, ``music_vae``, has its nats per time
    step. On the CPU, in evaluation mode, without gradients for its weights. Raises what
    :func:`digit_classifier` raises.
    """
    with torch.device("cpu"):
        return _load("music_vae", untrained_music_vae(**card("music_vae")["config"]))


def names_model() -> CharacterModel:
    """Return a recurrent autoregressive model of first names, ``gm_lib.data.names``.

    Its card, ``names_model``, has its nats per character. On the CPU, in evaluation mode, without gradients
    for its weights. Raises what :func:`digit_classifier` raises.
    """
    with torch.device("cpu"):
        return _load("names_model", CharacterModel(**card("names_model")["config"]))


def names_vae(*, collapsed: bool = False) -> TextVAE:
    """Return a VAE of first names whose code says something; with ``collapsed`` one that was not helped.

    Their cards, ``names_vae`` and ``names_vae_collapsed``, have bounds of their likelihoods. As
    :func:`names_model`.
    """
    name = "names_vae_collapsed" if collapsed else "names_vae"
    with torch.device("cpu"):
        return _load(name, TextVAE(**card(name)["config"]))


def names_gan() -> TextGenerator:
    """Return the generator of a GAN of first names: z (n, latent_dim) to one-hot texts. As the others."""
    own = ("symbols", "length", "code_dim", "width", "temperature")
    with torch.device("cpu"):
        return _load("names_gan", TextGenerator(**{key: card("names_gan")["config"][key] for key in own}))


def shakespeare_model() -> CharacterModel:
    """Return a recurrent autoregressive model of ``gm_lib.data.shakespeare``. As :func:`names_model`."""
    with torch.device("cpu"):
        return _load("shakespeare_model", CharacterModel(**card("shakespeare_model")["config"]))


def shapes_classifier() -> ImageClassifier:
    """Return the classifier of coloured shapes, ``gm_lib.data.images("shapes")``, which reads the shape.

    On the CPU, in evaluation mode, without gradients for its weights. Raises what :func:`digit_classifier`
    raises.
    """
    with torch.device("cpu"):
        return _load("shapes_classifier", ImageClassifier((3, 32, 32)))


def shapes_vae() -> VAE:
    """Return a convolutional VAE of coloured shapes, p(x | z) the discretized logistic with one scale.

    Its card, ``shapes_vae``, has its bits per dimension. On the CPU, in evaluation mode, without gradients
    for its weights. Raises what :func:`digit_classifier` raises.
    """
    with torch.device("cpu"):
        return _load("shapes_vae", untrained_shapes_vae(**card("shapes_vae")["config"]))


def shapes_gan() -> DCGANGenerator:
    """Return the generator of a DCGAN of coloured shapes: of z (n, latent_dim), images (n, 3, 32, 32).

    In [0, 1], of z from N(0, I). On the CPU, in evaluation mode, without gradients for its weights. Raises
    what :func:`digit_classifier` raises.
    """
    with torch.device("cpu"):
        return _load("shapes_gan", DCGANGenerator(**_players("shapes_gan")))


def untrained_shapes_vae(*, width: int, latent_dim: int, steps: int = 0) -> VAE:
    """Return the network of :func:`shapes_vae` as it is before its training of ``steps`` updates."""
    return untrained_vae(
        shape=SHAPE,
        architecture="conv",
        hidden=width,
        latent_dim=latent_dim,
        likelihood="shared_discretized_logistic",
        lr=3e-3,
        optimizer="muon",
        decay_steps=steps,
    )


def digit_gan() -> DCGANGenerator:
    """Return the generator of a conditional DCGAN, trained on MNIST for longer than a chapter can.

    It takes z (n, latent_dim) from N(0, I) and the digits to write, y (n,), and returns images (n, 1, 28, 28)
    in [0, 1]. On the CPU, in evaluation mode, without gradients for its weights. Raises what
    :func:`digit_classifier` raises.
    """
    return _digit_players()[0]


def digit_gan_discriminator() -> DCGANDiscriminator:
    """Return the discriminator that :func:`digit_gan` learned from, as it was at the end of the game.

    It takes images (n, 1, 28, 28) in [0, 1] and the digits that they show, y (n,), and returns logits (n,):
    above 0 where it takes an image for a real one. What it says of a digit under a wrong label means nothing:
    neither player was ever shown one. On the CPU, in evaluation mode, without gradients for its
    weights. Raises what :func:`digit_classifier` raises.
    """
    return _digit_players()[1]


def _digit_players() -> tuple[DCGANGenerator, DCGANDiscriminator]:
    own = _players("digit_gan")
    with torch.device("cpu"):
        generator = DCGANGenerator(**own)
        discriminator = DCGANDiscriminator(own["width"], own["num_classes"])
        _load("digit_gan", nn.ModuleDict({"generator": generator, "discriminator": discriminator}))
    return generator, discriminator


def digit_flow_matching() -> FlowMatching:
    """Return flow matching of digits with labels, trained on MNIST.

    Its card, ``digit_flow_matching``, judges samples by several numbers of Euler's steps. On the CPU, in
    evaluation mode, without gradients for its weights. Raises what :func:`digit_classifier` raises.
    """
    with torch.device("cpu"):
        return _load("digit_flow_matching", untrained_flow_matching(**card("digit_flow_matching")["config"]))


def digit_gan_midway(*, labels: bool = False) -> GAN:
    """Return a GAN of digits in the middle of its training on MNIST: both players, ready to go on.

    It is ``gm_lib.gan.digit_gan()`` after 1,000 steps, and with ``labels`` the one of half the width that is
    told the digit, ``digit_gan(width=16, num_classes=10)``, after as many. Their cards, ``digit_gan_midway``
    and ``digit_gan_labels_midway``, hold the ``"history"`` of these steps. Neither the optimizers' moments
    nor the averaged generator were kept: the average begins anew, with the generator itself.

    On the CPU, in training mode. Raises what :func:`digit_classifier` raises.
    """
    name = "digit_gan_labels_midway" if labels else "digit_gan_midway"
    with torch.device("cpu"):
        model = untrained_gan(**card(name)["config"])
        _put(name, nn.ModuleDict({"generator": model.generator, "discriminator": model.discriminator}))
    model.averaged.load_state_dict(model.generator.state_dict())
    return model


def digit_vae(*, plane: bool = False) -> VAE:
    """Return a VAE of digits trained on MNIST for longer than a chapter can, on binarized images.

    It has 50 latent dimensions and the network of Burda et al. 2016; with ``plane`` it is a smaller one with
    two dimensions, whose codes fill a plane. Their cards, ``digit_vae`` and ``digit_vae_plane``, have bounds
    of their likelihoods.

    On the CPU, in evaluation mode, without gradients for its weights. Raises what :func:`digit_classifier`
    raises.
    """
    name = "digit_vae_plane" if plane else "digit_vae"
    with torch.device("cpu"):
        return _load(name, untrained_vae(**card(name)["config"]))


def digit_vae_gan(*, judged: bool = True) -> VAEGAN:
    """Return a VAE-GAN of grey digits trained on MNIST, or without ``judged`` the VAE that is its pair.

    Both began with the same weights and saw the same batches; the VAE had no discriminator. Their card,
    ``digit_vae_gan``, measures both. On the CPU, in evaluation mode, without gradients for its weights.
    Raises what :func:`digit_classifier` raises.
    """
    config = card("digit_vae_gan")["config"]
    with torch.device("cpu"):
        models = {"vae_gan": untrained_vae_gan(**config), "vae": untrained_vae_gan(**config | {"judge": 0.0})}
        _load("digit_vae_gan", nn.ModuleDict(models))
    return models["vae_gan" if judged else "vae"]


def digit_autoregressive() -> MaskedAutoregressive:
    """Return an autoregressive model of binarized digits, trained on MNIST; its log p(x) is exact.

    Its card, ``digit_autoregressive``, has its nats per image. On the CPU, in evaluation mode, without
    gradients for its weights. Raises what :func:`digit_classifier` raises.
    """
    with torch.device("cpu"):
        return _load(
            "digit_autoregressive", untrained_autoregressive(**card("digit_autoregressive")["config"])
        )


def digit_diffusion() -> Diffusion:
    """Return a diffusion model of binarized digits that takes labels, ``gm_lib.beyond.digit_diffusion``'s.

    Its card, ``digit_diffusion``, has a bound of its likelihood. On the CPU, in evaluation mode, without
    gradients for its weights. Raises what :func:`digit_classifier` raises.
    """
    with torch.device("cpu"):
        return _load("digit_diffusion", untrained_diffusion(**card("digit_diffusion")["config"]))


def digit_flow() -> CouplingFlow:
    """Return a flow of grey digits, trained on MNIST for longer than a chapter can.

    Its card, ``digit_flow``, has its bits per dimension. On the CPU, in evaluation mode, without gradients
    for its weights. Raises what :func:`digit_classifier` raises.
    """
    with torch.device("cpu"):
        return _load("digit_flow", untrained_flow(**card("digit_flow")["config"]))


def card(name: str) -> dict[str, Any]:
    """Return what is known of the pretrained model ``name``: command, seed, data, steps, scores, SHA-256.

    Raises ``ValueError`` for a name that is not known, listing those that are, and ``FileNotFoundError`` when
    the library is not whole.
    """
    known = sorted(path.stem for path in WEIGHTS.glob("*.json"))
    if not known:
        raise FileNotFoundError(f"{WEIGHTS} holds no pretrained model. {_REMEDY}")
    return json.loads((WEIGHTS / f"{choose('pretrained model', name, known)}.json").read_text("utf-8"))


def _players(name: str) -> dict[str, Any]:
    """Return what the card of a GAN's generator says of its network, without what it says of the game."""
    own = ("latent_dim", "width", "num_classes", "shape")
    return {key: value for key, value in card(name)["config"].items() if key in own}


_REMEDY = "Install gm_lib again, or make it by python tools/make_pretrained.py in a checkout."


def _load(name: str, model: Model) -> Model:
    """Put the weights called ``name`` into ``model``, and freeze it."""
    _put(name, model)
    return model.eval().requires_grad_(False)


def _put(name: str, model: nn.Module) -> None:
    """Put the weights called ``name`` into ``model``, once their SHA-256 is the card's.

    Weights stored in half precision to save room become those of the model's own precision.
    """
    expected = card(name)["sha256"]
    path = WEIGHTS / f"{name}.safetensors"
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} is missing. {_REMEDY}") from error
    if found != expected:
        raise ValueError(
            f"{path} is not the file that its card describes: its SHA-256 is {found}, expected {expected}. "
            f"{_REMEDY}"
        )
    load_weights(path, model)
