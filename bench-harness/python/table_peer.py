"""Makes files of rows that the harness drew. Arguments: raw rows (f64, row by row, the last number the label), numbers in a row,
rows of a group, float32 or float64 as the type of columns, and the files to write, by their ends .parquet or .csv.

Nothing is held but one group of rows.
"""

import sys

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq


def groups(raw, width, rows, element):
    columns = pa.schema([(f"f{i}", pa.type_for_alias(element)) for i in range(width - 1)] + [("label", pa.int32())])
    with open(raw, "rb") as file:
        while (numbers := np.fromfile(file, np.float64, rows * width)).size:
            numbers = numbers.reshape(-1, width).T
            cells = [pa.array(column.astype(element)) for column in numbers[:-1]]
            yield pa.table([*cells, pa.array(numbers[-1].astype(np.int32))], schema=columns)


def writer(file, schema):
    if file.endswith(".parquet"):
        return pq.ParquetWriter(file, schema)
    text = open(file, "wb")  # noqa: SIM115
    # Without the quotes that Arrow puts around names, which LightGBM takes for a part of them.
    text.write((",".join(schema.names) + "\n").encode())
    return csv.CSVWriter(text, schema, write_options=csv.WriteOptions(include_header=False))


if __name__ == "__main__":
    raw, width, rows, element, *files = sys.argv[1:]
    writers = {}
    for group in groups(raw, int(width), int(rows), element):
        for file in files:
            if file not in writers:
                writers[file] = writer(file, group.schema)
            writers[file].write_table(group)
    for one in writers.values():
        one.close()
