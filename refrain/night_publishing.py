"""Publishes a night: what its run found, matched with the nights before, stands in the ledger under stable ids.

All in one transaction. The map (`lineage/`), the report, the webhook and the pointer `latest-night` follow from the
ledger, and last a mark beside the map that they are done: whoever finds none for what the ledger says does them again.
So the webhook hears of a night at least once; where it did not answer, the next night tries again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta

from refrain.alerts import tell_night
from refrain.artifacts import digest_json, read_manifest
from refrain.config import Config, LineageConfig
from refrain.errors import StoreError
from refrain.ledger import EventRow, IdentityRow, Ledger, NightRow, SightingRow, open_ledger
from refrain.ledger.rows import KINDS
from refrain.lineage import Known, Lineage, Seen, Signature, match, matchable, observe
from refrain.lineage_table import CAMPAIGN, has_lineage, mark_done, read_done, write_lineage
from refrain.locks import writer_lock
from refrain.night_counts import Oddity, lateness, night_counts, oddities_of
from refrain.runs import LATEST_NIGHT, REPORT, Run, point, store_of
from refrain.slices import Slice, night
from refrain.stories import story

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CONTINUED = "continued"
_DISMISSED = "dismissed"


@dataclass(frozen=True)
class NightDone:
    """A published night: its run, its window, its counts, and what a person should hear of it."""

    day: date
    run: Run
    first_day: date
    counts: Mapping[str, int]
    new_campaigns: tuple[str, ...]
    oddities: tuple[Oddity, ...]
    late: str  # in words; nothing where no row came late
    events: Mapping[str, int]  # of campaigns, how many of each, without those that only went on
    told: bool  # whether the webhook heard what it had to hear


def window_of(day: date, config: Config) -> Slice:
    """The days that the night of `day` reads."""
    return night(day, config.nights.days, config.nights.timezone)


def publish_night(run: Run, day: date, config: Config, *, again: bool = False) -> NightDone:
    """The night of `day`, whose finished run this is, as published; with `again`, in the place of all from its day on.

    LedgerError where the ledger cannot take it: then nothing of it is published.
    """
    store, part = store_of(run.outputs), window_of(day, config)
    assert part.first is not None
    with writer_lock(store.root), open_ledger(run.outputs, config.ledger) as ledger:
        generation = ledger.generation()
        seen = observe(run.folder, store.key, config.lineage)
        before = _night_before(ledger, day)
        counts = night_counts(run.folder, part)
        late = lateness(counts, before.counts if before else {})
        counts |= {
            "late_rows": late.rows,
            "late_days": late.days,
            "gone_rows": late.gone_rows,
            "gone_days": late.gone_days,
        }
        row = NightRow(day, run.name, part.first, day, content_of(run), counts, datetime.now(UTC))
        record_seen(ledger, row, seen, config.lineage, key=store.key, again=again, generation=generation)
        return finish_night(run, row, ledger, config)


def record_seen(
    ledger: Ledger,
    row: NightRow,
    seen: Sequence[Seen],
    rule: LineageConfig,
    *,
    key: bytes,
    again: bool = False,
    generation: int | None = None,
) -> None:
    """Nothing; the night `row` then stands in the ledger with what was seen on it, under the ids of nights before, and
    of those that it takes the place of."""
    day = row.day
    known = matchable_ones(ledger, before=day)
    spare = [known_of(one) for one in ledger.spare(day)]
    used = {*ledger.identifiers(), *ledger.aside()}
    lineage = match(known, seen, day, rule, key=key, spare=spare, used=used)
    ledger.record_night(
        row,
        [_identity(one, day) for one in lineage.identities],
        _sightings(day, seen, lineage),
        [EventRow(day, event.identity, event.event, event.others, event.details) for event in lineage.events],
        replace=again,
        generation=generation,
    )


def finish_night(run: Run, row: NightRow, ledger: Ledger, config: Config) -> NightDone:
    """The published night `row`, after all that follows from the ledger was done: map, report, webhook, pointer, and
    the mark that they are."""
    from refrain.report import write_report

    sightings, events = ledger.sightings(day=row.day), ledger.events(day=row.day)
    stories = [story(ledger, sighting.identity) for sighting in sightings if sighting.kind == CAMPAIGN]
    write_lineage(run.folder, row.content, sightings, events, stories)
    write_report(run.folder, run.folder / REPORT)
    before = _night_before(ledger, row.day)
    oddities = tuple(oddities_of(row.day, row.counts, before.counts if before else None, config.alerts))
    new = new_campaigns(ledger, row.day, sightings)
    told = _tell(run, row, new, oddities, config)
    point(run, LATEST_NIGHT)
    mark_done(run.folder, _digest(row, sightings, events), told=told)
    campaigns = {sighting.identity for sighting in sightings if sighting.kind == CAMPAIGN}
    campaigns |= {event.identity for event in events if event.identity.startswith("c-")}
    happened = Counter(event.event for event in events if event.identity in campaigns and event.event != _CONTINUED)
    late = lateness(row.counts, before.counts if before else {})
    return NightDone(
        row.day, run, row.first_day, row.counts, new, oddities, late.words, dict(sorted(happened.items())), told
    )


def is_finished(run: Run, row: NightRow, ledger: Ledger) -> bool:
    """Whether all that follows from the ledger was done for the last night, as it stands there now: the same night
    again, or an earlier one, may have changed it since."""
    latest = run.folder.parent / LATEST_NIGHT
    if not latest.is_symlink() or latest.readlink().name != run.name or not has_lineage(run.folder, row.content):
        return False
    done = read_done(run.folder)
    return done is not None and done[0] == _digest(row, ledger.sightings(day=row.day), ledger.events(day=row.day))


def tell_again(run: Run, row: NightRow, ledger: Ledger, config: Config, *, night: str) -> bool:
    """Whether the webhook, which did not take the message of the night when it was published, takes it now; `night` is
    the digest that its mark has."""
    before = _night_before(ledger, row.day)
    oddities = oddities_of(row.day, row.counts, before.counts if before else None, config.alerts)
    told = _tell(run, row, new_campaigns(ledger, row.day, ledger.sightings(day=row.day)), oddities, config)
    if told:
        mark_done(run.folder, night, told=True)
    return told


def _tell(run: Run, row: NightRow, new: Sequence[str], oddities: Sequence[Oddity], config: Config) -> bool:
    totals = {name: count for name, count in row.counts.items() if " " not in name}  # without those of each day
    return tell_night(config.alerts, row.day, run=run.name, new_campaigns=new, oddities=oddities, counts=totals)


def _digest(row: NightRow, sightings: Sequence[SightingRow], events: Sequence[EventRow]) -> str:
    """The digest of all that the ledger holds of one night, but for when it was recorded."""
    rows = [{**asdict(row), "recorded": None}, *map(asdict, sightings), *map(asdict, events)]
    return digest_json([{name: _plain(value) for name, value in one.items()} for one in rows])


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value  # a datetime is a date


def new_campaigns(ledger: Ledger, day: date, sightings: Sequence[SightingRow]) -> tuple[str, ...]:
    """The ids of campaigns that alert on this night, on none before, and were not dismissed."""
    found = []
    for sighting in sightings:
        if sighting.kind != CAMPAIGN or not sighting.alert:
            continue
        if any(earlier.alert and earlier.day < day for earlier in ledger.sightings(sighting.identity)):
            continue
        decisions = ledger.decisions(sighting.identity)
        if not decisions or decisions[-1].verdict != _DISMISSED:
            found.append(sighting.identity)
    return tuple(found)


def _night_before(ledger: Ledger, day: date) -> NightRow | None:
    return max((row for row in ledger.nights() if row.day < day), key=lambda row: row.day, default=None)


def content_of(run: Run) -> str:
    """The digest of a run's exports."""
    folder = run.result("exports")
    manifest = read_manifest(folder)
    if manifest is None:
        raise StoreError(f"{folder} has no manifest", hint=f"refrain export {run.name}")
    return manifest.content


