"""Reads `fleet.toml` and checks all of it: what can be told from the file alone, every problem with its line and key.

A key that is not written is not in `values`: it keeps what is stored, or the default. Nothing here knows the database.
"""

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from cloud.fleet import custom_account
from cloud.fleet import file_fields as fields
from cloud.fleet.file_fields import Field, Wrong
from cloud.fleet.file_lines import FileLines, Place
from cloud.fleet.receipt_terms import WITH_RECEIPT

Table = dict[str, Any]
MAX_DEPTH = 32
"""Tables and lists inside each other; what we read has six."""
_TOO_DEEP = "it is nested too deep"


class FleetFileError(ValueError):
    """The whole file is refused. `problems` has a sentence for each mistake; the text has all of them."""

    def __init__(self, name: str, problems: list[str]) -> None:
        super().__init__("\n".join([f"{name} is refused, nothing was changed:", *problems]))
        self.problems = problems


@dataclass(frozen=True)
class AccountEntry:
    """One `[merchant.payment.X]`."""

    merchant_id: str
    scenario: str
    secret: str = field(repr=False)
    values: Table
    place: Place


@dataclass(frozen=True)
class DrinkEntry:
    """One `[[device.drink]]`; prices are in `values` as `price_small` and so on, None when not sold."""

    drink_no: str
    values: Table


@dataclass(frozen=True)
class DeviceEntry:
    """One `[[device]]`."""

    device_uuid: str
    values: Table
    drinks: list[DrinkEntry]
    place: Place
    kept_drinks: set[str] = field(default_factory=set)
    """Not in the file, and kept all the same: somebody added them by hand."""


@dataclass
class FleetFile:
    """What the file says, as far as it could be understood, and what is wrong with it."""

    name: str
    lines: FileLines
    merchants: dict[str, Table] = field(default_factory=dict)
    merchant_places: dict[str, Place] = field(default_factory=dict)
    accounts: list[AccountEntry] = field(default_factory=list)
    named_accounts: set[tuple[str, str]] = field(default_factory=set)
    """Also those with a mistake in them: one mistake is told once."""
    devices: list[DeviceEntry] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _problems: list[tuple[int, str]] = field(default_factory=list)

    def problem(self, place: Place, words: str) -> None:
        """Something is wrong at this place."""
        self._problems.append((self.lines.of(place), f"{self._at(place)} {words}"))

    def warn(self, place: Place, words: str) -> None:
        """Something may be taken, but should not stay."""
        self.warnings.append(f"{self._at(place)} {words}")

    def refuse_if_wrong(self) -> None:
        """Raises `FleetFileError` with every problem, in the file's order."""
        if self._problems:
            raise FleetFileError(self.name, [words for _, words in sorted(self._problems, key=lambda found: found[0])])

    def _at(self, place: Place) -> str:
        key = ".".join(part for part in place if isinstance(part, str))
        return f"line {self.lines.of(place)}, {key}:"


