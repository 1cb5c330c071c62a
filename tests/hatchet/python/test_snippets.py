"""The documentation's examples for Python as they stand, in their order. Where an example names a workflow's id, it has a real one."""

import contextlib
import io
import unittest

import ours
from examples.simple.worker import hatchet


class Snippets(unittest.TestCase):
    def test_create(self):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            from datetime import datetime

            from examples.simple.worker import simple

            schedule = simple.schedule(datetime(2025, 3, 14, 15, 9, 26))

            ## 👀 do something with the id
            print(schedule.id)
        # The time has passed, so it runs at once.
        run = ours.ended(printed.getvalue().strip())
        self.assertEqual((run["task"], run["status"], run["trigger_at"]), ("simple", "succeeded", "2025-03-14T15:09:26Z"))
        self.assertEqual(run["output"], {"result": "Hello, world!"})
        self.assertEqual(schedule.scheduled_workflows[0].id, run["id"])

    def test_manage(self):
        from datetime import datetime, timedelta, timezone

        from hatchet_sdk.clients.rest.models.scheduled_run_status import ScheduledRunStatus

        scheduled_run = hatchet.scheduled.create("simple", ours.soon(days=1), {}, {"customer_id": "customer-a"})
        id = scheduled_run.metadata.id
        self.assertEqual(ours.run(id)["status"], "scheduled")

        scheduled_runs = hatchet.scheduled.list()
        self.assertIn(id, [row.metadata.id for row in scheduled_runs.rows])

        before = datetime.now(tz=timezone.utc)
        hatchet.scheduled.update(
            scheduled_id=scheduled_run.metadata.id,
            trigger_at=datetime.now(tz=timezone.utc) + timedelta(hours=1),
        )
        moved = ours.moment(ours.run(id)["trigger_at"]) - before
        self.assertTrue(timedelta(hours=1) <= moved < timedelta(hours=1, minutes=5), moved)

        hatchet.scheduled.bulk_update(
            [
                (id, datetime.now(tz=timezone.utc) + timedelta(hours=2)),
            ]
        )
        moved = ours.moment(ours.run(id)["trigger_at"]) - before
        self.assertTrue(timedelta(hours=2) <= moved < timedelta(hours=2, minutes=5), moved)

        hatchet.scheduled.delete(scheduled_id=scheduled_run.metadata.id)
        self.assertIsNone(ours.run(id))

    def test_bulk_delete(self):
        from examples.simple.worker import simple
        from hatchet_sdk.clients.rest.models.scheduled_run_status import ScheduledRunStatus

        create = lambda customer: hatchet.scheduled.create("simple", ours.soon(days=1), {}, {"customer_id": customer}).metadata.id
        id, of_a, of_b = create("customer-c"), create("customer-a"), create("customer-b")

        hatchet.scheduled.bulk_delete(scheduled_ids=[id])

        hatchet.scheduled.bulk_delete(
            workflow_id=simple.id,
            statuses=[ScheduledRunStatus.SCHEDULED],
            additional_metadata={"customer_id": "customer-a"},
        )
        self.assertEqual([ours.run(id), ours.run(of_a)], [None, None])
        self.assertEqual(ours.run(of_b)["status"], "scheduled")
