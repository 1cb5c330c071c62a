"""Rows whose time has come, was missed, or that code declares: they stay, and say how it went."""

import os
import unittest

import ours
from examples.simple.worker import hatchet
from hatchet_sdk.clients.rest.exceptions import BadRequestException, ForbiddenException
from hatchet_sdk.clients.rest.models.scheduled_run_status import ScheduledRunStatus as Status


class Fired(unittest.TestCase):
    def test_a_fired_row_stays(self):
        id = hatchet.scheduled.create("simple", ours.soon(seconds=-1), {}, {"tag": "fired"}).metadata.id
        self.assertEqual(ours.ended(id)["status"], "succeeded")
        row = hatchet.scheduled.get(id)
        self.assertEqual((row.workflow_run_id, row.workflow_run_status), (id, "SUCCEEDED"))
        self.assertEqual(len(hatchet.scheduled.list(statuses=[Status.SUCCEEDED], additional_metadata={"tag": "fired"}).rows), 1)
        for change in (lambda: hatchet.scheduled.update(id, ours.soon(days=1)), lambda: hatchet.scheduled.delete(id)):
            with self.assertRaises(BadRequestException) as refused:
                change()
            self.assertIn("already triggered", ours.said(refused.exception))
        self.assertEqual(ours.run(id)["status"], "succeeded")

    def test_a_failed_one_says_why(self):
        id = hatchet.scheduled.create("reject", ours.soon(seconds=-1), {"reason": "no such customer"}, {"tag": "failed"}).metadata.id
        self.assertEqual(ours.ended(id)["status"], "failed")
        self.assertEqual(hatchet.scheduled.get(id).workflow_run_status, "FAILED")
        status, row = ours.ask("GET", f"/api/v1/tenants/{hatchet.tenant_id}/workflows/scheduled/{id}")
        self.assertEqual((status, row["runlaterStatus"]), (200, "failed"))
        self.assertIn("no such customer", row["runlaterError"])

    def test_a_missed_one_did_not_run_by_itself(self):
        id = os.environ["MISSED_RUN"]
        self.assertEqual(ours.run(id)["status"], "missed")
        row = hatchet.scheduled.get(id)
        self.assertEqual((row.workflow_run_id, row.workflow_run_status), (None, "CANCELLED"))
        self.assertIn(id, [row.metadata.id for row in hatchet.scheduled.list(statuses=[Status.CANCELLED]).rows])
        # By hand it does.
        path = f"/api/v1/tenants/{hatchet.tenant_id}/workflows/scheduled/{id}"
        self.assertEqual(ours.ask("POST", path), (200, {"externalId": id}))
        self.assertEqual(ours.ended(id)["status"], "succeeded")
        status, refused = ours.ask("POST", path)
        self.assertEqual((status, len(refused["errors"])), (400, 1))

    def test_what_code_declares_is_nobodys_to_change(self):
        rows = [row for row in hatchet.scheduled.list(statuses=[Status.SCHEDULED]).rows if row.method == "DEFAULT"]
        self.assertEqual([row.workflow_name for row in rows], ["scheduled"])
        id = rows[0].metadata.id
        for change in (lambda: hatchet.scheduled.update(id, ours.soon(days=1)), lambda: hatchet.scheduled.delete(id)):
            with self.assertRaises(ForbiddenException) as refused:
                change()
            self.assertIn("defined by a component's code", ours.said(refused.exception))
        for bulk in (hatchet.scheduled.bulk_delete(scheduled_ids=[id]), hatchet.scheduled.bulk_update([(id, ours.soon(days=1))])):
            self.assertEqual([error.id for error in bulk.errors], [id])
            self.assertIn("defined by a component's code", bulk.errors[0].error)
        self.assertEqual((ours.run(id)["origin"], ours.run(id)["trigger_at"]), ("code", "2099-01-01T00:00:00Z"))
