"""Claims about numbers in the text: quoted from a record or standing in code, or else reported."""

import pytest
from toy_record import toy_record

from quoted_numbers import misquoted, unmeasured, without_literal

RECORDS = {"toy_gan": toy_record()}
LINK = "](../results.md#toy_gan)"


def chapter(prose: str, code: str = "x = 1", options: str = "") -> str:
    kernel = "---\nkernelspec:\n  display_name: Python 3\n  language: python\n  name: python3\n---\n"
    return f"{kernel}\n# 7 · Toy\n\n{prose}\n\n```{{code-cell}} ipython3\n{options}{code}\n```\n\nThe end.\n"


# Quotations


@pytest.mark.parametrize(
    "quoted",
    [
        "52 %",  # a value, and the mean 0.525 rounded down
        "52.5 %",
        "53 %",  # 0.525 rounded up
        "52.5 ± 2.8 %",  # mean and sd
        "**35 %**",  # the gate
        "1,103.0 ± 0.4 nats",
        "1103 nats",
        "three seeds, 50 % to 55.5 %",
        "54 seconds",
        "no number at all",
        "$52\\,\\%$",
    ],
)
def test_a_number_that_the_record_holds_may_be_quoted_rounded(quoted):
    assert misquoted("book/x.md", f"It reaches [{quoted}{LINK}.", RECORDS) == []


@pytest.mark.parametrize(
    ("quoted", "wrong"),
    [
        ("51 %", "51 %"),
        ("52.4 %", "52.4 %"),
        ("0.52", "0.52"),  # a share is quoted in per cent
        ("1,102 nats", "1,102"),
        ("1103.04 nats", "1103.04"),
        ("52.5 ± 3.1 %", "3.1 %"),
        ("46.1 nats", "46.1"),
    ],
)
def test_a_number_that_the_record_does_not_hold_is_reported_with_its_line(quoted, wrong):
    (line,) = misquoted("book/x.md", f"One.\n\nIt\nreaches [{quoted}{LINK}.", RECORDS)
    assert line.startswith(f"book/x.md:4: {wrong} in [{quoted}] is not in results/toy_gan.json")


def test_a_quotation_over_two_lines_is_read_too():
    assert len(misquoted("book/x.md", f"It is\n[51 %\nof all{LINK}.", RECORDS)) == 1
    assert misquoted("book/x.md", f"It is\n[52 %\nof all{LINK}.", RECORDS) == []


def test_a_record_that_is_not_there_is_reported_with_those_that_are():
    (line,) = misquoted("README.md", "It is [52 %](book/results.md#toy_gna).", RECORDS)
    assert "quotes results/toy_gna.json, which there is not. There are: toy_gan." in line


def test_a_number_needs_its_record_and_a_plain_link_to_the_page_does_not():
    assert "does not say which record" in misquoted("x.md", "It is [52 %](results.md).", RECORDS)[0]
    assert misquoted("x.md", "See the [results](results.md).", RECORDS) == []


def test_the_scoreboard_may_be_linked_and_no_number_be_quoted_from_it():
    assert misquoted("book/x.md", "See the [scoreboard](results.md#scoreboard).", RECORDS) == []
    (line,) = misquoted("book/x.md", "It has [4.2](results.md#scoreboard).", RECORDS)
    assert "results/scoreboard.json, which there is not" in line


def test_a_quotation_in_code_is_an_example():
    assert misquoted("x.md", f"Write `[99 %{LINK}` or\n\n```md\n[99 %{LINK}\n```\n", RECORDS) == []


# Pages that compute nothing


@pytest.mark.parametrize(
    "text",
    [
        "It costs 102 nats.",
        "It costs $102.6$ nats.",
        "It costs **102** nats per image.",
        "It needs 46 bits.",
        "The classifier reads 99 % of them.",
        "The classifier reads $99\\,\\%$ of them.",
        "99% are read.",
        "ninety per cent are read",
        "It takes 25 s.",
        "It takes half a minute.",
        "It takes two minutes on two cores.",
        "It does 19,500 images/s.",
        "It does 31 images a second.",
        "Its accuracy is 0.993.",
        "| −ELBO | 102.6 |",
        "The file has 12 MB.",
        "[It costs 102 nats](chapters/09_vae.md).",
    ],
)
def test_a_number_that_looks_measured_is_reported(text):
    (line,) = unmeasured("README.md", f"One.\nTwo.\n\n{text}\n")
    assert line.startswith("README.md:4: ")
    assert "looks measured. Quote a record" in line


