"""Automatic checks and hints for the exercises of every chapter.

``check("8.1", answer)`` says whether an answer is right and, if not, what is wrong with it; ``hint("8.1")``
gives the next of up to three hints. Each chapter's checks are in a module of their own, ``chapter_08.py``,
imported when the first of its exercises is asked for. ``gm_lib.exercises.core`` tells how to write one.
"""

from gm_lib.exercises.core import check, hint

__all__ = ["check", "hint"]
