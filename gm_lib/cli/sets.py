"""What a run can learn from, images or sounds: loaded, looked at, heard and judged by one name."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import torch

    from gm_lib.data import ImageData

GREY = ("mnist", "digits", "fashion_mnist", "kmnist")  # 1×28×28
COLOUR = ("cifar10", "shapes")  # 3×32×32
SPEECH = ("fsdd", "synthesized")  # pictures of sounds, 1×64×48, and waveforms
SETS = (*GREY, *COLOUR, *SPEECH)
WAVE = "wave"  # the architecture whose networks make waveforms; all others make pictures
PAUSE = 0.25  # seconds between two sounds in a file
JUDGE_STEPS = 1_500  # of a classifier that is not shipped


def load_sets(name: str, *, waveforms: bool = False, fallback: bool = True) -> "ImageData":
    """Load the set and print the line that says what was loaded; of sounds, pictures or ``waveforms``.

    A waveform is an example of the shape (1, samples).
    """
    from gm_lib.data import ImageData, Split, images, spoken_digits

    if name not in SPEECH:
        return images(name, fallback=fallback)
    speech = spoken_digits(name, fallback=fallback)
    return ImageData(
        speech.name,
        speech.source,
        *(
            Split(part.waveform[:, None] if waveforms else part.x, part.y)
            for part in (speech.train, speech.valid, speech.test)
        ),
    )


def pictures(x: "torch.Tensor", data: str) -> "torch.Tensor":
    """Return what can be looked at: (n, channels, height, width) in [0, 1], with low tones below."""
    if data not in SPEECH:
        return x
    from gm_lib.sound import log_mel

    return (log_mel(x[:, 0]) if x.ndim == 3 else x).flip(-2)


def save_sounds(x: "torch.Tensor", path: Path) -> Path:
    """Write examples of sounds, one after another with a pause between, into one WAV file; return its path.

    What a picture does not tell of a sound is looked for by Griffin and Lim's method.
    """
    import torch.nn.functional as F

    from gm_lib.sound import RATE, save_wav, to_sound

    sounds = x[:, 0] if x.ndim == 3 else to_sound(x)
    save_wav(path, F.pad(sounds, (0, round(PAUSE * RATE))).flatten())
    return path


def as_pictures(model: Any) -> Any:
    """Return a model whose samples are the pictures of the sounds that ``model`` makes."""
    from torch import nn

    from gm_lib.sound import log_mel

    class Pictured(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.num_classes = model, model.num_classes

        def sample(self, n: int, y: Any = None, *, generator: Any = None) -> "torch.Tensor":
            return log_mel(self.model.sample(n, y, generator=generator)[:, 0])

    return Pictured()


def judge_of(sets: "ImageData", device: str | None) -> Any:
    """Return the classifier that judges samples: the shipped one, or one that learns the training split now.

    None stands for the shipped classifier of handwritten digits.
    """
    from gm_lib import pretrained, runtime
    from gm_lib.classifier import ImageClassifier, SpeechClassifier, read_digits
    from gm_lib.data import Batches
    from gm_lib.training import fit

    if sets.name in ("mnist", "digits"):
        return None
    shipped = {"fsdd": pretrained.speech_classifier, "shapes": pretrained.shapes_classifier}
    if sets.name in shipped:
        return shipped[sets.name]()
    where = runtime.device(device)
    with runtime.forked_rng(0):
        classifier = SpeechClassifier() if sets.name in SPEECH else ImageClassifier(sets.train.x.shape[1:])
    batches = Batches(sets.train.x, sets.train.y, batch_size=128, seed=0, device=where)
    fit(classifier, batches, steps=JUDGE_STEPS, seed=0, device=where, progress=sys.stderr.isatty())
    right = read_digits(classifier, sets.valid.x).argmax(-1) == sets.valid.y
    click.echo(
        f"judged by a classifier that learned {sets.name} for {JUDGE_STEPS:,} steps and reads "
        f"{right.double().mean():.1%} of the validation split"
    )
    return classifier
