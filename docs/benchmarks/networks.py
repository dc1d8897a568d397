# SPDX-License-Identifier: Apache-2.0
"""Measures networks in every engine and precision, and writes docs/benchmarks-networks.md from what it found.

    python docs/benchmarks/networks.py edge.rasant edge-int8.rasant nano.rasant nano-int8.rasant

Bundles of one preset belong together; without any, the presets edge and nano are exported with random weights, which
compute as long as trained ones. `--page` only writes the page again from docs/benchmarks/networks.json.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import int8_accuracy
import numpy as np

from rasant.bench.bundle import Candidate, bench_bundles
from rasant.bench.host import host
from rasant.bench.latency import ratio_of_medians
from rasant.bench.peers_engine import RAW, engine_pair
from rasant.bench.record import BUSY, make_records
from rasant.bundle import read_bundle
from rasant.engines import probe_engines

HERE = Path(__file__).resolve().parent
FOUND, PAGE = HERE / "networks.json", HERE.parent / "benchmarks-networks.md"
PRESETS = ("edge", "nano")
TURNS, CALLS = 12, 3
BUSY_TEXT = (
    "\n**Other programs kept this machine busy when the measurement began: milliseconds are far too high, torch suffers"
    " most,\nand a ratio says no more than its interval. Measure again on a quiet machine.**\n"
)
EAGER, BARE = "torch eager", "onnxruntime, bare"
HEAD = (
    "| network | precision | program | ms | torch eager / this | bare ONNX Runtime fp32 / this | this / bare |\n"
    "|---|---|---|---|---|---|---|"
)
INSPECTION_HEAD = (
    "| network | precision | engine | preprocess | infer | score | total p50 | total p95 | frames/s |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


class Graph(NamedTuple):
    """One network in one precision. path: its bundle, or None for random weights."""

    method: str
    preset: str
    precision: str
    model: bytes
    path: Path | None = None


@dataclass
class Program:
    """Something that runs one network, and the best milliseconds of each of its turns."""

    precision: str
    name: str
    call: Callable[[], object]
    turns: list[float]


def graphs_of(paths: Sequence[Path]) -> list[Graph]:
    """The graphs of bundles, or of the presets with random weights."""
    if not paths:
        return [Graph("das3d", preset, "fp32", random_graph("das3d", preset)) for preset in PRESETS]
    found = []
    for path in paths:
        bundle = read_bundle(path)
        m = bundle.manifest
        found.append(Graph(m.method, m.preset, m.detector.precision, bundle.graph(), path))
    return found


def torch_network(method: str, preset: str) -> tuple[Any, dict[str, Any]]:
    """The preset's network in its export form with random weights, and an input for each modality."""
    torch = importlib.import_module("torch")
    training = importlib.import_module("rasant_training.method")
    recipe, built = training.load_preset(method, preset), training.load_method(method)
    torch.manual_seed(0)
    network = built.export_module(built.build(recipe)).eval()
    size = recipe.preprocess.size
    return network, {name: torch.rand(1, {"color": 3, "depth": 1}[name], *size) for name in recipe.inputs}


def random_graph(method: str, preset: str) -> bytes:
    """ONNX bytes of `torch_network`."""
    network, inputs = torch_network(method, preset)
    return bytes(importlib.import_module("rasant_training.export.onnx").to_onnx(network, inputs).model)


def eager(method: str, preset: str, threads: int) -> tuple[Callable[[], object], int]:
    """A call of torch's own execution, and the number of convolution weights."""
    torch = importlib.import_module("torch")
    torch.set_num_threads(threads)
    network, inputs = torch_network(method, preset)

    def call() -> object:
        with torch.inference_mode():
            return network(*inputs.values())

    return call, sum(weight.numel() for weight in network.parameters() if weight.ndim == 4)


def convolution_weights(model: bytes) -> int:
    """Of a graph; whatever their precision."""
    onnx = importlib.import_module("onnx")
    tensors = onnx.load_model_from_string(model).graph.initializer
    return sum(int(np.prod(tensor.dims)) for tensor in tensors if len(tensor.dims) == 4)


def programs_of(graphs: Sequence[Graph], threads: int) -> Iterator[Program]:
    """Torch eager once, then each graph in our engines and in the runtimes without us. Graphs share a preset."""
    first = graphs[0]
    call, weights = eager(first.method, first.preset, threads)
    yield Program("fp32", EAGER, call, [])
    engines = [name for name, probe in probe_engines().items() if probe.available and name in RAW]
    for graph, engine in itertools.product(graphs, sorted(engines)):
        if convolution_weights(graph.model) != weights:
            raise SystemExit(f"{graph.path} is not of the network that preset {graph.preset} builds today")
        ours, bare = engine_pair(graph.model, engine=engine, threads=threads)
        yield Program(graph.precision, engine, ours, [])
        yield Program(graph.precision, f"{engine}, bare", bare, [])


def take_turns(programs: Sequence[Program], turns: int) -> None:
    """Of each turn the best of CALLS calls counts; the call before them is not timed."""
    for turn in range(turns):
        for k in range(len(programs)):
            program = programs[(k + turn) % len(programs)]
            program.call()
            best = float("inf")
            for _ in range(CALLS):
                begin = time.perf_counter()
                program.call()
                best = min(best, 1e3 * (time.perf_counter() - begin))
            program.turns.append(best)


def measure_network(graphs: Sequence[Graph], threads: int, turns: int) -> dict[str, Any]:
    """All programs of one preset, in turns in this process."""
    programs = list(programs_of(graphs, threads))
    take_turns(programs, turns)
    for program in programs:
        ms = statistics.median(program.turns)
        print(f"{graphs[0].preset:<6} {program.precision} {program.name:<18} {ms:8.2f} ms", flush=True)
    return {
        "method": graphs[0].method, "preset": graphs[0].preset, "trained": graphs[0].path is not None,
        "convolution_weights": convolution_weights(graphs[0].model),
        "programs": [{"precision": p.precision, "name": p.name, "turns_ms": p.turns} for p in programs],
    }  # fmt: skip


