"""Prices of hosted models from the package genai-prices, which carries them in its wheel and needs no network.

It is an optional extra (`tunesmith[prices]`): the price list has the models that are asked for most, with no
dependency. Traps met: a million tokens in one request fall into the long-context tier, so one thousand are priced.
"""

from importlib.metadata import version

from tunesmith.costing.cost_arithmetic import Band
from tunesmith.costing.price_list import Figure, PriceError

TOKENS = 1000
FIX = "choose a model of `tunesmith catalog prices`, or add this one to your own price file"


def rates(name: str) -> tuple[Figure, Figure]:
    """Dollars for a million tokens in and out of ``provider:model``.

    Raises:
        PriceError: the package is not installed or does not know the model.
    """
    provider, _, model = name.partition(":")
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        raise PriceError(
            f"the price of {name!r} comes from genai-prices, which is not installed",
            "hosted_model",
            "pip install 'tunesmith[prices]'",
        ) from None
    try:
        found = calc_price(Usage(input_tokens=TOKENS, output_tokens=TOKENS), model_ref=model, provider_id=provider)
    except LookupError:
        raise PriceError(f"genai-prices does not know {name!r}", "hosted_model", FIX) from None
    source = f"genai-prices {version('genai-prices')}"
    sides = (found.input_price, found.output_price)
    first, second = (Figure(name, Band(*[float(usd) / TOKENS * 1e6] * 3), source, "") for usd in sides)
    return first, second
