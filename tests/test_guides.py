"""README, CONTRIBUTING and docs/: links lead somewhere, commands are understood, and each page's snippets have a test that runs them."""

import re
import shlex

import pytest
from environments import ROOT
from shell_testing import bash_lines

from triglot.cli import parse

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# page: the test that runs what stands in it
RUN_BY = {
    "README.md": "test_readme.py",
    "CONTRIBUTING.md": "test_contributing.py",
    "add_a_language.md": "test_add_a_language.py",
    "command_line.md": "test_command_line.py",
    "finetune_on_your_speech.md": "test_finetune_on_your_speech.py",
    "image_decoders.md": "test_image_decoders.py",
    "many_gpus.md": "test_many_gpus.py",
    "serve.md": "test_export.py",
    "sharing.md": "test_sharing.py",
    "swap_a_decoder.md": "test_swap_a_decoder.py",
}
# "": trees, drawings and outputs, which nobody runs
KINDS = {"", "bash", "python", "yaml", "json", "text"}


@pytest.fixture(params=PAGES, ids=lambda page: page.name)
def page(request):
    return request.param


def fences(text: str) -> list[str]:
    """The kind of every block."""
    return re.findall(r"^```(\w*)\n.*?^```$", text, re.M | re.S)


def test_every_kind_of_snippet_has_a_test_that_knows_it(page):
    kinds = set(fences(page.read_text(encoding="utf-8")))
    assert kinds <= KINDS
    if kinds - {""}:
        test = (ROOT / "tests" / RUN_BY[page.name]).read_text(encoding="utf-8")
        assert page.name in test
        for kind in kinds - {""}:
            known = rf"```{kind}\n" in test or f'blocks("{kind}")' in test or (kind == "bash" and "bash_lines" in test)
            assert known or (page.name, kind) == ("CONTRIBUTING.md", "bash"), kind


def test_every_triglot_command_is_understood(page):
    for line in bash_lines(page.read_text(encoding="utf-8")):
        for part in re.split(r"&&|\|", line):
            words = shlex.split(part.partition("#")[0])
            words = words[: min((words.index(sign) for sign in "<>" if sign in words), default=len(words))]
            if words[:1] == ["triglot"]:
                parse(words[1:])


def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", text):
        file = page.parent / target if target else page
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file.read_text(encoding="utf-8")), f"{target}#{anchor}"


def test_every_page_is_found_from_the_readme():
    readme = PAGES[0].read_text(encoding="utf-8")
    assert all(f"docs/{page.name}" in readme for page in PAGES[2:])


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    heads = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
