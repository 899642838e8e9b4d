"""The files of a small course to try the tools on: two chapters, what tells of them, and the settings."""

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