def read_fleet(
    source: str | Path, environ: Mapping[str, str], *, with_accounts: bool = True, reserved: Collection[str] = ()
) -> FleetFile:
    """Parse a path's file, or a text. Raises `FleetFileError` when it is no TOML; other mistakes stay in the result.

    Without accounts, what it says about them is left alone: a file from elsewhere must not read this host's secrets.
    `reserved`: the cloud's own names at the broker, which no machine may have.
    """
    name = source.name if isinstance(source, Path) else "the file"
    folder = source.parent if isinstance(source, Path) else Path()
    try:
        text = source.read_text(encoding="utf-8-sig") if isinstance(source, Path) else source
        document = tomllib.loads(text)
    except OSError as error:
        raise FleetFileError(name, [f"it cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise FleetFileError(name, [f"it is not UTF-8 text: {error}"]) from error
    except tomllib.TOMLDecodeError as error:
        raise FleetFileError(name, [_syntax(error)]) from error
    except RecursionError:
        raise FleetFileError(name, [_TOO_DEEP]) from None
    if _is_too_deep(document):
        raise FleetFileError(name, [_TOO_DEEP])
    file = FleetFile(name, FileLines(text))
    return _Reader(file, environ, folder, with_accounts, reserved).read(document)


def _is_too_deep(document: Table) -> bool:
    """Tell whether it nests too deep: dotted keys do so without harm to the parser, not to what prints the value."""
    level: list[Table | list[Any]] = [document]
    for _ in range(MAX_DEPTH):
        inside = (value for one in level for value in (one.values() if isinstance(one, dict) else one))
        level = [value for value in inside if isinstance(value, dict | list)]
    return bool(level)


def _syntax(error: tomllib.TOMLDecodeError) -> str:
    words = str(error)
    where = re.search(r" \(at line (\d+), column (\d+)\)$", words)
    return f"line {where[1]}, column {where[2]}: {words[: where.start()]}" if where else words


class _Reader:
    """Walks through the document once and gathers entries and problems."""

    def __init__(
        self, file: FleetFile, environ: Mapping[str, str], folder: Path, with_accounts: bool, reserved: Collection[str]
    ) -> None:
        self._file = file
        self._with_accounts = with_accounts
        self._reserved = reserved
        self._account = fields.ACCOUNT | {"secret_key": Field(fields.secret(environ, folder), required=True)}
        self._seen: dict[Place, Place] = {}

    def read(self, document: Table) -> FleetFile:
        self._refuse_unknown(document, {"merchant", "device"}, ())
        for table, place in self._tables(document, "merchant", ()):
            self._merchant(table, place)
        for table, place in self._tables(document, "device", ()):
            self._device(table, place)
        return self._file

    def _merchant(self, table: Table, place: Place) -> None:
        values = self._values(table, fields.MERCHANT, place, also={"payment"})
        merchant_id = self._only(values.pop("id", None), ("merchant",), (*place, "id"))
        accounts = table.get("payment", {})
        if not isinstance(accounts, dict):
            self._file.problem((*place, "payment"), "must be tables like [merchant.payment.Yookassa]")
            accounts = {}
        for scenario, account in accounts.items() if self._with_accounts else ():
            self._read_account(merchant_id, scenario, account, (*place, "payment", scenario))
        if merchant_id is not None:
            self._file.merchants[merchant_id] = values
            self._file.merchant_places[merchant_id] = place

    def _read_account(self, merchant_id: str | None, scenario: str, table: Any, place: Place) -> None:
        try:
            fields.SCENARIO(scenario)
        except Wrong as wrong:
            self._file.problem(place, str(wrong))
            return
        if not isinstance(table, dict):
            self._file.problem(place, f"must be a table, [merchant.payment.{scenario}]")
            return
        with_receipt = scenario in WITH_RECEIPT
        known = self._account | (custom_account.FIELDS if scenario == custom_account.CUSTOM else {})
        values = self._values(table, known, place, also={"receipt"} if with_receipt else None)
        if scenario == custom_account.CUSTOM:
            custom_account.complete(values)
            for key, words in custom_account.mistakes(table, values):
                self._file.problem((*place, key), words)
        if with_receipt:
            values["receipt"] = self._receipt(table, fields.MERCHANT_RECEIPT, place)
            if "receipt" not in table:
                self._file.problem((*place, "receipt"), "is missing: write at least receipt = { vat_code = 1 }")
        if fields.is_plain_secret(table.get("secret_key")):
            self._file.warn((*place, "secret_key"), "is in the file in plain text; better env:NAME or file:PATH")
        if merchant_id is None:
            return
        self._file.named_accounts.add((merchant_id, scenario))
        if "secret_key" in values:
            secret = values.pop("secret_key")
            self._file.accounts.append(AccountEntry(merchant_id, scenario, secret, values, place))

    def _device(self, table: Table, place: Place) -> None:
        values = self._values(table, fields.DEVICE, place, also={"drink"})
        device_uuid = self._only(values.pop("device_uuid", None), ("device",), (*place, "device_uuid"))
        if device_uuid in self._reserved:
            words = f'must not be "{device_uuid}": that is the cloud\'s own name at the broker'
            self._file.problem((*place, "device_uuid"), words)
        if "merchant" in values:
            values["merchant_id"] = values.pop("merchant")
        drinks = [self._drink(drink, place, at) for drink, at in self._tables(table, "drink", place)]
        if device_uuid is not None:
            known = [drink for drink in drinks if drink is not None]
            self._file.devices.append(DeviceEntry(device_uuid, values, known, place))

    def _drink(self, table: Table, device: Place, place: Place) -> DrinkEntry | None:
        values = self._values(table, fields.DRINK, place, also={"prices", "receipt"})
        values["receipt"] = self._receipt(table, fields.RECEIPT, place)
        drink_no = self._only(values.pop("drink_no", None), device, (*place, "drink_no"))
        prices = table.get("prices")
        if not isinstance(prices, dict) or not prices:
            example = "{ small = 14900, large = 19900 }, in kopecks"
            self._file.problem((*place, "prices"), f"is missing: write the sizes on sale, like prices = {example}")
            prices = {}
        found = self._values(prices, fields.PRICES, (*place, "prices"))
        values |= {f"price_{size}": found.get(size) for size in fields.SIZES}
        return DrinkEntry(drink_no, values) if drink_no is not None else None

    def _receipt(self, table: Table, known: Mapping[str, Field], place: Place) -> Table | None:
        told = table.get("receipt", {})
        if not isinstance(told, dict):
            self._file.problem((*place, "receipt"), "must be a table like { vat_code = 1 }")
            return None
        return self._values(told, known, (*place, "receipt")) if "receipt" in table else None

    def _tables(self, parent: Table, key: str, place: Place) -> Iterator[tuple[Table, Place]]:
        tables = parent.get(key, [])
        header = ".".join([part for part in place if isinstance(part, str)] + [key])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self._file.problem((*place, key), f"must be written [[{header}]], with two brackets")
            return
        for index, table in enumerate(tables):
            yield table, (*place, key, index)

    def _values(self, table: Table, known: Mapping[str, Field], place: Place, also: set[str] | None = None) -> Table:
        """The values that are good, each mistake noted."""
        self._refuse_unknown(table, known.keys() | (also or set()), place)
        values = {}
        for key, rule in known.items():
            if key not in table:
                if rule.required:
                    self._file.problem((*place, key), "is missing")
                continue
            try:
                values[key] = rule.check(table[key])
            except Wrong as wrong:
                self._file.problem((*place, key), str(wrong))
        return values

    def _refuse_unknown(self, table: Table, known: set[str], place: Place) -> None:
        for key in table.keys() - known:
            guess = get_close_matches(key, known, n=1)
            means = f'did you mean "{guess[0]}"?' if guess else f"known are {', '.join(sorted(known))}"
            self._file.problem((*place, key), f"is no key of ours; {means}")

    def _only(self, name: str | None, among: Place, place: Place) -> str | None:
        """The same name, when it is the first of its kind."""
        if name is None:
            return None
        first = self._seen.setdefault((*among, "name", name), place)
        if first != place:
            self._file.problem(place, f'"{name}" is already at line {self._file.lines.of(first)}')
            return None
        return name
