"""Build the example's data: requests to a smart home, each with the JSON that Home Assistant needs to act on it.

The sentence templates are those of a shipped product: the English templates of `home-assistant-intents`, parsed by
`hassil`.  Each template is expanded a few times with names of rooms, devices and numbers, drawn from a fixed seed, so
two runs give the same bytes.  Fields of a record: `prompt` (the request), `completion` (compact JSON with `intent` and
`slots`), `intent` (the label) and `template` (which sentence template it came from: the group for the split).
"""

import argparse
import hashlib
import json
import random
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import home_assistant_intents
from hassil.expression import (
    Alternative,
    Expression,
    Group,
    ListReference,
    Permutation,
    RuleReference,
    TextChunk,
)
from hassil.parse_expression import parse_sentence

COMMON_INTENTS = [
    "HassTurnOn",
    "HassTurnOff",
    "HassGetState",
    "HassLightSet",
    "HassClimateSetTemperature",
    "HassClimateGetTemperature",
    "HassSetVolume",
    "HassSetPosition",
    "HassStartTimer",
    "HassCancelTimer",
    "HassMediaNext",
    "HassGetWeather",
]
ALL_INTENTS = 42
RECORDS_PER_TEMPLATE = 8
RECORDS_PER_RARE_TEMPLATE = 12  # an intent with few templates would otherwise have too few records to be learned
RARE_BELOW = 16  # templates of one intent
DRAWS_PER_RECORD = 8  # a template with few distinct expansions stops here instead of running for ever

AREAS = (
    "kitchen,living room,bedroom,bathroom,garage,hallway,office,dining room,nursery,basement,attic,laundry room,"
    "guest room,conservatory,pantry,playroom,studio,porch,cellar,library"
)
FLOORS = "ground,first,second,third,upper,lower,top"
DEVICES = {  # the names that people give to their devices, by Home Assistant domain
    "light": "reading lamp,desk lamp,chandelier,string lights,floor lamp,spotlight,night light,bedside lamp,lava lamp",
    "switch": "coffee machine,heater,kettle,christmas tree,aquarium pump,towel rail,water pump,phone charger",
    "fan": "ceiling fan,tower fan,extractor,desk fan,window fan,air purifier",
    "media_player": "soundbar,tv,record player,smart speaker,projector,radio,stereo,apple tv",
    "input_boolean": "guest mode,vacation mode,party mode,sleep mode",
    "climate": "thermostat,heat pump,air conditioner,radiator,boiler,underfloor heating",
    "cover": "patio awning,skylight,left curtain,driveway gate,roller blind,bay window,side door,pergola roof",
    "valve": "water valve,sprinkler valve,gas valve,garden tap",
    "lock": "front door,back door,shed lock,mailbox,safe,wine cabinet",
    "scene": "movie night,dinner,romantic,good morning,focus time,relax",
    "script": "bedtime routine,morning routine,leaving home,wake up,cleaning day",
    "button": "doorbell,reset button,garage opener,restart router",
    "input_button": "call butler,feed the cat,start dishwasher",
    "sensor": "outdoor humidity,power meter,rain gauge,battery level,water tank,air quality",
    "binary_sensor": "mailbox sensor,driveway sensor,crawl space,motion detector,desk sensor,stair sensor",
    "person": "alice,bob,carla,dmitri,eve,farid,grace,hiroshi",
    "weather": "berlin,london,oslo,new york,madrid,tokyo,home,the cabin",
    "vacuum": "robot,roomba,dusty,rover",
    "lawn_mower": "mower,grass cutter,bob the mower",
    "todo": "chores,groceries,work,holiday,packing,birthday",
}
FREE_TEXT = {  # what a person may say where a template takes any words, by list
    "message": "dinner is ready,time to leave,the movie starts,come downstairs,the pizza is here,bedtime in five",
    "search_query": "miles davis,kind of blue,abbey road,the beatles,jazz for work,the daily,inception,queen",
    "zone": "home,work,school,the gym,the office,the park,the station,grandma's house",
    "timer_name": "pasta,pizza,laundry,tea,eggs,workout,nap,homework,bread,rice",
    "timer_command": (
        "turn off the tv,open the blinds,lock the front door,turn on the heater,close the garage,stop music"
    ),
    "shopping_list_item": "milk,eggs,bread,olive oil,apples,coffee beans,toilet paper,rice,bananas,cheese,dog food",
    "todo_list_item": "call the plumber,water the plants,pay rent,wash the car,book flights,buy stamps,fix the lamp",
}

Slots = dict[str, Any]


