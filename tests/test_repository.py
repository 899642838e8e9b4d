"""What the repository promises about itself: pages, links, licences, lock, commands, package."""

import ast
import functools
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from sphinx_external_toc.parsing import parse_toc_yaml

from gm_lib import __version__

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")
GUIDES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE-text.md", "book/intro.md", "book/setup.md")
COURSE = "generative-models-course"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


@functools.cache
def tracked_files() -> tuple[Path, ...]:
    """Return the files that git keeps; a source archive has no history, and there is nothing to ask."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return tuple(path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file())


@functools.cache
def tracked_texts() -> dict[str, str]:
    """Return the text of each file that git keeps, by its name; files that are no text are left out."""
    texts = {}
    for path in tracked_files():
        content = path.read_bytes()
        if b"\0" not in content:
            texts[path.relative_to(ROOT).as_posix()] = content.decode("utf-8")
    return texts


def pages() -> list[str]:
    """Return the pages in the table of contents, as file names."""
    return [f"{page}.md" for page in parse_toc_yaml(ROOT / "_toc.yml")]


# --- pages and links


def test_every_entry_in_the_table_of_contents_has_its_page():
    assert [page for page in pages() if not (ROOT / page).is_file()] == []


def test_every_page_of_the_book_is_in_the_table_of_contents():
    written = {path.relative_to(ROOT).as_posix() for path in (ROOT / "book").rglob("*.md")}
    assert written == set(pages())


def relative_links(page: str) -> Iterator[str]:
    prose = re.sub(r"^(```+).*?^\1", "", (ROOT / page).read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if not re.match(r"\w+:|#", target):
            yield target.partition("#")[0]


@pytest.mark.parametrize("page", GUIDES)
def test_every_relative_link_leads_somewhere(page):
    broken = [link for link in relative_links(page) if not ((ROOT / page).parent / link).exists()]
    assert broken == []


def column(number: int, text: str) -> list[str]:
    """Return a column of the table in a text, without its heading."""
    rows = [line.split("|")[number].strip() for line in text.splitlines() if line.startswith("|")]
    return rows[2:]


def arc() -> list[str]:
    """Return the second column of the introduction's table of chapters."""
    text = (ROOT / "book/intro.md").read_text("utf-8")
    return column(2, text.partition("## The whole arc")[2].partition("\n## ")[0])


# The pages above others, by chapter, and the letters of those under them.
ABOVE = {16: ("book/domains", "abcde"), 17: ("book/families", "abcdef")}


def lettered(above: str) -> list[str]:
    """Return the first column of the table on the page above a chapter's others: the pages under it."""
    return column(1, (ROOT / f"{above}.md").read_text("utf-8"))


def linked(rows: list[str]) -> set[str]:
    """Return the pages that rows of a table in book/ link to."""
    return {f"book/{target}" for row in rows for target in re.findall(r"\]\(([^)]+)\)", row)}


def test_the_arc_names_chapters_0_to_18_in_order():
    assert [int(re.search(r"\d+", row)[0]) for row in arc()] == list(range(19))


def test_the_arc_links_the_chapters_that_are_here_and_says_coming_of_the_others():
    chapters = {page for page in pages() if re.match(r"book/chapters/\d\d_", page)}
    assert linked(arc()) == chapters | {f"{above}.md" for above, _ in ABOVE.values()}
    assert [row for row in arc() if ("](" in row) == ("*(coming)*" in row)] == []


@pytest.mark.parametrize("chapter", ABOVE)
def test_the_page_above_others_links_those_that_are_here_and_says_coming_of_the_others(chapter):
    above, letters = ABOVE[chapter]
    rows = lettered(above)
    assert [re.search(r"\d+[a-z] ", row)[0] for row in rows] == [f"{chapter}{letter} " for letter in letters]
    assert linked(rows) == {page for page in pages() if re.match(rf"book/chapters/{chapter}[a-z]_", page)}
    assert [row for row in rows if ("](" in row) == ("*(coming)*" in row)] == []


