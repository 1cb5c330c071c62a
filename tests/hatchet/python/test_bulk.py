"""Many at once: by id with an answer for each, by filter, and as many as may be."""

import unittest
from datetime import timedelta

import ours
from examples.simple.worker import hatchet, simple

UNKNOWN = "9b2d7c52-64a1-4b6e-9c0a-3f1d8b7e5a10"


def create(tag, **span):
    return hatchet.scheduled.create("simple", ours.soon(**span), {}, {"tag": tag}).metadata.id


class Bulk(unittest.TestCase):
    def test_an_answer_for_each(self):
        waits, fired = create("each", days=1), create("each", seconds=-1)
        ours.ended(fired)
        at = ours.soon(days=2)
        moved = hatchet.scheduled.bulk_update([(waits, at), (fired, at), (UNKNOWN, at)])
        self.assertEqual(moved.updated_ids, [waits])
        self.assertEqual([error.id for error in moved.errors], [fired, UNKNOWN])
        self.assertEqual(ours.moment(ours.run(waits)["trigger_at"]), at)
        deleted = hatchet.scheduled.bulk_delete(scheduled_ids=[waits, waits, fired, UNKNOWN])
        self.assertEqual(deleted.deleted_ids, [waits], "named twice, deleted once")
        self.assertEqual([(error.id, "triggered" in error.error) for error in deleted.errors], [(fired, True), (UNKNOWN, False)])
        self.assertEqual(ours.tagged("each"), {fired})

    def test_five_hundred(self):
        at = ours.soon(days=1)
        created = []
        for _ in range(5):
            created += [one.id for one in simple_schedule(100, at, "many").scheduled_workflows]
        self.assertEqual(ours.tagged("many", status="scheduled"), set(created))
        later = at + timedelta(hours=1)
        moved = hatchet.scheduled.bulk_update([(id, later) for id in created])
        self.assertEqual((moved.updated_ids, moved.errors), (created, []))
        self.assertEqual(ours.moment(ours.run(created[499])["trigger_at"]), later)
        deleted = hatchet.scheduled.bulk_delete(scheduled_ids=created)
        self.assertEqual((deleted.deleted_ids, deleted.errors), (created, []))
        self.assertEqual(ours.tagged("many"), set())

    def test_five_hundred_and_one(self):
        # The SDK refuses it itself; others may not.
        path = f"/api/v1/tenants/{hatchet.tenant_id}/workflows/scheduled/bulk-delete"
        status, refused = ours.ask("POST", path, body='{"scheduledWorkflowRunIds":[%s]}' % ",".join([f'"{UNKNOWN}"'] * 501))
        self.assertEqual((status, refused["errors"][0]["field"]), (400, "scheduledWorkflowRunIds"))

    def test_by_filter(self):
        kept, fired = create("kept", days=1), create("filter", seconds=-1)
        ours.ended(fired)
        created = {one.id for one in simple_schedule(250, ours.soon(days=1), "filter").scheduled_workflows}
        deleted = hatchet.scheduled.bulk_delete(additional_metadata={"tag": "filter"})
        self.assertEqual((set(deleted.deleted_ids), deleted.errors), (created, []))
        self.assertEqual((ours.tagged("filter"), ours.tagged("kept")), ({fired}, {kept}), "what has triggered stays")
        nothing = hatchet.scheduled.bulk_delete(additional_metadata={"tag": "nobody has this"})
        self.assertEqual((nothing.deleted_ids, nothing.errors), ([], []))
        nothing = hatchet.scheduled.bulk_delete(workflow_id=UNKNOWN)
        self.assertEqual((nothing.deleted_ids, nothing.errors), ([], []))


def simple_schedule(count, at, tag):
    """Several times in one call, which the SDK can only do one level down."""
    from google.protobuf.timestamp_pb2 import Timestamp
    from hatchet_sdk.clients.admin import AdminClient
    from hatchet_sdk.contracts.workflows_pb2 import ScheduleWorkflowRequest

    client: AdminClient = hatchet._client.admin
    seconds = Timestamp(seconds=int(at.timestamp()), nanos=at.microsecond * 1000)
    request = ScheduleWorkflowRequest(name="simple", schedules=[seconds] * count, input="{}", additional_metadata='{"tag":"%s"}' % tag)
    return client._get_or_create_v0_client().ScheduleWorkflow(request, metadata=[("authorization", "bearer " + client.token)])
