import { createServer } from 'node:http';

/*
 * The floor: the same body parsed, the same bytes written, nothing decided. BODIES maps a path to the answer's text; HEADERS
 * are what Pennon writes besides, for those who ask with `?headers`.
 */
const bodies = new Map(Object.entries(JSON.parse(process.env.BODIES ?? '{}')));
const allHeaders = JSON.parse(process.env.HEADERS ?? '{}');
const parsed = new Map([...bodies].map(([path, text]) => [path, JSON.parse(text)]));

const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const body = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    const [path, query] = request.url.split('?', 2);
    const serialise = path.endsWith('/flags');
    const text = serialise ? JSON.stringify(parsed.get(path)) : bodies.get(path);
    if (text === undefined || body.context === undefined) {
      response.writeHead(404).end();
      return;
    }
    const own = {
      'content-type': 'application/json; charset=utf-8',
      'content-length': Buffer.byteLength(text),
    };
    response.writeHead(200, query === undefined ? own : allHeaders);
    response.end(text);
  });
});
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
