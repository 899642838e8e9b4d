"""The files of a small course to try the tools on: two chapters, one of several pages, and the settings."""

from make_readme import BEGIN, END

TOY_CHAPTER = '''\
---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# 7 · A toy

Reads [chapter 8](08_next.md#a-section), [the notation](../notation.md#sets) and
[a paper](https://example.org/a.md). Mathematics stays: $\\mathbb E[z](\\theta)$ and $f[x](y.md$.
**Time:** 5 minutes to read, 15 for the exercises; no computing.

```{code-cell} ipython3
:tags: [imports]
import math

from gm_lib.exercises import check, hint
```

## First

> **Exercise 7.1** · ●○○ · 5 min. Write `double`.

```{code-cell} ipython3
:tags: [exercise]
def double(x):
    """Twice x."""
    ### BEGIN SOLUTION
    secret_of_double = x + x
    return secret_of_double
    ### END SOLUTION
```

```{code-cell} ipython3
check("7.1", double)
# hint("7.1")
```

> **Exercise 7.2** · ●●● · 10 min. Give `area` of a circle with this `radius`.

```{code-cell} ipython3
radius = 2.0
```

```{code-cell} ipython3
:tags: [exercise]
### BEGIN SOLUTION
_secret_of_area = radius**2  # squared first
area = math.pi * _secret_of_area
### END SOLUTION
```

```{code-cell} ipython3
check("7.2", area)
# hint("7.2")
```

```{code-cell} ipython3
---
tags: [hide-input]
mystnb:
  image:
    alt: Nothing to see.
---
print("the chapter goes on")
```
'''

NEXT_CHAPTER = """\
---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# 8 · Next

**Time:** 5 minutes to read, 0 for the exercises; no computing.

```{code-cell} ipython3
:tags: [imports]
import math
```
"""

CONFIG = """\
repository:
  url: https://github.com/someone/some.course
  branch: main
"""

ARC = """\
| | chapter | the question it answers |
|---|---|---|
| | 06 Before *(coming)* | Why? |
| **I** | [07 A toy](chapters/07_toy.md) | What for? |
| | [08 What is next?](chapters/08_next.md) | How? |
"""

README = f"""\
# Toy

{BEGIN}
old
{END}

By hand.
"""

CHANGELOG = """\
# Changelog

## Unreleased

### Added

- A toy, ## and all.

## 1.2.2 - 2020-02-02

- Nothing.
"""

CITATION = """\
cff-version: 1.2.0
title: Toy
version: 1.2.2
date-released: 2020-02-02
license: MIT
"""


def _page(label: str, title: str, first: int) -> str:
    """A page of chapter 9 with two exercises, the first of them numbered ``first``."""
    page = TOY_CHAPTER.replace("# 7 · A toy", f"# {label} · {title}")
    return page.replace("7.1", f"9.{first}").replace("7.2", f"9.{first + 1}")


PARENT = """\
# 9 · Water

| page | what it does |
|---|---|
| [09a Ice](chapters/09a_ice.md) | It floats. |
| [09b Snow](chapters/09b_snow.md) | It falls. |
| 09c Steam *(coming)* | It rises. |
"""

# Chapter 9 and its place in the arc, for a course that has them besides FILES.
LETTERED = {
    "book/water.md": PARENT,
    "book/chapters/09a_ice.md": _page("9a", "Ice", 1),
    "book/chapters/09b_snow.md": _page("9b", "Snow", 3).replace("import math\n", "import math, cmath\n"),
    "book/intro.md": f"{ARC}| | [09 Water](water.md) | Where? |\n",
}

FILES = {
    "book/chapters/07_toy.md": TOY_CHAPTER,
    "book/chapters/08_next.md": NEXT_CHAPTER,
    "book/intro.md": ARC,
    "book/notation.md": "# Notation\n",
    "README.md": README,
    "CHANGELOG.md": CHANGELOG,
    "CITATION.cff": CITATION,
    "gm_lib/__init__.py": '__version__ = "1.2.3.dev0"\n',
    "_config.yml": CONFIG,
}
