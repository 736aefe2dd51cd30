"""Broken data files: good ones of every container, with bytes flipped, cut, repeated and exchanged for nasty ones."""

import gzip
import io
import json
import random

import pyarrow
import pyarrow.parquet
import zstandard

NASTY = [
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b'"',
    b"\\",
    b"\n",
    b"\r",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"NaN",
    b"1e999",
]
NASTY += [
    b"\\ud800",
    b"\\u0000",
    b"\xe2\x80\xa8",
    b"\xef\xbb\xbf",
    b"null",
    b"-",
    b"[" * 2000,
    b'{"a":' * 500,
    b"9" * 5000,
]
NASTY += [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1", b"ARROW1", b'"""', b"\t", b"<|im_end|>", "café".encode("latin-1")]


def seeds() -> list[bytes]:
    """One small good file of each container, and of the formats with the most to go wrong."""
    rows = [{"prompt": f"turn on lamp {n}", "completion": f"on {n}", "system": "s: {}"} for n in range(6)]
    chats = [
        {"messages": [{"role": "user", "content": "é\\n"}, {"role": "assistant", "content": f"{n}"}]} for n in range(4)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    table = b"prompt,completion\n" + b"".join(b'"a, %d","b"\n' % n for n in range(5))
    arrays = [json.dumps(rows, indent=1).encode(), json.dumps({"data": chats}).encode()]
    turns = [{"from": "human", "value": "Q"}, {"from": "function_call", "value": '{"name": "f", "arguments": {}}'}]
    spoken = json.dumps({"conversations": turns, "tools": '[{"name": "f"}]', "system": "s"}).encode() + b"\n"
    pairs = [
        {"chosen": "\n\nHuman: Q\n\nAssistant: a", "rejected": "\n\nHuman: Q\n\nAssistant: b"},
        {"prompt": "Q", "responses": ["a", "b"], "ranks": [1, 2]},
        {"prompt": "Q", "chosen": [{"role": "assistant", "content": "a"}], "rejected": "b", "score_chosen": 1},
    ]
    compared = "".join(json.dumps(pair) + "\n" for pair in pairs).encode()
    marked = "<|start|>user<|message|>Q<|end|><|start|>assistant<|channel|>analysis<|message|>hm<|end|>"
    marked += "<|start|>assistant<|channel|>final<|message|>A<|return|>"
    texts = ["<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>", marked, "[INST] Q [/INST] A </s>"]
    templated = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    cells = [json.dumps(turns), str(turns), "[" + "\n ".join(map(str, turns)) + "]"]
    listed = "conversations,completion\n" + "".join('"' + cell.replace('"', '""') + '","{}"\n' for cell in cells)
    wrapped = json.dumps({"result": {"meta": [{"a": [1]}], "data": rows}}).encode()
    tabs = b"prompt\tcompletion\n" + b"".join(b'"a\n %d"\tb\n' % n for n in range(5))
    packed = [gzip.compress(lines, mtime=0), zstandard.compress(lines)]
    return [lines, *arrays, table, *packed, spoken, compared, templated, listed.encode(), wrapped, tabs, *_binary(rows)]


def _binary(rows: list[dict[str, str]]) -> list[bytes]:
    """Parquet, an Arrow file and an Arrow stream."""
    cells = pyarrow.Table.from_pylist(rows)
    sinks = [io.BytesIO() for _ in range(3)]
    pyarrow.parquet.write_table(cells, sinks[0])
    for sink, writing in zip(sinks[1:], (pyarrow.ipc.new_file, pyarrow.ipc.new_stream), strict=True):
        with writing(sink, cells.schema) as writer:
            writer.write_table(cells)
    return [sink.getvalue() for sink in sinks]


def mutant(draw: random.Random, originals: list[bytes]) -> bytes:
    """A file that was damaged one to six times."""
    data = draw.choice(originals)
    for _ in range(draw.randint(1, 6)):
        at = draw.randrange(len(data) + 1)
        match draw.randrange(5):
            case 0:
                data = data[:at] + draw.choice(NASTY) + data[at:]
            case 1:
                data = data[:at] + data[at + draw.randint(1, 30) :]
            case 2:
                data = data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :]
            case 3:
                data = data[:at] + data[at // 2 :]
            case _:
                data = data[: draw.randint(at, len(data))]
    return data
