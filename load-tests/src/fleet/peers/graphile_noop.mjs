// A task that does nothing: `node graphile_noop.mjs URL CONCURRENCY`, until its standard input ends. Jobs are taken and completed in batches.
import { run } from "graphile-worker";

const [url, concurrency] = process.argv.slice(2);
const runner = await run({
  connectionString: url,
  concurrency: Number(concurrency),
  noHandleSignals: true,
  pollInterval: 500,
  maxPoolSize: 16,
  preset: {
    worker: {
      connectionString: url,
      concurrentJobs: Number(concurrency),
      maxPoolSize: 16,
      pollInterval: 500,
      preparedStatements: true,
      localQueue: { size: 500, refetchDelay: { durationMs: 10 } },
      completeJobBatchDelay: 5,
      failJobBatchDelay: 5,
    },
  },
  logger: undefined,
  taskList: { noop: () => {} },
});
console.log("ready");
process.stdin.resume();
process.stdin.on("end", async () => { await runner.stop(); process.exit(0); });
