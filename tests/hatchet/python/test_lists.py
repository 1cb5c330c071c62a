"""Filters, orders and pages."""

import unittest
from datetime import timedelta

import ours
from examples.simple.worker import hatchet, simple
from hatchet_sdk.clients.rest.models.scheduled_run_status import ScheduledRunStatus as Status
from hatchet_sdk.clients.rest.models.scheduled_workflows_order_by_field import ScheduledWorkflowsOrderByField as Field
from hatchet_sdk.clients.rest.models.workflow_run_order_by_direction import WorkflowRunOrderByDirection as Direction


def ids(page):
    return [row.metadata.id for row in page.rows]


class Lists(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        base = ours.soon(days=3)
        cls.ids = [
            hatchet.scheduled.create("simple", base + timedelta(minutes=minute), {"n": minute}, {"tag": "list", "n": minute}).metadata.id
            for minute in (2, 0, 1, 3, 3)
        ]

    def list(self, **filter):
        filter["additional_metadata"] = {"tag": "list", **filter.get("additional_metadata", {})}
        return hatchet.scheduled.list(**filter)

    def test_orders(self):
        a, b, c, d, e = self.ids
        self.assertEqual(ids(self.list()), [d, e, a, c, b], "the latest first, equal ones in order of id")
        self.assertEqual(ids(self.list(order_by_direction=Direction.ASC)), [b, c, a, d, e])
        by_creation = self.list(order_by_field=Field.CREATEDAT, order_by_direction=Direction.ASC)
        self.assertEqual(ids(by_creation), self.ids)
        self.assertEqual(ids(self.list(order_by_field=Field.CREATEDAT)), self.ids[::-1])
        self.assertEqual(ours.tagged("list"), set(self.ids))

    def test_pages(self):
        whole = ids(self.list())
        found = []
        for page in (1, 2, 3):
            part = self.list(offset=2 * (page - 1), limit=2)
            found += ids(part)
            counted = part.pagination
            self.assertEqual((counted.current_page, counted.next_page, counted.num_pages), (page, min(page + 1, 3), 3))
        self.assertEqual(found, whole)
        beyond = self.list(offset=100)
        self.assertEqual((beyond.rows, beyond.pagination.num_pages), ([], 1))

    def test_filters(self):
        self.assertEqual(ids(self.list(additional_metadata={"n": 1})), [self.ids[2]], "a number by its text")
        self.assertEqual(set(ids(self.list(workflow_id=simple.id))), set(self.ids))
        self.assertEqual(ids(self.list(statuses=[Status.SCHEDULED, Status.FAILED], limit=1)), [self.ids[3]])
        for nothing in (
            {"statuses": [Status.SUCCEEDED, Status.QUEUED]},
            {"statuses": [Status.PENDING]},
            {"workflow_id": "9b2d7c52-64a1-4b6e-9c0a-3f1d8b7e5a10"},
            {"parent_workflow_run_id": self.ids[0]},
            {"additional_metadata": {"n": 7}},
        ):
            page = self.list(**nothing)
            self.assertEqual((page.rows, page.pagination.num_pages), ([], 0), nothing)

    def test_values(self):
        given = {"tag": "values", "paid": True, "free": False, "none": None, "at": "12:30:00", "many": [1, "a"]}
        id = hatchet.scheduled.create("simple", ours.soon(days=1), {}, given).metadata.id
        self.assertEqual(ours.run(id)["metadata"], {"tag": "values", "paid": "true", "free": "false", "none": "null", "at": "12:30:00", "many": '[1,"a"]'})
        row = hatchet.scheduled.get(id)
        self.assertEqual(row.additional_metadata, given, "each value comes back as the JSON that was sent")
        self.assertIsInstance(row.additional_metadata["paid"], bool)
        for entry in ({"paid": True}, {"free": False}, {"at": "12:30:00"}):
            self.assertEqual(ids(hatchet.scheduled.list(additional_metadata={"tag": "values", **entry})), [id], entry)

    def test_what_a_row_says(self):
        row = hatchet.scheduled.list(additional_metadata={"tag": "list", "n": 0}).rows[0]
        run = ours.run(row.metadata.id)
        self.assertEqual((row.workflow_name, row.workflow_id, row.method, row.priority), ("simple", simple.id, "API", 1))
        self.assertEqual((row.input, row.additional_metadata), (run["input"], {"tag": "list", "n": 0}))
        self.assertEqual(run["metadata"], {"tag": "list", "n": "0"}, "our own API has text")
        self.assertEqual(row.trigger_at, ours.moment(run["trigger_at"]))
        self.assertEqual((row.workflow_run_id, row.workflow_run_status), (None, None), "its time lies ahead")
