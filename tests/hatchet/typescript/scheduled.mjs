// Filters, pages, bulk requests and refusals.
import assert from 'node:assert/strict';
import test from 'node:test';
import { hatchet, simple } from './client.mjs';
import * as ours from './ours.mjs';

const UNKNOWN = '9b2d7c52-64a1-4b6e-9c0a-3f1d8b7e5a10';

test('filters and pages', async () => {
  const ids = [];
  for (const n of [1, 2, 3]) {
    const additionalMetadata = { tag: 'ts-list', n: String(n) };
    ids.push((await simple.schedule(ours.ahead(n * ours.HOUR), { n }, { additionalMetadata, priority: n })).metadata.id);
  }
  assert.deepEqual(await ours.tagged('ts-list'), new Set(ids));
  assert.equal((await ours.run(ids[2])).priority, 3);
  const list = async (query) => {
    const page = await hatchet.scheduled.list({ additionalMetadata: ['tag:ts-list'], ...query });
    return page.rows.map((row) => row.metadata.id);
  };
  assert.deepEqual(await list({}), ids.toReversed());
  assert.deepEqual(await list({ orderByDirection: 'ASC', workflow: 'SiMpLe', statuses: ['SCHEDULED', 'QUEUED'] }), ids);
  assert.deepEqual(await list({ offset: 1, limit: 1 }), [ids[1]]);
  assert.deepEqual(await list({ additionalMetadata: ['tag:ts-list', 'n:2'] }), [ids[1]]);
  assert.deepEqual(await list({ statuses: ['FAILED'] }), []);
  const { rows } = await hatchet.scheduled.list({ additionalMetadata: ['tag:ts-list', 'n:3'] });
  assert.deepEqual(rows[0].additionalMetadata, { tag: 'ts-list', n: '3' }, 'a text that looks like a number stays text');
  assert.deepEqual([rows[0].input, rows[0].priority, rows[0].runlaterStatus], [{ n: 3 }, 3, 'scheduled']);
  await assert.rejects(hatchet.scheduled.list({ workflow: 'nowhere' }), /not found/);
});

test('delay, and a row that has fired', async () => {
  const waits = await simple.delay(3600, {}, { additionalMetadata: { tag: 'ts-delay' } });
  assert.equal((await ours.run(waits.metadata.id)).status, 'scheduled');
  const past = await hatchet.scheduled.create('simple', { triggerAt: ours.ahead(-1000), input: {}, additionalMetadata: { tag: 'ts-delay' } });
  assert.deepEqual((await ours.ended(past.metadata.id)).output, { result: 'Hello, world!' });
  const row = await hatchet.scheduled.get(past.metadata.id);
  assert.deepEqual([row.workflowRunId, row.workflowRunStatus], [past.metadata.id, 'SUCCEEDED']);
  await assert.rejects(hatchet.scheduled.update(past, { triggerAt: ours.ahead(ours.HOUR) }), /already triggered/);
});

test('bulk by filter and by id', async () => {
  const create = async (tag) => (await simple.schedule(ours.ahead(ours.HOUR), {}, { additionalMetadata: { tag } })).metadata.id;
  const [a, b, kept] = [await create('ts-bulk'), await create('ts-bulk'), await create('ts-kept')];
  const moved = await hatchet.scheduled.bulkUpdate([
    { scheduledRun: a, triggerAt: '2040-07-01T12:00:00+02:00' },
    { scheduledRun: UNKNOWN, triggerAt: ours.ahead(ours.HOUR) },
  ]);
  assert.deepEqual([moved.updatedIds, moved.errors.map((error) => error.id)], [[a], [UNKNOWN]]);
  assert.equal((await ours.run(a)).trigger_at, '2040-07-01T10:00:00Z');
  const deleted = await hatchet.scheduled.bulkDelete({ filter: { additionalMetadata: ['tag:ts-bulk'] } });
  assert.deepEqual([new Set(deleted.deletedIds), deleted.errors], [new Set([a, b]), []]);
  assert.deepEqual([await ours.run(a), await ours.run(b), (await ours.run(kept)).status], [null, null, 'scheduled']);
  // Neither ids nor a filter is a mistake, and means nothing.
  await assert.rejects(hatchet.scheduled.bulkDelete({}), (error) => error.response.status === 400 && error.response.data.errors.length === 1);
  assert.equal((await ours.run(kept)).status, 'scheduled');
});

test('refusals say why', async () => {
  const create = (name, more) => hatchet.scheduled.create(name, { triggerAt: ours.ahead(ours.HOUR), input: {}, ...more });
  await assert.rejects(create('nowhere'), /workflow not found/);
  await assert.rejects(create('simple', { priority: 4 }), /priorities are 1 to 3/);
  await assert.rejects(hatchet.scheduled.delete(UNKNOWN), (error) => error.response.status === 404);
  const code = (await hatchet.scheduled.list({ workflow: 'scheduled' })).rows.find((row) => row.method === 'DEFAULT');
  await assert.rejects(hatchet.scheduled.update(code, { triggerAt: ours.ahead(ours.HOUR) }), /defined by a component/);
  assert.equal((await ours.run(code.metadata.id)).trigger_at, '2099-01-01T00:00:00Z');
});
