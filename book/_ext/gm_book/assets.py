"""Files that the pages need and that Sphinx does not bring: MathJax and the student notebooks."""

import shutil
from pathlib import Path

from sphinx.application import Sphinx

from gm_lib.system.files import package_folder

MATHJAX_PACKAGE = "sphinx-mathjax-offline"
# Of the 15 MB: the component for TeX input, its fonts, and the TeX packages it loads when a page uses one.
MATHJAX_PARTS = ("tex-chtml.js", "output/chtml/fonts/woff-v2", "input/tex/extensions")


def copy_mathjax(app: Sphinx) -> None:
    """Copy the part of MathJax that the pages use to where ``mathjax_path`` points."""
    source = package_folder(MATHJAX_PACKAGE) / "static" / "mathjax"
    target = Path(app.outdir) / "_static" / "mathjax"
    for part in MATHJAX_PARTS:
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part, dirs_exist_ok=True)
        else:
            shutil.copy2(source / part, target / part)


def copy_notebooks(app: Sphinx, exception: Exception | None) -> None:
    """Copy the student editions next to the pages, for the download button."""
    if exception is not None:
        return
    target = Path(app.outdir) / "notebooks"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for notebook in sorted((Path(app.srcdir) / "notebooks").glob("*.ipynb")):
        shutil.copy2(notebook, target)
