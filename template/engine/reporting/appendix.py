"""The second half of the report: what the verdict rests on."""

from xml.etree.ElementTree import Element

from engine.core.device import versions
from engine.core.display import requests_band, usd_band
from engine.html.elements import Node, h, table
from engine.reporting.charts import line_chart
from engine.reporting.inputs import Facts


def data(facts: Facts) -> Element:
    """From lines read to lines used, with the reason for each line left out."""
    d = facts.data
    steps: list[list[Node]] = [["Lines read", f"{d['read']:,}"]]
    steps += [[f"left out: {reason.replace('_', ' ')}", f"-{count:,}"] for reason, count in d["rejected"].items()]
    steps += [[name, f"{d[key]:,}"] for name, key in (("Train", "train"), ("Dev", "dev"), ("Test (frozen)", "test"))]
    leak = (
        f"{d['leakage']['test_near_train']} test items have a near duplicate in the training data; a random split "
        f"would have leaked {d['leakage']['random_split_would_leak']:.1%}."
    )
    found = d["contamination"]
    items = ", ".join(f"{name}: {n['found']} of {n['items']}" for name, n in found["benchmarks"].items())
    clean = (
        f"{found['records']} training records contain an evaluation item (policy: {found['policy']}); items of each "
        f"benchmark found in the training data: {items}."
    )
    grid = table(["Step", "Lines"], steps, "What became of every line")
    return h(
        "section", h("h2", "Data"), grid, h("p", leak), h("p", clean, class_="warning" if found["records"] else "note")
    )


def training(facts: Facts) -> Element | None:
    """Loss by step and the run record."""
    t = facts.training
    if t is None:
        return None
    series = {
        name: [(row["step"], row[name]) for row in facts.curves if row.get(name) is not None]
        for name in ("loss", "eval_loss")
    }
    text = (
        f"{t['steps']} steps, {t['tokens']:,} tokens in {t['seconds']:,.0f} s ({t['tokens_per_second']:,.0f} a "
        f"second) on {t['device']}, {t['compute_dtype']}, peak memory {t['peak_memory_gib']:.2f} GiB."
    )
    chart = line_chart(series, "Loss by step", "step")
    return h("section", h("h2", "Training"), h("p", text), h("figure", chart, h("figcaption", "Loss on train and dev")))


def cost(facts: Facts) -> Element:
    """Prices, break-even, and what the numbers assume."""
    c = facts.cost
    machine, even = c["hardware"], c["break_even"]
    price = usd_band(machine["usd_per_hour"])
    paragraphs = [
        f"Priced as {machine['title']} at {price} an hour ({machine['source']}, {machine['date'] or 'undated'}), busy "
        f"{c['utilisation']:.0%} of the time. Times were measured on {c['measured_on']}.",
    ]
    if even:
        paragraphs.append(
            f"Training cost {usd_band(c['training']['usd'])}. Against {even['against']} it pays for itself after: "
            f"{requests_band(even['requests'])} ({even['reason']})."
        )
    hosted: list[list[Node]] = [
        [
            row["title"],
            *(banded(row["arms"].get(arm)) for arm in c["arms"]),
            f"{row['source']}, {row['date'] or 'undated'}",
        ]
        for row in c["hosted"].values()
    ]
    caption = "The same tokens sent to a hosted model, $ for 1,000 requests (its quality was not measured)"
    return h(
        "section",
        h("h2", "Cost and break-even"),
        *(h("p", warning, class_="warning") for warning in c["warnings"]),
        *(h("p", text) for text in paragraphs),
        table(["Hosted model", *c["arms"], "Price"], hosted, caption) if hosted else None,
        h("p", "Assumed: " + "; ".join(c["assumptions"]) + ".", class_="note"),
    )


def trace(facts: Facts) -> Element:
    """Every rule of the verdict in the order it was asked."""
    rules = [
        h("li", rule["rule"], h("small", rule["detail"]), class_="holds" if rule["holds"] else "fails")
        for rule in facts.scores["verdict"]["trace"]
    ]
    return h("section", h("h2", "How the verdict was reached"), h("ol", *rules, class_="trace"))


def retrieval(facts: Facts) -> Element | None:
    """How often each ranking finds a passage that states the answer."""
    r = facts.retrieval
    if r is None:
        return None
    rows: list[list[Node]] = [
        [name + (", used" if name == r["ranking"] else ""), *(f"{value:.3f}" for value in scores.values())]
        for name, scores in r["rankings"].items()
    ]
    header = ["Ranking", *(name.replace("_", " ") for name in r["rankings"][r["ranking"]])]
    text = (
        f"{r['passages']:,} passages of {r['documents']:,} documents; {r['depth']} go into a prompt. A passage is "
        f"relevant if it states the expected answer: {r['answerable']} of {r['items']} items have one, the others no "
        "ranking can find."
    )
    copied = r["test_pairs_in_documents"]
    warning = f"{len(copied)} test items stand in the documents with question and answer: the benchmark is in there."
    return h(
        "section",
        h("h2", "Retrieval"),
        h("p", text),
        h("p", warning, class_="warning") if copied else None,
        table(header, rows, "Found among the passages, test items"),
    )


def reproducibility(facts: Facts) -> Element:
    """What it takes to get the same numbers again."""
    t, parity = facts.training, facts.serving["parity"]
    trained = t and {"tuned weights": t["tuned_sha256"], "training data": t["data_sha256"]}
    pins = {
        "base model": f"{facts.model['source']} {facts.settings.model.id} {facts.model.get('revision') or ''}",
        "base weights": facts.baseline["base_sha256"],
        **(trained or {}),
        "benchmark": facts.scores["benchmark_sha256"],
        "raw data": str(facts.data["raw_sha256"]),
        "served as evaluated": f"{facts.serving['arm']}: {parity['equal']} of {parity['items']} answers equal",
        "seed": str(facts.settings.seed),
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
    }
    rows: list[list[Node]] = [[name, h("div", value, class_="hash")] for name, value in pins.items()]
    grid = table(["What", "SHA-256 or version"], rows, "`dvc repro` on the same commit gives the same hashes")
    return h("section", h("h2", "Reproduce it"), grid)


def banded(band: dict[str, float] | None) -> Element:
    """Typical dollars over their interval."""
    typical, _, interval = usd_band(band).partition(" [")
    return h("span", typical, h("small", "[" + interval) if interval else None)
