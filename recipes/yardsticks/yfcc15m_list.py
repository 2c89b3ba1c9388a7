"""Write the list of YFCC15M for img2dataset: address, title and description of each photograph that OpenAI lists.

    python yfcc15m_list.py yfcc100m_subset_data.tsv yfcc100m_dataset.txt yfcc15m.parquet

Texts are cleaned as by SLIP's make_dataset.py: decoded, without links and addresses.
"""

import re
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

# columns of yfcc100m_dataset.txt, counted from 0
LINE, TITLE, DESCRIPTION, ADDRESS = 0, 8, 9, 16
MARKUP = re.compile(r"<a.*?>|</?[abi]>|http\S+|www\S+")
SCHEMA = pa.schema({name: pa.string() for name in ("url", "title", "description")})
ROWS = 100_000  # written at a time


def clean(text: str) -> str:
    """Return a text of the list as people wrote it, without markup and addresses."""
    return MARKUP.sub("", unquote(text).replace("+", " "))


def photographs(subset: Path, dataset: Path) -> Iterator[tuple[str, str, str]]:
    """Yield address, title and description of each photograph of the subset."""
    with subset.open(encoding="utf-8") as lines:
        wanted = {int(line.split("\t", 1)[0]) for line in lines}
    with dataset.open(encoding="utf-8") as lines:
        for line in lines:
            row = line.rstrip("\n").split("\t")
            if int(row[LINE]) in wanted:
                yield row[ADDRESS], clean(row[TITLE]), clean(row[DESCRIPTION])


def main(subset: str, dataset: str, out: str) -> None:
    """Write the list; a number of the subset that the data set lacks is left out."""
    rows = photographs(Path(subset), Path(dataset))
    count = 0
    with pq.ParquetWriter(out, SCHEMA) as writer:
        while batch := list(islice(rows, ROWS)):
            columns = [list(column) for column in zip(*batch, strict=True)]
            writer.write_table(pa.table(columns, schema=SCHEMA))
            count += len(batch)
    print(f"{out}: {count:,} photographs")


if __name__ == "__main__":
    main(*sys.argv[1:])