def measure_inspections(graphs: Sequence[Graph], source: str, threads: int, frames: int) -> list[dict[str, Any]]:
    """Whole inspections of every bundle in every engine, in turns: what `rasant bench` measures."""
    engines = sorted(name for name, probe in probe_engines().items() if probe.available and name in RAW)
    pairs = [(graph, engine) for graph in graphs if graph.path is not None for engine in engines]
    if not pairs:
        return []
    candidates = [Candidate(graph.path, engine) for graph, engine in pairs if graph.path is not None]
    run = bench_bundles(candidates, source, frames=frames, threads=threads)
    return [
        {
            "preset": graph.preset, "precision": graph.precision, "engine": engine, "source": source,
            "fps": record["throughput_fps"], "latency_ms": record["latency_ms"], "counts": record["counts"],
        }
        for (graph, engine), record in zip(pairs, make_records(run), strict=True)
    ]  # fmt: skip


def ratio(a: Sequence[float], b: Sequence[float]) -> str:
    """Medians a / b with the 95 % interval over turns."""
    found = ratio_of_medians([[value] for value in a], [[value] for value in b])
    assert found is not None
    return f"{found.value:.2f}" + ("" if found.low is None else f" ({found.low:.2f} to {found.high:.2f})")


def network_lines(network: dict[str, Any]) -> Iterator[str]:
    """Rows of the first table."""
    turns = {(p["precision"], p["name"]): p["turns_ms"] for p in network["programs"]}
    for (precision, name), values in turns.items():
        bare = turns.get((precision, f"{name}, bare"))
        cells = (
            network["preset"], precision, name, f"{statistics.median(values):.1f}", ratio(turns["fp32", EAGER], values),
            ratio(turns["fp32", BARE], values) if ("fp32", BARE) in turns else "", ratio(values, bare) if bare else "",
        )  # fmt: skip
        yield "| " + " | ".join(cells) + " |"


def inspection_line(found: dict[str, Any]) -> str:
    """A row of the second table."""
    ms = found["latency_ms"]
    stages = [f"{ms[stage]['p50']:.1f}" for stage in ("preprocess", "infer", "score", "total")]
    rest = f"{ms['total']['p95']:.1f}", f"{found['fps']:.1f}"
    cells = (found["preset"], found["precision"], found["engine"], *stages, *rest)
    return "| " + " | ".join(cells) + " |"


def inspections_text(inspections: Sequence[dict[str, Any]]) -> str:
    """The second table, with what its rows share."""
    if not inspections:
        return "Needs bundles: name them on the command line."
    told = (
        f"From frame to verdict, median milliseconds, as `rasant bench` measures them: frames of "
        f"`{inspections[0]['source']}` from memory, all rows in turns.\n"
    )
    return "\n".join([told, INSPECTION_HEAD, *map(inspection_line, inspections)])


def page(found: dict[str, Any]) -> str:
    """Markdown of benchmarks-networks.md: the text of networks.txt with tables and machine set in."""
    m, networks = found["machine"], found["networks"]
    packages = ", ".join(f"{name} {number}" for name, number in m["packages"].items())
    where = (
        f"{m['processor']}, {m['cpus']} CPUs ({', '.join(m['vectors'])}), Python {m['python']}, {packages}, "
        f"torch {found['torch']}; {found['date']}, load when begun {m['load']}"
    )
    fields = {
        "BUSY": BUSY_TEXT if m["load"] > BUSY * m["cpus"] else "",
        "MACHINE": where, "THREADS": str(found["threads"]), "TURNS": str(found["turns"]),
        "WEIGHTS": "trained" if all(network["trained"] for network in networks) else "random",
        "TABLE": "\n".join([HEAD, *(line for network in networks for line in network_lines(network))]),
        "INSPECTIONS": inspections_text(found["inspections"]),
        "INT8": int8_accuracy.table(json.loads(int8_accuracy.FOUND.read_text(encoding="utf-8"))["rows"]),
    }  # fmt: skip
    text = (HERE / "networks.txt").read_text(encoding="utf-8")
    for name, value in fields.items():
        text = text.replace("{" + name + "}", value)
    return text


def main() -> None:
    """Measure unless `--page`, and write."""
    parser = argparse.ArgumentParser(description="Networks in every engine and precision.")
    parser.add_argument("bundles", nargs="*", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--frames", type=int, default=200, help="of whole inspections")
    parser.add_argument("--source", default="synthetic:plate", help="of whole inspections")
    parser.add_argument("--page", action="store_true", help="only write the page again")
    options = parser.parse_args()
    if not options.page:
        machine, graphs = host(), graphs_of(options.bundles)
        kinds = list(dict.fromkeys((graph.method, graph.preset) for graph in graphs))
        groups = [[graph for graph in graphs if graph[:2] == kind] for kind in kinds]
        found = {
            "machine": machine, "threads": options.threads, "turns": options.turns, "date": date.today().isoformat(),
            "torch": importlib.import_module("torch").__version__,
            "networks": [measure_network(group, options.threads, options.turns) for group in groups],
            "inspections": measure_inspections(graphs, options.source, options.threads, options.frames),
        }  # fmt: skip
        FOUND.write_text(json.dumps(found, indent=0) + "\n", encoding="utf-8")
    PAGE.write_text(page(json.loads(FOUND.read_text(encoding="utf-8"))), encoding="utf-8")
    print(f"docs/{PAGE.name} written")


if __name__ == "__main__":
    main()
