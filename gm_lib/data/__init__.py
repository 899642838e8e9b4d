"""Data: images, speech, music and where they come from, batches on the device, 2-D distributions.

Two environment variables decide where files come from: ``GM_DATA`` names the folder that is looked into
first, and with ``GM_OFFLINE=1`` nothing is ever downloaded.
"""

from gm_lib.data.batches import Batch, Batches, binarize, check_images, dequantize
from gm_lib.data.images import ImageData, Split, images
from gm_lib.data.music import MusicData, Pieces, chorales, notes_of, piano_roll
from gm_lib.data.sources import DownloadError
from gm_lib.data.speech import Recordings, SpeechData, spoken_digits
from gm_lib.data.stacks import Stacks, stacked
from gm_lib.data.toys import TOYS, toy

__all__ = [
    "TOYS",
    "Batch",
    "Batches",
    "DownloadError",
    "ImageData",
    "MusicData",
    "Pieces",
    "Recordings",
    "SpeechData",
    "Split",
    "Stacks",
    "binarize",
    "check_images",
    "chorales",
    "dequantize",
    "images",
    "notes_of",
    "piano_roll",
    "spoken_digits",
    "stacked",
    "toy",
]
