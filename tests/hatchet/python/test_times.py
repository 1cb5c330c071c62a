"""Times with offsets, with fractions and without a zone: always stored and returned in UTC."""

import unittest
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import ours
from examples.simple.worker import hatchet, simple


class Times(unittest.TestCase):
    def test_offsets(self):
        for at, stored in (
            (datetime(2040, 7, 1, 12, 0, tzinfo=timezone(timedelta(hours=-5))), "2040-07-01T17:00:00Z"),
            (datetime(2040, 7, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=45))), "2040-07-01T06:15:00.123456Z"),
            (datetime(2040, 1, 15, 12, 0, tzinfo=ZoneInfo("Europe/Berlin")), "2040-01-15T11:00:00Z"),
        ):
            created = hatchet.scheduled.create("simple", at, {}, {})
            self.assertEqual((created.trigger_at, created.trigger_at.utcoffset()), (at, timedelta(0)))
            self.assertEqual(ours.run(created.metadata.id)["trigger_at"], stored)
            over_grpc = simple.schedule(at)
            # Over gRPC the SDK sends nanoseconds that it computes in floating point. What is finer than a microsecond is rounded up.
            later = datetime.fromisoformat(ours.run(over_grpc.id)["trigger_at"]) - datetime.fromisoformat(stored)
            self.assertIn(later, (timedelta(0), timedelta(microseconds=1)))
            moved = hatchet.scheduled.update(over_grpc.id, at + timedelta(days=1))
            self.assertEqual(moved.trigger_at, at + timedelta(days=1))

    def test_without_a_zone(self):
        # The SDK takes UTC where it schedules a task.
        over_grpc = simple.schedule(datetime(2040, 7, 1, 12, 0))
        self.assertEqual(ours.run(over_grpc.id)["trigger_at"], "2040-07-01T12:00:00Z")