@pytest.mark.parametrize(
    "text",
    [
        f"It costs [1,103 nats{LINK}.",
        "Nineteen chapters, 50,000 images of 28×28.",
        "Python 3.11, 3.12 or 3.13; see exercise 9.4 and section 5.2, under CC BY 4.0.",
        "Run `sleep 2.5 s`.",
        "```sh\nsleep 10 s\n```",
        "<!-- 25 s -->",
        "[Burda (2016)](https://arxiv.org/abs/1509.00519), https://x.org/1.5",
        "A likelihood is in nats; one bit less.",
        "Give it a few minutes.",
    ],
)
def test_what_measures_nothing_is_left_alone(text):
    allowed = ["one bit less"] if "one bit less" in text else []
    assert unmeasured("README.md", f"{text}\n", allowed) == []


def test_an_allowed_passage_is_left_alone_also_over_two_lines_and_reported_when_it_is_gone():
    assert unmeasured("a.md", "A download of\n12 MB.", ["a download of 12 MB"]) != []  # as it is written
    assert unmeasured("a.md", "A download of\n12 MB.", ["download of 12 MB"]) == []
    (line,) = unmeasured("a.md", "A download.", ["download of 12 MB"])
    assert "is allowed, but it is not there any more" in line


# Chapters


@pytest.mark.parametrize(
    ("prose", "code"),
    [
        ("It is $86.76$.", "assert 86 < burda < 86.76"),
        ("It is about $46$ nats.", "assert round(coins.mean) == 46"),
        ("The variance is $51.5625$.", "assert_unbiased(x, 51.5625)"),
        ("The slope is $2\\theta + 0.2\\,\\theta = 3.3$.", "assert 0.2 * theta < 3.3"),
        ("It falls to $-2.5$.", "assert x == -2.5"),
        ("It reads 99 %.", "assert accuracy > 0.99"),
        ("It reads 99.3 % of 1,234.5.", "assert accuracy > 99.3 and n == 1234.5"),
        ("It pays $1{,}5$ for 784 nats.", "pixels = 784"),
        (f"It reads [99 %{LINK}.", "pass"),
        ("**Time:** 70 minutes, 30 seconds of\ncomputing.", "pass"),
        ("> **Exercise 7.1** · ●○○ · 5 min. Write it.", "pass"),
        ("By exercise 7.1, chapter 8 and section 5.2.", "pass"),
        ("It computes `0.75 s`.", "pass"),
        ("$$a = b \\tag{7.1}$$\n\nBy (7.1) and\n(7.1) again.", "pass"),
    ],
)
def test_a_number_that_stands_in_the_code_may_stand_in_the_prose(prose, code):
    assert without_literal("07_toy.md", chapter(prose, code)) == []


@pytest.mark.parametrize(
    ("prose", "number"),
    [
        ("It is $86.76$.", "86.76"),
        ("It is about $46$ nats.", "46$ nats"),
        ("The slope is $2\\theta = 3.3$.", "3.3"),
        ("It reads 99 %.", "99 %"),
        ("By (7.2), with $a = b \\tag{7.1}$.", "7.2"),
        ("It is 7.1 high. $$a = b \\tag{7.1}$$", "7.1"),
        ("| VAE | 102.6 |", "102.6"),
        ("<details>\n<summary>More</summary>\n\nIt is 0.75.\n\n</details>", "0.75"),
    ],
)
def test_a_number_without_a_literal_in_the_code_is_reported_with_its_line(prose, number):
    text = chapter(prose, 'print("86.76, 46, 3.3, 0.99, 102.6, 0.75")  # 86.76 46 3.3 99 102.6 0.75')
    (line,) = without_literal("07_toy.md", text)
    place = next(i for i, own in enumerate(text.split("\n"), 1) if number in own)
    assert line.startswith(f"07_toy.md:{place}: {number!r} stands in no code cell. Assert it beside the text")


def test_an_alternative_text_states_its_numbers_like_prose():
    options = ':mystnb: {image: {alt: "A line that falls to 0.75."}}\n'
    (line,) = without_literal("07_toy.md", chapter("Look.", "draw()", options))
    assert "'0.75' stands in no code cell" in line
    assert without_literal("07_toy.md", chapter("Look.", "draw(0.75)", options)) == []


def test_a_passage_of_a_chapter_may_be_allowed():
    assert without_literal("07_toy.md", chapter("How slanted? 0.31."), ["How slanted? 0.31."]) == []
