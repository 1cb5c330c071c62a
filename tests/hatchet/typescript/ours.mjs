// The database as runlater's own API shows it: what every case asserts on, beside the SDK's answer. The client token opens both doors.
import assert from 'node:assert/strict';

export async function ask(path) {
  const headers = { authorization: `Bearer ${process.env.HATCHET_CLIENT_TOKEN}` };
  const answer = await fetch(process.env.RUNLATER_URL + path, { headers });
  return { status: answer.status, body: await answer.json() };
}

// A run, or null.
export async function run(id) {
  const { status, body } = await ask(`/v1/runs/${id}`);
  assert.ok(status === 200 || status === 404, JSON.stringify(body));
  return status === 200 ? body : null;
}

// A run once it has ended.
export async function ended(id) {
  const { status, body } = await ask(`/v1/runs/${id}/wait?timeout=60s`);
  assert.equal(status, 200, JSON.stringify(body));
  return body;
}

// The ids of the runs with this tag.
export async function tagged(tag) {
  const { body } = await ask(`/v1/runs?metadata=tag:${tag}&limit=500`);
  return new Set(body.runs.map((one) => one.id));
}

export const ahead = (milliseconds) => new Date(Date.now() + milliseconds);
export const HOUR = 60 * 60 * 1000;
