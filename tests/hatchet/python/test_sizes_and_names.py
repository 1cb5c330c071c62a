"""Inputs that are compressed on their way, and names that look like addresses."""

import unittest

from hatchet_sdk import Context
from pydantic import BaseModel

import ours
from examples.simple.worker import hatchet


class Big(BaseModel):
    text: str


@hatchet.task(name="SiMpLe", input_validator=Big)
def simple(input: Big, ctx: Context) -> dict[str, str]: ...


@hatchet.task(name="scheduled", input_validator=Big)
def scheduled(input: Big, ctx: Context) -> dict[str, str]: ...


class SizesAndNames(unittest.TestCase):
    def test_gzip(self):
        # The SDK compresses what becomes smaller by it.
        for length in (500, 250_000):
            id = simple.schedule(ours.soon(days=1), input=Big(text="x" * length)).id
            run = ours.run(id)
            self.assertEqual((run["task"], run["input"]), ("simple", {"text": "x" * length}), "names are compared without regard to case")

    def test_workflows_called_like_addresses(self):
        for name in ("scheduled", "crons", "SCHEDULED"):
            created = hatchet.scheduled.create(name, ours.soon(days=1), {"a": 1}, {"tag": "name"})
            self.assertEqual((created.workflow_name, ours.run(created.metadata.id)["task"]), (name.lower(), name.lower()))
        self.assertEqual(ours.run(scheduled.schedule(ours.soon(days=1), input=Big(text="")).id)["task"], "scheduled")

    def test_nulls_as_the_client_for_go_writes_them(self):
        path = f"/api/v1/tenants/{hatchet.tenant_id}/workflows/scheduled/scheduled"
        body = '{"additionalMetadata":null,"input":null,"triggerAt":"2040-07-01T12:00:00.123456789+02:00"}'
        status, created = ours.ask("POST", path, body=body)
        self.assertEqual((status, created["triggerAt"], created["input"]), (200, "2040-07-01T10:00:00.123457Z", {}))
        run = ours.run(created["metadata"]["id"])
        self.assertEqual((run["task"], run["input"], run["metadata"]), ("scheduled", {}, {}))
