"""The empty filter, which means all. In a namespace of its own, lest it delete what other cases made."""

import os
import unittest

from hatchet_sdk import ClientConfig, Hatchet

import ours


class Everything(unittest.TestCase):
    def test_all_that_waits_goes(self):
        token = os.environ["OTHER_TOKEN"]
        other = Hatchet(config=ClientConfig(token=token))
        for _ in range(3):
            other.scheduled.create("simple", ours.soon(days=1), {}, {})
        status, before = ours.ask("GET", "/v1/runs", headers={"Authorization": "Bearer " + token})
        self.assertEqual(sorted(run["origin"] for run in before["runs"]), ["api", "api", "api", "code"])
        deleted = other.scheduled.bulk_delete(additional_metadata={})
        self.assertEqual((len(deleted.deleted_ids), deleted.errors), (3, []))
        status, after = ours.ask("GET", "/v1/runs", headers={"Authorization": "Bearer " + token})
        self.assertEqual([run["origin"] for run in after["runs"]], ["code"], "what code declares stays")