@pytest.mark.parametrize("chapter", ABOVE)
def test_the_pages_of_a_chapter_stand_under_the_page_above_them_in_the_table_of_contents(chapter):
    above, _ = ABOVE[chapter]
    under = [f"{page}.md" for page in parse_toc_yaml(ROOT / "_toc.yml")[above].child_files()]
    assert under == sorted(linked(lettered(above)))


# --- the bibliography


def bibliography() -> dict[str, dict[str, str]]:
    """Return the fields of each entry of references.bib, by its key."""
    source = (ROOT / "book/references.bib").read_text("utf-8")
    entries = re.findall(r"^@\w+\{([^,]+),\n(.*?)^\}", source, flags=re.MULTILINE | re.DOTALL)
    field = re.compile(r"^\s+(\w+)\s*=\s*\{(.*)\},$", re.MULTILINE)
    assert source.count("\n@") == len(entries), "an entry of references.bib could not be read"
    return {key: dict(field.findall(body)) for key, body in entries}


# The rest of an address in Markdown: brackets belong to it in pairs only, as in 10.1016/0893-6080(89)90014-2.
ADDRESS = r"(?:[^\s()<>\]\"']|\([^\s()]*\))+"


def paper(link: str) -> str:
    """Return what identifies a paper in a link, so that a PDF and an abstract of it are one."""
    if found := re.search(r"arxiv\.org/(?:abs|pdf)/(\d{4}\.\d{4,5})", link):
        return f"arxiv:{found[1]}"
    if found := re.search(r"doi\.org/(10\.\S+)", link):
        return f"doi:{found[1].lower()}"
    return re.sub(r"^https?://(www\.)?", "", link).rstrip("/").lower()


def papers_of_an_entry(fields: dict[str, str]) -> set[str]:
    links = [fields["url"]] if "url" in fields else []
    links += [f"https://doi.org/{fields['doi']}"] if "doi" in fields else []
    links += [f"https://arxiv.org/abs/{fields['eprint']}"] if "eprint" in fields else []
    return {paper(link) for link in links}


def test_every_entry_of_the_bibliography_is_complete_and_in_order():
    entries = bibliography()
    assert list(entries) == sorted(set(entries))
    for key, fields in entries.items():
        assert {"author", "title", "year"} <= set(fields), key
        assert papers_of_an_entry(fields), f"{key} has no url, doi or eprint"
        assert fields["year"] in key, key


def test_every_paper_that_the_book_links_is_in_the_bibliography():
    known = set().union(*map(papers_of_an_entry, bibliography().values()))
    hosts = (
        r"arxiv\.org|doi\.org|openreview\.net|proceedings\.mlr\.press|jmlr\.org|papers\.nips\.cc|neurips\.cc"
    )
    link = re.compile(rf"https?://[\w.-]*(?:{hosts})/{ADDRESS}")
    for page in pages():
        cited = link.findall((ROOT / page).read_text("utf-8"))
        assert {url for url in cited if paper(url) not in known} == set(), page


def test_every_key_that_a_chapter_names_at_its_end_is_in_the_bibliography_and_linked_in_its_text():
    entries = bibliography()
    for page in pages():
        text = (ROOT / page).read_text("utf-8")
        keys = set(re.findall(r"\b[a-z]+(?:19|20)\d\d[a-z]+\b", text))
        linked = set(map(paper, re.findall(rf"https?://{ADDRESS}", text)))
        assert keys - set(entries) == set(), page
        assert {key for key in keys if not papers_of_an_entry(entries[key]) & linked} == set(), page


# --- notation and glossary


def test_the_glossary_explains_each_term_once_and_names_its_chapter():
    source = (ROOT / "book/glossary.md").read_text("utf-8").partition(":sorted:\n")[2].partition("```")[0]
    entries = re.findall(r"^(\S.*)\n((?:  .*\n|\n)+)", source, flags=re.MULTILINE)
    terms = [term for term, _ in entries]
    assert len(terms) == len(set(terms)) >= 50
    named = re.compile(r"\*(Chapters? \d+[a-z]?(, \d+[a-z]?)*\.|\[Setup\]\(setup\.md\)\.)\*$")
    assert [term for term, text in entries if not named.search(text.strip())] == []


