"""Labelled texts from CSV files with a header and from JSON lines."""
import csv
import json

from command import BadInput, shown


def rows_of_csv(path, stream):
    """(line, {column: text})"""
    csv.field_size_limit(2**27)
    reader = csv.reader(stream, strict=True)
    try:
        header = next(reader, None)
        if not header:
            raise BadInput(path, "empty (need a header with the names of the columns)")
        for row in reader:
            if row and len(row) != len(header):
                raise BadInput(path, f"line {reader.line_num}: {len(row)} fields (need {len(header)}, as in the header)")
            if row:
                yield reader.line_num, dict(zip(header, row))
    except csv.Error as error:
        raise BadInput(path, f"line {reader.line_num}: {error}")


def rows_of_json_lines(path, stream):
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadInput(path, f"line {number}: not JSON: {error}")
        if not isinstance(row, dict):
            raise BadInput(path, f"line {number}: {shown(line.strip())} (need an object)")
        yield number, row


def read_texts(path, text, label):
    """Texts and labels as strings. A file whose first character is { has an object on each line, any other is CSV."""
    texts, labels = [], []
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            first = stream.read(1)
            stream.seek(0)
            rows = rows_of_json_lines if first == "{" else rows_of_csv
            for number, row in rows(path, stream):
                for option, name in (("--text", text), ("--label", label)):
                    if name not in row:
                        known = ", ".join(map(str, list(row)[:12]))
                        raise BadInput(option, f"{shown(name)} (line {number} of {path} has {shown(known)})")
                if not isinstance(row[text], str):
                    raise BadInput(path, f"line {number}: {shown(text)} is {shown(row[text])} (need a text)")
                if isinstance(row[label], (dict, list, float)) or row[label] is None:
                    raise BadInput(path, f"line {number}: {shown(label)} is {shown(row[label])} (need a text or a whole number)")
                texts.append(row[text])
                labels.append(str(int(row[label])) if isinstance(row[label], bool) else str(row[label]).strip())
    except UnicodeDecodeError as error:
        raise BadInput(path, f"not UTF-8: {error.reason} at byte {error.start}")
    if not texts:
        raise BadInput(path, "no texts")
    return texts, labels
