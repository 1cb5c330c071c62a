"""The database as runlater's own API shows it: what every case asserts on, beside the SDK's answer. The client token opens both doors."""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime, timedelta, timezone

URL = os.environ["RUNLATER_URL"]


def ask(method, path, query=(), body=None, headers=None):
    """The status, and the answer's JSON."""
    address = URL + path + ("?" + urllib.parse.urlencode(query) if query else "")
    headers = {"Authorization": "Bearer " + os.environ["HATCHET_CLIENT_TOKEN"], **(headers or {})}
    if body is not None:
        headers["Content-Type"] = "application/json"
    data = body.encode() if isinstance(body, str) else body
    request = urllib.request.Request(address, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


def run(id):
    """A run, or None."""
    status, found = ask("GET", f"/v1/runs/{id}")
    assert status in (200, 404), found
    return found if status == 200 else None


def ended(id):
    """A run once it has ended."""
    status, found = ask("GET", f"/v1/runs/{id}/wait", [("timeout", "60s")])
    assert status == 200 and found["status"] not in ("scheduled", "queued", "running", "backoff"), found
    return found


def tagged(tag, **query):
    """The ids of the runs with this tag."""
    query = [("metadata", f"tag:{tag}"), ("limit", "500"), *query.items()]
    status, page = ask("GET", "/v1/runs", query)
    assert status == 200, page
    return {run["id"] for run in page["runs"]}


def moment(text):
    """A time as the API writes it."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def said(refused):
    """What a refusal says. The SDK reads it only where it expects a refusal."""
    (error,) = json.loads(refused.body)["errors"]
    return error["description"]


def soon(**span):
    """A time ahead, in whole milliseconds."""
    at = datetime.now(tz=timezone.utc) + timedelta(**span)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)