class Expander:
    """Draws sentences from templates: one walk gives the text and the slots that the text fills."""

    def __init__(self, intents: dict[str, Any]) -> None:
        self.draw = random.Random()
        self.lists = intents["lists"]
        self.rules = {name: parse_sentence(body).expression for name, body in intents["expansion_rules"].items()}

    def sentences(
        self, template: str, block: dict[str, Any], wanted: int, seen: set[str], draw: random.Random
    ) -> Iterator[tuple[str, Slots]]:
        """At most ``wanted`` requests that are not in ``seen`` yet, each with its slots.

        ``block`` is the package's description of where the template applies: fixed slots and kinds of device.
        """
        self.draw = draw
        expression = parse_sentence(template).expression
        domains = (block.get("requires_context") or {}).get("domain") or sorted(DEVICES)
        names = [name for domain in _as_list(domains) for name in DEVICES[domain].split(",")]
        found = 0
        for _ in range(wanted * DRAWS_PER_RECORD):
            slots: Slots = dict(block.get("slots") or {})
            request = " ".join("".join(self._walk(expression, names, slots)).split())
            if request and request.casefold() not in seen:
                seen.add(request.casefold())
                yield request, slots
                found += 1
            if found == wanted:
                return

    def _walk(self, node: Expression, names: list[str], slots: Slots) -> Iterator[str]:
        if isinstance(node, TextChunk):
            yield node.original_text
        elif isinstance(node, ListReference):
            yield self._slot(node, names, slots)
        elif isinstance(node, RuleReference):
            yield from self._walk(self.rules[node.rule_name], names, slots)
        elif isinstance(node, Alternative):
            yield from self._walk(self.draw.choice(node.items), names, slots)
        elif isinstance(node, Group):
            shuffled = self.draw.sample(node.items, len(node.items)) if isinstance(node, Permutation) else node.items
            for item in shuffled:
                yield from self._walk(item, names, slots)
        else:
            raise TypeError(f"unknown part of a sentence template: {node!r}")

    def _slot(self, node: ListReference, names: list[str], slots: Slots) -> str:
        name = node.list_name
        values = {"area": AREAS.split(","), "floor": FLOORS.split(","), "name": names}.get(name)
        if values is None and name in FREE_TEXT:
            values = FREE_TEXT[name].split(",")
        if values is not None:
            spoken = meant = self.draw.choice(values)
        elif "range" in self.lists[name]:
            spoken, meant = self._number(self.lists[name]["range"])
        else:
            value = self.draw.choice(self.lists[name]["values"])
            spoken, meant = "".join(self._walk(parse_sentence(value["in"]).expression, names, {})), value["out"]
        slots[node.slot_name] = meant
        return spoken

    def _number(self, limits: dict[str, Any]) -> tuple[str, int]:
        number = self.draw.randrange(limits["from"], limits["to"] + 1, limits.get("step", 1))
        return str(number), number * limits.get("multiplier", 1)


def _as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def chosen_intents(intents: dict[str, Any], count: int) -> list[str]:
    """The 12 common intents, or every intent of the language."""
    return COMMON_INTENTS if count == len(COMMON_INTENTS) else sorted(intents["intents"])


def build(intents: dict[str, Any], count: int, seed: int) -> list[dict[str, str]]:
    """The records, in the order of the templates.

    Every request text occurs once: where two templates can say the same words, the first one has them, so no request
    carries two different answers.
    """
    expander = Expander(intents)
    seen: set[str] = set()
    records = []
    for intent in chosen_intents(intents, count):
        templates = [(block, text) for block in intents["intents"][intent]["data"] for text in block["sentences"]]
        wanted = RECORDS_PER_TEMPLATE if len(templates) >= RARE_BELOW else RECORDS_PER_RARE_TEMPLATE
        for number, (block, text) in enumerate(templates):
            # Its own generator for each template: a template added by the package changes no other one's records.
            draw = random.Random(f"{seed} {intent} {text}")
            for request, slots in expander.sentences(text, block, wanted, seen, draw):
                answer = {"intent": intent, "slots": dict(sorted(slots.items()))}
                completion = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
                group = f"{intent}/{number:03d}"
                records.append({"prompt": request, "completion": completion, "intent": intent, "template": group})
    return records


def source_note(records: list[dict[str, str]], data: bytes, intents_file: Path) -> str:
    """Where the data comes from and under what licence, as Markdown."""
    labels = {record["intent"] for record in records}
    templates = {record["template"] for record in records}
    return f"""# Source of the data

- {len(records)} records, {len(labels)} intents, {len(templates)} sentence templates
- made by `data/build.py` from the English templates of `home-assistant-intents` {version("home-assistant-intents")},
  parsed by `hassil` {version("hassil")}; names of rooms and devices are this script's own
- licence: Apache-2.0 (https://github.com/OHF-Voice/intents)
- sha256 of the package's `data/en.json`: `{hashlib.sha256(intents_file.read_bytes()).hexdigest()}`
- sha256 of the records: `{hashlib.sha256(data).hexdigest()}`
"""


def write(path: Path, data: bytes) -> None:
    """Write beside and rename: an interrupted build leaves no half file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(data)
    temporary.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--intents", type=int, choices=(len(COMMON_INTENTS), ALL_INTENTS), default=len(COMMON_INTENTS))
    parser.add_argument("--output", type=Path, default=Path("data/raw/requests.jsonl"))
    parser.add_argument("--seed", type=int, default=42)
    arguments = parser.parse_args()

    intents_file = Path(home_assistant_intents.__file__).parent / "data" / "en.json"
    records = build(json.loads(intents_file.read_bytes()), arguments.intents, arguments.seed)
    data = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()
    write(arguments.output, data)
    write(arguments.output.with_name("SOURCE.md"), source_note(records, data, intents_file).encode())
    print(f"{arguments.output}: {len(records)} records, {len({r['intent'] for r in records})} intents")


if __name__ == "__main__":
    main()
