"""Which files the published data sets consist of, and how each is known to be whole.

The folders are torchvision's, so that a copy made by it serves here. MD5 sums are those in its source.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class DataFile:
    """A published file and its checksums, written as pooch does: ``"sha256:…"`` or ``"md5:…"``.

    ``size``: in bytes, or None. ``checksum`` is that of the file itself, None where only that of the .gz file
    is published; ``packed`` is that of the .gz file which the mirrors give. ``plain``: the name by which the
    mirrors have the file as it is, where they have no .gz.
    """

    name: str
    size: int | None = None
    checksum: str | None = None
    packed: str | None = None
    plain: str | None = None

    @property
    def holds(self) -> str:
        """What is in it, for people: ``"training images"``, or the name where that would say no more."""
        part, _, rest = self.name.partition("-")
        if part not in ("train", "t10k"):
            return self.name
        return f"{'training' if part == 'train' else 'test'} {rest.partition('-')[0]}"


@dataclass(frozen=True)
class DataSet:
    """A published set of files: name, folder (in GM_DATA and in the cache), and the mirrors that have it.

    The mirrors have each file as .gz, or all of them as one ``archive``: a tar.gz or zip of this name and
    checksum in which they lie in ``folder``, or where ``archived_in`` says. ``checksum``: of the contents of
    all files, one after the other, for a set of so many that each one's own would fill pages.
    """

    name: str
    folder: str
    files: tuple[DataFile, ...]
    mirrors: tuple[str, ...]
    archive: tuple[str, str] | None = None
    archived_in: str | None = None
    checksum: str | None = None


FSDD_SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
FSDD_RECORDINGS = 50  # of each digit by each speaker

_SIZES = {
    "train-images-idx3-ubyte": 47_040_016,
    "train-labels-idx1-ubyte": 60_008,
    "t10k-images-idx3-ubyte": 7_840_016,
    "t10k-labels-idx1-ubyte": 10_008,
}


def _like_mnist(name: str, folder: str, mirror: str, md5: tuple[str, str, str, str]) -> DataSet:
    """Return a set with the names and sizes of MNIST's files; ``md5``: of its .gz files, in their order."""
    files = (
        DataFile(name, size, packed=f"md5:{sum}")
        for (name, size), sum in zip(_SIZES.items(), md5, strict=True)
    )
    return DataSet(name, f"{folder}/raw", tuple(files), (mirror,))


SETS = {
    "mnist": DataSet(
        name="MNIST",
        folder="MNIST/raw",
        files=(
            DataFile(
                "train-images-idx3-ubyte",
                _SIZES["train-images-idx3-ubyte"],
                "sha256:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            DataFile(
                "train-labels-idx1-ubyte",
                _SIZES["train-labels-idx1-ubyte"],
                "sha256:65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            DataFile(
                "t10k-images-idx3-ubyte",
                _SIZES["t10k-images-idx3-ubyte"],
                "sha256:0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            DataFile(
                "t10k-labels-idx1-ubyte",
                _SIZES["t10k-labels-idx1-ubyte"],
                "sha256:ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ),
        # The files are no longer at the address where they were first published; these two copies are public.
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
    ),
    "fashion_mnist": _like_mnist(
        "Fashion-MNIST",
        "FashionMNIST",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        (
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
    ),
    "kmnist": _like_mnist(
        "KMNIST",
        "KMNIST",
        "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        (
            "bdb82020997e1d708af4cf47b453dcf7",
            "e144d726b3acfaa3e44228e80efcd344",
            "5c965bf0a639b31b8f53240b1b52f4d7",
            "7320c461ea6c1c855c0b718fb2a4b134",
        ),
    ),
    "cifar10": DataSet(
        name="CIFAR-10",
        folder="cifar-10-batches-py",
        files=(
            DataFile("data_batch_1", checksum="md5:c99cafc152244af753f735de768cd75f"),
            DataFile("data_batch_2", checksum="md5:d4bba439e000b95fd0a9bffe97cbabec"),
            DataFile("data_batch_3", checksum="md5:54ebc095f3ab1f0389bbae665268c751"),
            DataFile("data_batch_4", checksum="md5:634d18415352ddfa80567beed471001a"),
            DataFile("data_batch_5", checksum="md5:482c414d41f54cd18b22e5b47cb7c3cb"),
            DataFile("test_batch", checksum="md5:40351d587109b95175f43aff81a1287e"),
            DataFile("batches.meta", checksum="md5:5ff9c542aee3614f3951f8cda6e48888"),
        ),
        mirrors=("https://www.cs.toronto.edu/~kriz/",),
        archive=("cifar-10-python.tar.gz", "md5:c58f30108f718f92721af3b95e74349a"),
    ),
    "fsdd": DataSet(
        name="the Free Spoken Digit Dataset",
        folder="fsdd/recordings",
        files=tuple(
            DataFile(f"{digit}_{speaker}_{index}.wav")
            for digit in range(10)
            for speaker in FSDD_SPEAKERS
            for index in range(FSDD_RECORDINGS)
        ),
        mirrors=("https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/",),
        # Both checksums were computed from the files of the tag v1.0.10, its commit d6938f9: that of the
        # archive by `git archive --format=zip` at the time zone of GitHub's.
        archive=("v1.0.10.zip", "sha256:c680098f5d2355ba7cc4bd8b0ca9e0a24c00ebe3b4c552208889a4d28d4fbc2b"),
        archived_in="free-spoken-digit-dataset-1.0.10/recordings",
        checksum="sha256:785339f71d0b6135255dedb18ad7d4ffd064c47f58940c1489407a0e278b5322",
    ),
    # Both texts at a commit of their repositories; the checksums were computed from the files there.
    "names": DataSet(
        name="the list of names",
        folder="text",
        files=(
            DataFile(
                "names.txt",
                228_145,
                "sha256:0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
                plain="names.txt",
            ),
        ),
        mirrors=(
            "https://raw.githubusercontent.com/karpathy/makemore/988aa59e4d8fefa526d06f3b453ad116258398d4/",
        ),
    ),
    "shakespeare": DataSet(
        name="tiny Shakespeare",
        folder="text",
        files=(
            DataFile(
                "tinyshakespeare.txt",
                1_115_394,
                "sha256:86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
                plain="input.txt",
            ),
        ),
        mirrors=(
            "https://raw.githubusercontent.com/karpathy/char-rnn/"
            "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/",
        ),
    ),
}
