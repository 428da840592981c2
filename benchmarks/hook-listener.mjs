import { createServer } from 'node:http';

/*
 * A listener of webhooks in a process of its own. `fast` answers at once and tells its parent what arrived; `silent` accepts and never
 * answers.
 */
const isSilent = process.argv[2] === 'silent';
const seen = new Set();
let latencies = [];
let first = 0;
let last = 0;

const server = createServer((request, reply) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const now = Date.now();
    const event = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    seen.add(event.id);
    latencies.push(now - Date.parse(event.time));
    first ||= now;
    last = now;
    if (!isSilent) reply.writeHead(204).end();
  });
});
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));

process.on('message', (question) => {
  if (question === 'forget') {
    seen.clear();
    latencies = [];
    first = 0;
    last = 0;
  }
  process.send({
    requests: latencies.length,
    events: seen.size,
    first,
    last,
    latencies: question === 'all' ? latencies : [],
  });
});
process.on('disconnect', () => process.exit());
