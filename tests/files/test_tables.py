"""The table reader returns cells verbatim and reports errors by row."""

import numpy as np
import pytest

from perceptinit.errors import DataError
from perceptinit.files.csv_files import read_csv
from perceptinit.files.tables import TABLE_SUFFIXES, read_table


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def cells(columns):
    return {name: columns.cells(name) for name in columns.names}


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,2\n3,4\n",
        "a;b\r\n1;2\r\n3;4",
        "a\tb\r1\t2\r3\t4\r",
        "\ufeffa,b\n1,2\n3,4\n",
        'a, b\n1, 2\n"3", "4"\n',
        '"a",b\n1,"2"\n3,4\n',
    ],
)
def test_the_separator_quotes_and_spaces_of_a_table_are_detected(tmp_path, text):
    columns = read_table(write(tmp_path / "a.csv", text))
    assert cells(columns) == {"a": ["1", "3"], "b": ["2", "4"]}
    assert columns.rows.tolist() == [2, 3]


def test_blank_rows_are_skipped_and_counted(tmp_path):
    columns = read_table(write(tmp_path / "a.csv", "a,b\n\n1,2\n   \n,\n3,4\n"))
    assert cells(columns) == {"a": ["1", "3"], "b": ["2", "4"]}
    assert columns.rows.tolist() == [3, 6]


def test_a_quoted_cell_may_contain_separators_quotes_and_line_breaks(tmp_path):
    text = 'a,b\n"1, 2","say ""x"", y"\n"3\n4",5\n6,7\n'
    columns = read_table(write(tmp_path / "a.csv", text))
    assert cells(columns) == {"a": ["1, 2", "3\n4", "6"], "b": ['say "x", y', "5", "7"]}
    assert columns.rows.tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n\n3\n4,5\n6\n", r"row 4: 1 cells, but the header has 2 \(2 such rows: 4, 6\)"),
        ("a,b\n1,2,3\n", r"row 2: 3 cells, but the header has 2$"),
        ("a,a\n1,2\n", "two columns have the name 'a'"),
        ("a,b\n", "a header, but no rows"),
        ("a,b", "a header, but no rows"),
        ("", "there is no header"),
        ("\na,b\n1,2\n", "there is no header"),
        ('a,b\n1,2\n3,"4\n5,6\n', "row 3: a quotation mark is not closed"),
        (b"a,b\n1,\xff\n", "not UTF-8 text. Save it as CSV UTF-8"),
        (b"a,\xff\n1,2\n", "not UTF-8 text"),
    ],
)
def test_an_error_names_the_file_and_the_row(tmp_path, text, message):
    with pytest.raises(DataError, match=rf"a\.csv.*{message}"):
        read_table(write(tmp_path / "a.csv", text))


def test_a_row_may_be_longer_than_a_megabyte(tmp_path):
    # details of a score of 20,000 judgments take 1.6 MB; pyarrow's default limit is a block of 1 MB
    cell = "x" * 3_000_000
    (tmp_path / "t.csv").write_text(f"a,b\n{cell},1\n{cell},2\n")
    assert read_table(tmp_path / "t.csv").cells("a") == [cell, cell]


def test_selected_columns_are_read_verbatim(tmp_path):
    path = write(tmp_path / "pairs.tsv", 'url\tpath\tcaption\nu\ta.jpg\t a, "b"\nv\tb.jpg\tc\n')
    table, rows = read_csv(path, "\t", ["caption", "path"])
    assert table.to_pydict() == {"caption": [' a, "b"', "c"], "path": ["a.jpg", "b.jpg"]}
    assert np.array_equal(rows, [2, 3])
    with pytest.raises(DataError, match=r"no column 'text'. Columns: url, path, caption"):
        read_csv(path, "\t", ["text"])


def test_rows_without_a_header_are_counted_from_one(tmp_path):
    table, rows = read_csv(write(tmp_path / "a.csv", "1,2\n3,4\n"), has_header=False)
    assert table.to_pydict() == {"0": ["1", "3"], "1": ["2", "4"]}
    assert rows.tolist() == [1, 2]
    with pytest.raises(DataError, match="row 2: 1 cells, but the first row has 2"):
        read_csv(write(tmp_path / "a.csv", "1,2\n3\n"), has_header=False)


def test_every_suffix_has_a_reader(tmp_path):
    for suffix in TABLE_SUFFIXES:
        with pytest.raises(DataError, match=rf"a\{suffix}"):
            read_table(write(tmp_path / f"a{suffix}", "x"))


def test_a_category_with_as_many_values_as_its_index_can_number_has_empty_cells(tmp_path):
    import pyarrow
    from pyarrow import parquet

    names = [f"{i:03d}.png" for i in range(128)]
    index = pyarrow.array([*range(128), None], pyarrow.int8())
    column = pyarrow.DictionaryArray.from_arrays(index, pyarrow.array(names))
    parquet.write_table(
        pyarrow.table({"image": column, "row": list(range(129))}), tmp_path / "judgments.parquet"
    )
    columns = read_table(tmp_path / "judgments.parquet")
    codes = columns.codes["image"]
    assert codes.dtype == np.int32
    assert [columns.distinct["image"][code] for code in codes] == [*names, None]
