"""Data: images, speech, tables and where they come from, batches on the device, distributions known exactly.

Two environment variables decide where files come from: ``GM_DATA`` names the folder that is looked into
first, and with ``GM_OFFLINE=1`` nothing is ever downloaded.
"""

from gm_lib.data.batches import Batch, Batches, binarize, check_images, dequantize
from gm_lib.data.images import ImageData, Split, images
from gm_lib.data.prose import Alphabet, ProseData, names, shakespeare
from gm_lib.data.rows import Column, Rows
from gm_lib.data.sources import DownloadError
from gm_lib.data.speech import Recordings, SpeechData, spoken_digits
from gm_lib.data.stacks import Stacks, stacked
from gm_lib.data.tables import TABLES, TableData, split_table, table_data
from gm_lib.data.toys import TOYS, toy

__all__ = [
    "TABLES",
    "TOYS",
    "Alphabet",
    "Batch",
    "Batches",
    "Column",
    "DownloadError",
    "ImageData",
    "ProseData",
    "Recordings",
    "Rows",
    "SpeechData",
    "Split",
    "Stacks",
    "TableData",
    "binarize",
    "check_images",
    "dequantize",
    "images",
    "names",
    "shakespeare",
    "split_table",
    "spoken_digits",
    "stacked",
    "table_data",
    "toy",
]
