// The documentation's examples for TypeScript as they stand, in their order.
import assert from 'node:assert/strict';
import test from 'node:test';
import { hatchet, simple } from './client.mjs';
import * as ours from './ours.mjs';

test('create, list, reschedule, delete', async () => {
  const runAt = new Date(new Date().setHours(12, 0, 0, 0) + 24 * 60 * 60 * 1000);

  const scheduled = await simple.schedule(runAt, {
    Message: 'hello',
  });

  // 👀 Get the scheduled run ID of the workflow
  // it may be helpful to store the scheduled run ID of the workflow
  // in a database or other persistent storage for later use
  const scheduledRunId = scheduled.metadata.id;
  console.log(scheduledRunId);

  const stored = await ours.run(scheduledRunId);
  assert.deepEqual([stored.task, stored.status, stored.input], ['simple', 'scheduled', { Message: 'hello' }]);
  assert.equal(Date.parse(stored.trigger_at), runAt.getTime());

  const scheduledRuns = await hatchet.scheduled.list({
    workflow: simple,
  });
  console.log(scheduledRuns);
  assert.ok(scheduledRuns.rows.some((row) => row.metadata.id === scheduledRunId));
  assert.ok(scheduledRuns.rows.every((row) => row.workflowName === 'simple'));

  const before = Date.now();
  await hatchet.scheduled.update(scheduledRunId, {
    triggerAt: new Date(Date.now() + 60 * 60 * 1000),
  });
  const moved = Date.parse((await ours.run(scheduledRunId)).trigger_at) - before;
  assert.ok(moved >= ours.HOUR && moved < 1.1 * ours.HOUR, String(moved));

  await hatchet.scheduled.bulkUpdate([
    { scheduledRun: scheduledRunId, triggerAt: new Date(Date.now() + 2 * 60 * 60 * 1000) },
  ]);
  const again = Date.parse((await ours.run(scheduledRunId)).trigger_at) - before;
  assert.ok(again >= 2 * ours.HOUR && again < 2.1 * ours.HOUR, String(again));

  await hatchet.scheduled.delete(scheduled);
  assert.equal(await ours.run(scheduledRunId), null);
});

test('bulk delete', async () => {
  const scheduledRunId = (await simple.schedule(ours.ahead(ours.HOUR), {})).metadata.id;
  await hatchet.scheduled.bulkDelete({
    scheduledRuns: [scheduledRunId],
  });
  assert.equal(await ours.run(scheduledRunId), null);
});
