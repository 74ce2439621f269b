"""The generated pages are those of the catalogue."""

from pathlib import Path

import pytest

from handclasp.findings import ENTRIES
from handclasp.findings.pages import INDEX, MARK, differences, index, main, page, pages

PAGES = Path(__file__).parents[2] / "docs" / "reference" / "findings"
HEADINGS = ["## What it means", "## What to do", "## References", "## See also"]


def test_the_pages_in_the_repository_are_fresh(capsys):
    assert main(["--check", str(PAGES)]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES.keys())
def test_a_page_says_all_that_its_entry_says(entry):
    text = page(entry)
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("## ")] == HEADINGS
    assert lines[:2] == [MARK, f"# {entry.slug}"]
    assert entry.meaning in lines
    assert entry.fix in lines
    for fact in (entry.code, entry.severity.value):
        assert fact in text
    for reference in entry.references:
        assert f"]({reference.rpartition(': ')[2]})" in text
    for slug in entry.see_also:
        assert f"[{slug}]({slug}.md)" in text


def test_a_page_says_what_kind_it_is_and_where_to_put_it_right():
    text = page(ENTRIES["key-wrong-passphrase"])
    assert "- Kind: cause of a failed handshake or refused certificate, check of" in text
    assert "- To be put right at: the program that loads the key" in text
    assert "To be put right" not in page(ENTRIES["weak-ciphers"])


def test_a_page_without_references_says_so():
    assert "## References\n\nNone.\n" in page(ENTRIES["allow-any"])


def test_the_index_lists_every_entry_once():
    text = index(ENTRIES.values())
    for slug, entry in ENTRIES.items():
        assert text.count(f"| {entry.code} | [{slug}]({slug}.md) |") == 1
    assert text.count("\n## HC") == 7


def test_written_pages_pass_the_check(tmp_path, capsys):
    directory = tmp_path / "docs" / "findings"
    assert main(["--write", str(directory)]) == 0
    assert main(["--check", str(directory)]) == 0
    assert capsys.readouterr().out == ""
    assert {path.name for path in directory.iterdir()} == {INDEX, *(f"{s}.md" for s in ENTRIES)}


def test_what_is_out_of_date_is_named(tmp_path, capsys):
    main(["--write", str(tmp_path)])
    (tmp_path / "cert-expired.md").write_text("edited by hand\n", encoding="utf-8")
    (tmp_path / "alpn-mismatch.md").unlink()
    (tmp_path / "gone.md").write_text(f"{MARK}\n", encoding="utf-8")
    assert main(["--check", str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "left over: gone.md",
        "missing: alpn-mismatch.md",
        "stale: cert-expired.md",
    ]


def test_a_missing_directory_is_out_of_date(tmp_path, capsys):
    assert main(["--check", str(tmp_path / "none")]) == 1
    assert "missing: README.md" in capsys.readouterr().out


def test_writing_removes_old_generated_pages_and_nothing_else(tmp_path):
    (tmp_path / "gone.md").write_text(f"{MARK}\n", encoding="utf-8")
    (tmp_path / "mine.md").write_text("written by hand\n", encoding="utf-8")
    main(["--write", str(tmp_path)])
    assert not (tmp_path / "gone.md").exists()
    assert (tmp_path / "mine.md").read_text(encoding="utf-8") == "written by hand\n"


def test_equal_pages_have_no_differences():
    wanted = pages(ENTRIES)
    assert differences(wanted, dict(wanted)) == []
