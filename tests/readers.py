"""Reads Parquet files of a repository with one library and compares every cell with what the
server said. Driven by tests/it/readers.rs.

usage: readers.py duckdb|polars|pyarrow < JSON

The JSON is {"files": [paths], "changes": bool, "columns": [{"name", "kind"}], "key": name,
"rows": {key: [text or null]}, "raw": [keys of rows with a cell that has no exact typed form]}.
Kinds: int, decimal, f32, f64, days, micros, text, label, bytes, vector, sha256 (of text or bytes).
"""

import hashlib
import json
import struct
import sys

NEXT_STEP = "run scripts/setup-tools (make test does)"


def text(kind, value):
    """The one text form of a value; None is NULL."""
    if value is None:
        return None
    if kind in ("int", "days", "micros"):
        return str(int(value))
    if kind == "decimal":
        return format(value, "f")
    if kind == "f32":
        return struct.pack(">f", value).hex()
    if kind == "f64":
        return struct.pack(">d", value).hex()
    if kind in ("text", "label"):
        return value if isinstance(value, str) else f"not text: {value!r}"
    if kind == "bytes":
        return bytes(value).hex()
    if kind == "sha256":
        value = value.encode() if isinstance(value, str) else bytes(value)
        return hashlib.sha256(value).hexdigest()
    if kind == "vector":
        return b"".join(struct.pack("<f", element) for element in value).hex()
    raise SystemExit(f"unknown kind {kind}")


def stored_name(name, names):
    """A column named like one of tidelog's own has its field id in its name."""
    renamed = [n for n in names if n.startswith(name + "__col")]
    return renamed[0] if renamed else name


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def read_duckdb(files, kinds):
    import duckdb

    connection = duckdb.connect()
    listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    source = f"read_parquet([{listed}], union_by_name = true)"
    described = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    names = [row[0] for row in described]
    kinds = {stored_name(name, names): kind for name, kind in kinds.items()}

    def expression(name):
        column = quoted(name)
        if kinds.get(name) == "micros":
            return f"epoch_us({column})"
        if kinds.get(name) == "days":
            return f"{column} - DATE '1970-01-01'"
        return column

    wanted = ", ".join(expression(name) for name in names if name != "__commit_time")
    cursor = connection.execute(f"SELECT {wanted} FROM {source}")
    kept = [name for name in names if name != "__commit_time"]
    return [dict(zip(kept, row)) for row in cursor.fetchall()]


def read_polars(files, kinds):
    import polars

    rows = []
    for file in files:
        frame = polars.read_parquet(file)
        as_numbers = [
            polars.col(name).to_physical()
            for name, kind in frame.schema.items()
            if kind == polars.Date or isinstance(kind, polars.Datetime)
        ]
        rows.extend(frame.with_columns(as_numbers).to_dicts())
    return rows


def read_pyarrow(files, kinds):
    import pyarrow
    import pyarrow.parquet

    rows = []
    for file in files:
        table = pyarrow.parquet.ParquetFile(file).read()
        columns = {}
        for field, column in zip(table.schema, table.columns):
            if pyarrow.types.is_date32(field.type):
                column = column.cast(pyarrow.int32())
            elif pyarrow.types.is_timestamp(field.type):
                assert field.type.unit == "us", field
                column = column.cast(pyarrow.int64())
            columns[field.name] = column.to_pylist()
        names = list(columns)
        rows.extend(dict(zip(names, row)) for row in zip(*columns.values()))
    return rows


def main():
    reader = sys.argv[1]
    wanted = json.load(sys.stdin)
    kinds = {column["name"]: column["kind"] for column in wanted["columns"]}
    try:
        rows = globals()["read_" + reader](wanted["files"], kinds)
    except ImportError as error:
        raise SystemExit(f"{reader} is missing ({error}): {NEXT_STEP}")
    key, problems, seen = wanted["key"], [], set()
    for row in rows:
        names = list(row)
        row_key = str(row[stored_name(key, names)])
        seen.add(row_key)
        if row_key not in wanted["rows"]:
            problems.append(f"row {row_key} is not on the server")
            continue
        for (name, kind), expected in zip(kinds.items(), wanted["rows"][row_key]):
            found = text(kind, row[stored_name(name, names)])
            if found != expected:
                problems.append(f"row {row_key} column {name!r}: {found} is not {expected}")
        has_raw = row["__raw"] is not None
        if has_raw != (row_key in wanted["raw"]):
            problems.append(f"row {row_key}: __raw is {'there' if has_raw else 'missing'}")
        if wanted["changes"] and row["__op"] != "insert":
            problems.append(f"row {row_key}: __op is {row['__op']}")
        if not wanted["changes"] and "__op" in row:
            problems.append("a base file has __op")
    missing = set(wanted["rows"]) - seen
    if missing or len(rows) != len(wanted["rows"]):
        problems.append(f"{len(rows)} rows, missing: {sorted(missing)}")
    if problems:
        raise SystemExit("\n".join(problem[:400] for problem in problems[:40]))
    print(len(rows) * len(kinds))


if __name__ == "__main__":
    main()