def matchable_ones(ledger: Ledger, *, before: date | None = None) -> list[Known]:
    """The identities of all kinds that a night can be matched with, as the last night (before a day) left them."""
    return [
        known_of(row) for kind in KINDS for row in ledger.identities(kind, before=before, in_states=matchable(kind))
    ]


def known_of(row: IdentityRow) -> Known:
    """An identity of the ledger with its signature read."""
    signature = Signature.from_bytes(row.signature)
    return Known(row.id, row.kind, row.born, row.last_seen, row.state, signature)


def _identity(known: Known, day: date) -> IdentityRow:
    """An identity as the ledger keeps it: seen on a night of its life, where its last request may lie on another day
    (a zone's, or before the night on which it showed)."""
    last_seen = min(max(known.last_seen, known.born), day)
    return IdentityRow(known.id, known.kind, known.born, last_seen, known.state, known.signature.to_bytes())


def _sightings(day: date, seen: Sequence[Seen], lineage: Lineage) -> list[SightingRow]:
    """Where each thing that the run has and the lineage named stands in it."""
    by_number = {(one.kind, one.local_id): one for one in seen}
    rows = []
    for assigned in lineage.assignments:
        one = by_number[assigned.kind, assigned.local_id]
        times = [
            _EPOCH + timedelta(microseconds=micros) for micros in (one.signature.first_seen, one.signature.last_seen)
        ]
        rows.append(
            SightingRow(day, assigned.identity, one.kind, one.local_id, one.alert, one.members, one.requests, *times)
        )
    return rows
