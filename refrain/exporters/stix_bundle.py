"""The findings as a STIX 2.1 bundle, for sharing between providers (OASIS, "STIX Version 2.1", 10 June 2021).

A finding is a Campaign; a Grouping ("suspicious-activity") holds it with its members and notes. A member is a
user-account whose user_id is a keyed hash (refrain.share_key). A Note for the evidence and one a template tell what an
indicator would; there is no Indicator, as its pattern would need an observable that another provider has. Ids are
UUIDv5 in a namespace of our own (section 2.9), times are the findings' own: equal runs give equal bytes.

https://docs.oasis-open.org/cti/stix/v2.1/os/stix-v2.1-os.html
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import stix2

from refrain.exporters.exporter import Exporter, Options
from refrain.exporters.shared_findings import SETTING, Finding, findings, hashed_account, hashed_skeleton
from refrain.exporters.whole_files import write_whole
from refrain.formats import plain
from refrain.key import key_id

_NAMESPACE = UUID("6d0a5f4b-3f0e-5d53-9c0b-6f2f0c7f1f11")
_CONTEXT = "suspicious-activity"
_ACCOUNT_TYPE = "refrain-keyed-hash"
_PRODUCER = "refrain"
_EPOCH = "2026-01-01T00:00:00.000Z"  # of what has no time of its own: the producer


def write_stix(exports: Path, to: str, options: Options) -> dict[str, int]:
    """The numbers of campaigns, accounts, groupings and notes in the bundle."""
    owner = key_id(options.key)
    producer = stix2.Identity(
        id=_id("identity", owner),
        name=_PRODUCER,
        identity_class="system",
        created=_EPOCH,
        modified=_EPOCH,
        description="Finds campaigns over accounts that seem unrelated. Accounts are keyed hashes.",
    )
    objects: dict[str, Any] = {producer.id: producer}
    for finding in findings(exports, options):
        for one in _objects(finding, owner, producer.id, options):
            objects[one.id] = one
    bundle = stix2.Bundle(objects=list(objects.values()), id=_id("bundle", owner, *objects, _digest(objects)))
    write_whole(Path(to), [bundle.serialize(ensure_ascii=True).encode("ascii"), b"\n"])
    kinds = [one.type for one in objects.values()]
    names = {"campaigns": "campaign", "accounts": "user-account", "groupings": "grouping", "notes": "note"}
    return {name: kinds.count(kind) for name, kind in names.items()}


def _objects(finding: Finding, owner: str, producer: str, options: Options) -> list[Any]:
    """What stands for one finding: its campaign, members, notes and grouping."""
    row = finding.row
    name = finding.name(options.run)
    said = {"created_by_ref": producer, "created": _time(row["first_seen"]), "modified": _time(row["last_seen"])}
    campaign = stix2.Campaign(
        id=_id("campaign", owner, name),
        name=name,
        description=(
            f"{row['accounts']} accounts of {row['owners']} owners, {row['requests']} requests; "
            f"evidence: {', '.join(row['families']) or 'of one kind only'}"
        ),
        first_seen=said["created"],
        last_seen=said["modified"],
        labels=[*row["families"], *row["signal_tags"]] or None,
        **said,
    )
    accounts = [
        stix2.UserAccount(user_id=hashed_account(member["account_id"], options), account_type=_ACCOUNT_TYPE)
        for member in finding.members
    ]
    evidence = {
        "score": row["score"], "p_value": row["p_value"], "q_value": row["q_value"], "alert": row["alert"],
        "benign": row["benign"], "tests": finding.tests, "state": finding.state, "verdict": finding.verdict,
        "run": options.run, "campaign_id": finding.campaign_id,
    }  # fmt: skip
    notes = [_note("evidence", evidence, campaign.id, owner, name, said)]
    for template in finding.templates:
        told: dict[str, Any] = {
            name: template[name] for name in ("words", "requests", "accounts", "owners", "fillings") if name in template
        }
        skeleton = template.get("skeleton")
        if skeleton is not None:
            told["skeleton_hash"] = hashed_skeleton(skeleton, options)
            if options.with_text:
                told["skeleton"] = skeleton
        notes.append(_note(f"template {template['template_id']}", told, campaign.id, owner, name, said))
    grouping = stix2.Grouping(
        id=_id("grouping", owner, name),
        name=name,
        context=_CONTEXT,
        object_refs=[campaign.id, *(one.id for one in accounts), *(note.id for note in notes)],
        **said,
    )
    return [campaign, *accounts, *notes, grouping]


def _note(abstract: str, content: dict[str, Any], about: str, owner: str, name: str, said: dict[str, Any]) -> Any:
    """A note with JSON in it: STIX has no property for these values, and a custom one is dropped by most tools."""
    return stix2.Note(
        id=_id("note", owner, name, abstract),
        abstract=abstract,
        content=json.dumps(plain(content), sort_keys=True, ensure_ascii=True, allow_nan=False),
        object_refs=[about],
        **said,
    )


def _id(kind: str, *parts: str) -> str:
    return f"{kind}--{uuid5(_NAMESPACE, json.dumps([kind, *parts]))}"


def _digest(objects: dict[str, Any]) -> str:
    """A name of the contents: a bundle that says something else is another bundle."""
    return str(uuid5(_NAMESPACE, "".join(one.serialize() for one in objects.values())))


def _time(value: datetime) -> str:
    """A time as STIX has it, to the millisecond."""
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")


EXPORTER = Exporter("stix", "STIX 2.1 bundle; accounts as keyed hashes, no prompts", write_stix, settings=SETTING)