# --- what must not be in any file


def test_no_file_names_a_folder_of_somebodys_machine():
    somebodys = re.compile("(?<![\\w.])/(?:" + "|".join(("home", "Users", "root", "work")) + ")/[\\w.-]")
    found = {name: hit[0] for name, text in tracked_texts().items() if (hit := somebodys.search(text))}
    assert found == {}


def test_every_link_to_the_course_has_the_repository_that_config_names():
    url = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["repository"]["url"]
    slug = url.removeprefix("https://github.com/")
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", slug), url
    texts = {name: text for name, text in tracked_texts().items() if not name.startswith("tests/")}
    hosts = r"(?:github\.com|colab\.research\.google\.com/github|raw\.githubusercontent\.com)"
    to_us = re.compile(rf"{hosts}/([\w.-]+/{re.escape(slug.partition('/')[2])})(?:\.git)?(?![\w-])")
    in_colab = re.compile(r"colab\.research\.google\.com/github/([\w.-]+/[\w.-]+)")
    for name, text in texts.items():
        assert set(to_us.findall(text) + in_colab.findall(text)) <= {slug}, name


def test_no_two_files_of_tests_share_a_name():
    """In one process the first to be imported would stand for both."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)


def test_no_file_is_large():
    assert {
        path.name: path.stat().st_size for path in tracked_files() if path.stat().st_size > 1_000_000
    } == {}


# --- licences


def test_code_and_text_have_their_licences():
    assert (ROOT / "LICENSE").read_text("utf-8").startswith("MIT License")
    assert PROJECT["license"] == "MIT"
    text = (ROOT / "LICENSE-text.md").read_text("utf-8")
    assert "https://creativecommons.org/licenses/by/4.0/" in text
    readme = (ROOT / "README.md").read_text("utf-8")
    assert "(LICENSE)" in readme
    assert "(LICENSE-text.md)" in readme


# --- the lock


# The extras that each lock serves. The peers of the benchmarks have an environment of their own.
LOCKS = {
    "requirements.txt": ("book", "export", "tensorboard", "test"),
    "benchmarks/requirements.txt": ("bench",),
}


def locked(lock: str) -> dict[str, Requirement]:
    lines = (ROOT / lock).read_text("utf-8").splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def direct_dependencies(*extras: str) -> Iterator[Requirement]:
    groups = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    for requirement in (Requirement(line) for group in groups for line in group):
        if canonicalize_name(requirement.name) != PROJECT["name"]:
            yield requirement


def test_every_extra_has_a_lock():
    assert sorted(extra for extras in LOCKS.values() for extra in extras) == sorted(
        PROJECT["optional-dependencies"]
    )


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_pins_every_direct_dependency_within_its_bounds(lock):
    pins = locked(lock)
    for wanted in direct_dependencies(*LOCKS[lock]):
        pin = pins.get(canonicalize_name(wanted.name))
        assert pin is not None, f"{wanted.name} is not in {lock}: run make lock"
        version = str(pin.specifier).removeprefix("==")
        assert wanted.specifier.contains(version), f"{pin} is outside {wanted}: run make lock"


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_pins_one_version_of_each_package(lock):
    pins = locked(lock).values()
    assert [str(pin) for pin in pins if not re.fullmatch(r"==[\w.!+]+", str(pin.specifier))] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_names_no_place_to_download_from(lock):
    text = (ROOT / lock).read_text("utf-8")
    assert re.findall(r"^\s*-.*|\w+://\S*|@.*", text, flags=re.MULTILINE) == []


def test_the_locks_agree_where_they_pin_the_same_package():
    first, second = map(locked, LOCKS)
    assert {name: pin for name, pin in first.items() if name in second and pin != second[name]} == {}


def test_running_notebooks_needs_no_package_of_the_book_or_the_tests():
    core = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    extras = {
        canonicalize_name(Requirement(line).name)
        for group in PROJECT["optional-dependencies"].values()
        for line in group
    }
    assert core & extras == set()


# Parts of what is asked for, which cannot be without them.
PART_OF = {
    "cycler": "matplotlib",
    "docutils": "jupyter-book",
    "ipython": "ipywidgets",
    "myst-nb": "jupyter-book",
    "nbclient": "jupyter-cache",
    "sphinx": "jupyter-book",
    "sphinx-external-toc": "jupyter-book",
}


def imported_packages(*folders: str) -> set[str]:
    """Return what the Python files in the folders import from others, as names of packages."""
    names = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module.partition(".")[0])
    packages = packages_distributions()
    found = {canonicalize_name(package) for name in names for package in packages.get(name, [])}
    return {PART_OF.get(package, package) for package in found} - {PROJECT["name"]}


def test_the_library_imports_only_what_it_asks_to_be_installed():
    core = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
    assert imported_packages("gm_lib") - core == set()


def test_tools_book_and_tests_import_only_what_the_extras_ask_for():
    wanted = {
        canonicalize_name(requirement.name) for requirement in direct_dependencies(*LOCKS["requirements.txt"])
    }
    assert imported_packages("tools", "book/_ext", "tests") - wanted == set()


def test_the_benchmarks_import_only_what_their_extra_asks_for():
    wanted = {canonicalize_name(requirement.name) for requirement in direct_dependencies("bench")}
    assert imported_packages("benchmarks") - wanted == set()


# --- commands


def make_targets() -> set[str]:
    return set(re.search(r"^\.PHONY:(.*)$", MAKEFILE, flags=re.MULTILINE)[1].split())


def test_make_help_lists_every_target():
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"^  make ([a-z-]+) +\S", shown, flags=re.MULTILINE)) == make_targets()


def code_of(page: str) -> str:
    """Return what a guide shows as code, or a script without its comments."""
    text = (ROOT / page).read_text("utf-8")
    if page.endswith(".md"):
        return "\n".join(re.findall(r"`[^`\n]+`|^```sh$.*?^```$", text, flags=re.MULTILINE | re.DOTALL))
    return re.sub(r"^\s*#.*", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize(
    "page", [*GUIDES, ".ci/run", ".github/workflows/tests.yml", ".github/workflows/publish.yml"]
)
def test_every_make_command_that_is_named_exists(page):
    named = set(re.findall(r"\bmake ([a-z][a-z-]*)", code_of(page)))
    assert named - make_targets() == set()


def test_the_readme_gives_the_two_commands():
    block = re.search(
        r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), flags=re.MULTILINE | re.DOTALL
    )[1]
    assert block.splitlines()[-2:] == ["make book", "make test"]


def test_every_tool_that_the_guides_name_is_there():
    for page in GUIDES:
        for tool in re.findall(r"\btools/\w+\.py", (ROOT / page).read_text("utf-8")):
            assert (ROOT / tool).is_file(), f"{page} names {tool}"


def test_the_ci_script_can_be_run():
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_python_versions_agree_between_package_workflow_and_setup():
    supported = SpecifierSet(PROJECT["requires-python"])
    assert [v for v in ("3.10", *PYTHONS, "3.15") if supported.contains(v)] == list(PYTHONS)
    tests = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text("utf-8"))
    assert tests["jobs"]["linux"]["strategy"]["matrix"]["python"] == list(PYTHONS)
    setup = (ROOT / "tools/setup_environment.py").read_text("utf-8")
    oldest, newest = (version.replace(".", ", ") for version in (PYTHONS[0], PYTHONS[-1]))
    assert f"OLDEST, NEWEST = ({oldest}), ({newest})" in setup


# --- setup's table of errors


def messages_in_the_code() -> list[str]:
    """Return the strings of gm_lib and of setting up, with … for what is filled in when they are shown."""
    messages = []
    for path in [*(ROOT / "gm_lib").rglob("*.py"), ROOT / "tools" / "setup_environment.py"]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                messages.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                messages.append(node.value)
    return messages


def troubles() -> list[str]:
    table = (ROOT / "book/setup.md").read_text("utf-8").partition("| it says |")[2]
    return re.findall(r"^\| `([^`]+)` \|", table, flags=re.MULTILINE)


@pytest.mark.parametrize("trouble", troubles())
def test_every_error_that_setup_explains_can_happen(trouble):
    if trouble.startswith("ModuleNotFoundError"):
        return  # Python's own words
    pieces = [re.escape(piece.strip()) for piece in trouble.split("…") if piece.strip()]
    pattern = re.compile(r".*".join(pieces), re.DOTALL)
    assert any(pattern.search(message) for message in messages_in_the_code())


# --- the package


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Build the wheel from a copy, so that nothing is left in the checkout, with what is installed here."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, source)
    shutil.copytree(ROOT / "gm_lib", source / "gm_lib", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(out), str(source)], check=True)
    (built,) = out.glob("gm_lib-*.whl")
    return built


def test_the_wheel_holds_all_of_the_library_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    library = {
        path for path in (ROOT / "gm_lib").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == {path.relative_to(ROOT).as_posix() for path in library}
    assert {"gm_lib/py.typed", "gm_lib/weights/digit_classifier.safetensors"} <= held


def test_the_wheel_carries_its_licence_and_asks_for_the_core_dependencies_only(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        fields = Parser().parsestr(archive.read(metadata).decode("utf-8"))
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    wanted = [Requirement(line) for line in fields.get_all("Requires-Dist")]
    core = {canonicalize_name(requirement.name) for requirement in wanted if requirement.marker is None}
    assert core == {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}


def test_the_wheel_has_the_version_of_the_library(wheel):
    assert wheel.name.split("-")[1] == __version__


# --- releases


def released() -> list[tuple[str, str]]:
    """Return version and date of each release in the changelog, the newest first."""
    return re.findall(r"^## (\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)$", CHANGELOG, flags=re.MULTILINE)


def test_the_changelog_begins_with_the_version_that_is_here_or_with_what_is_unreleased():
    version = Version(__version__)
    headings = re.findall(r"^## (\S+)", CHANGELOG, flags=re.MULTILINE)
    assert headings[0] == ("Unreleased" if version.is_devrelease else __version__)
    older = [Version(heading) for heading in headings[1:]]
    assert older == sorted(older, reverse=True)
    assert all(version > old for old in older)


# From the format's schema, https://github.com/citation-file-format/citation-file-format/blob/1.2.0/schema.json
CITATION_REQUIRED = {"authors", "cff-version", "message", "title"}
CITATION_KNOWN = CITATION_REQUIRED | {
    *("abstract", "commit", "contact", "date-released", "doi", "identifiers", "keywords", "license"),
    *("license-url", "preferred-citation", "references", "repository", "repository-artifact"),
    *("repository-code", "type", "url", "version"),
}


def test_the_citation_is_as_its_format_wants_it_and_names_the_last_release():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert set(citation) >= CITATION_REQUIRED
    assert set(citation) <= CITATION_KNOWN
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert citation["authors"]
    assert all(author["name"] for author in citation["authors"])
    assert citation["license"] == PROJECT["license"]
    assert citation["repository-code"] == PROJECT["urls"]["Repository"]
    named = [(citation["version"], str(citation["date-released"]))] if "version" in citation else []
    assert named == released()[:1]


def test_the_site_is_published_from_tags_and_on_demand_only():
    workflow = yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text("utf-8"))
    assert workflow[True] == {"push": {"tags": ["v*"]}, "workflow_dispatch": None}  # YAML takes `on` for true


# --- the README's picture


def test_the_picture_of_the_readme_is_there_and_small_and_described():
    readme = (ROOT / "README.md").read_text("utf-8")
    (alternative, picture), *others = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", readme)
    assert others == []
    assert len(alternative) > 40
    assert (ROOT / picture).stat().st_size <= 200_000
