"""Tables that fit: 80 and 200 cells, Chinese names, and a pipe."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usm.columns import cells, cut, lines, table

HEAD = ("USER", "FROM", "KEY")
ROWS = [
    ("alice", "203.0.113.5", "SHA256:" + "x" * 43),
    ("王小明" * 20, "2001:db8::1", "é" * 90),
    ("a\u0301b", "-", "한국어" * 30),
]


@pytest.mark.parametrize("width", [80, 200])
def test_a_table_fits_the_terminal(width: int) -> None:
    """No line is wider; the widest columns give way, with an ellipsis, and the narrow ones are whole."""
    shown = table(HEAD, ROWS, width).splitlines()
    assert max(map(cells, shown)) <= width
    assert "\u2026" in shown[2]
    assert "2001:db8::1" in shown[2]
    assert shown[1].startswith("alice ")
    assert cells(shown[1].split("203.0.113.5")[0]) == cells(shown[2].split("2001:db8::1")[0])  # they stand in a column


def test_nothing_is_cut_in_a_pipe() -> None:
    """What reads it wants all."""
    text = table(HEAD, ROWS)
    assert "\u2026" not in text
    assert all(cell in text for row in ROWS for cell in row)


def test_what_fits_is_not_cut() -> None:
    """The table is the same as without a limit."""
    assert table(HEAD, ROWS[:1], 80) == table(HEAD, ROWS[:1])
    assert table(HEAD, ROWS[:1], 3).splitlines()[0].startswith("USER")  # where there is no room at all it is still told


def test_a_cut_is_by_cells() -> None:
    """A letter of two cells is not halved; a mark stays with its letter."""
    assert cut("王小明", 6) == "王小明"
    assert cut("王小明", 5) == "王小…"
    assert cut("王小明", 4) == "王…"
    assert (cells("a\u0301"), cells("王"), cells("\uff21"), cells("\u200b")) == (1, 2, 2, 0)


def test_a_long_table_is_laid_out_piece_by_piece() -> None:
    """Rows are asked for as they are printed; columns only become wider."""
    asked = []

    def rows() -> object:
        for number in range(5000):
            asked.append(number)
            yield ("x" * (1 + number // 1000), str(number))

    shown = lines(("A", "B"), rows())  # type: ignore[arg-type] # an iterator of tuples
    assert next(shown) == "A  B"
    assert len(asked) < 2000
    rest = list(shown)
    assert len(rest) == 5000
    assert rest[-1] == "xxxxx  4999"
    assert list(lines(("A", "B"), ())) == ["A  B"]


@given(st.lists(st.tuples(st.text(), st.text(), st.text()), max_size=5), st.integers(24, 120))
def test_any_text_fits(rows: list[tuple[str, str, str]], width: int) -> None:
    """Whatever it is made of, but for line ends, which `clean` takes out."""
    tame = [tuple("".join(c for c in cell if c.isprintable()) for cell in row) for row in rows]
    assert all(cells(line) <= width for line in lines(HEAD, tame, width))
