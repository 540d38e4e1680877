"""CONTRIBUTING.md and CITATION.cff: what they name is there, what they say is so."""

import configparser
import re

import pytest
import yaml
from environments import ROOT
from transformers import PretrainedConfig

from triglot import __version__
from triglot.processing import task_formats
from triglot.registration import COMPONENTS

GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TABLE = [
    line.strip("| ").split(" | ") for line in GUIDE.splitlines() if line.startswith("| a") or line.startswith("| its")
]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
# https://github.com/citation-file-format/citation-file-format, version 1.2.0
KEYS = {
    "abstract", "authors", "cff-version", "commit", "contact", "date-released", "doi", "identifiers", "keywords", "license",
    "license-url", "message", "preferred-citation", "references", "repository", "repository-artifact", "repository-code", "title",
    "type", "url", "version",
}  # fmt: skip
PERSON = {"address", "affiliation", "alias", "city", "country", "email", "family-names", "fax", "given-names", "name-particle",
          "name-suffix", "orcid", "post-code", "region", "tel", "website"}  # fmt: skip


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_the_line_that_makes_it_known_is_where_it_says(row):
    names = re.findall(r"`([\w./]+)`", row[2])
    files = [name for name in names if "/" in name]
    for symbol, file in zip([name for name in names if "/" not in name], files):
        assert re.search(rf"\b{symbol}\b\W", (ROOT / file).read_text(encoding="utf-8")), f"{symbol} in {file}"
    assert files or row[2].startswith(("none", "an entry"))


def test_every_component_has_its_line():
    known = {config.__name__ for config, _ in COMPONENTS}
    files = [
        path for room in ("tokenizers", "decoders") for path in (ROOT / "modeling" / room).glob("configuration_*.py")
    ]
    for path in files:
        text = path.read_text(encoding="utf-8")
        if re.search(r'^    model_type = "', text, re.M):  # the others are bases of several
            assert set(re.findall(r"^class (\w+Config)\(", text, re.M)) & known, f"{path.name} is not in COMPONENTS"
            assert (path.parent / path.name.replace("configuration_", "modeling_")).is_file()
    assert all(issubclass(config, PretrainedConfig) for config, _ in COMPONENTS) and len(files) >= len(known)


def test_files_and_snippets(monkeypatch, capsys):
    for name in re.findall(r"`((?:\w+/)+[\w.]+\.(?:py|yaml|md))`", GUIDE):
        if not re.search(r"(?:^|/|_)x\.", name):
            assert (ROOT / name).exists(), name
    for _, target in re.findall(r"\[([^]]+)\]\((?!http)([^)#]+)", GUIDE):
        assert (ROOT / target).exists(), target
    monkeypatch.setattr(task_formats, "TASKS", dict(task_formats.TASKS))
    task_formats.parse_chain.cache_clear()
    for block in re.findall(r"```python\n(.*?)```", GUIDE, re.S):
        exec(compile(block, "CONTRIBUTING.md", "exec"), {})
        printed = capsys.readouterr().out.splitlines()
        assert printed == re.findall(r"^print.*#\s(.*)$", block, re.M)
    task_formats.parse_chain.cache_clear()


def test_the_citation_is_valid_and_of_this_version():
    assert set(CITATION) <= KEYS and {"cff-version", "message", "title", "authors"} <= set(CITATION)
    assert (CITATION["cff-version"], CITATION["type"]) == ("1.2.0", "software")
    for entry in (CITATION, *CITATION["references"]):
        assert {"authors", "title", "type"} <= set(entry) and entry["authors"]
        for author in entry["authors"]:
            assert set(author) <= PERSON or "name" in author, author
    assert all(re.fullmatch(r"https://arxiv\.org/abs/\d{4}\.\d{5}", each["url"]) for each in CITATION["references"])
    readme = (ROOT / "README.md").read_text(encoding="utf-8").split("## Cite")[1]
    assert (
        CITATION["title"] in readme
        and f"Version {__version__}." in readme
        and CITATION["authors"][0]["name"] in readme
    )
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    assert setup["metadata"]["version"] == "attr: triglot.version.__version__" and CITATION["version"] == __version__
    assert setup["metadata"]["license"] == CITATION["license"]
