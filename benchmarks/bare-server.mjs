import { createServer } from 'node:http';

// The floor: the same body parsed, the same bytes written, nothing decided. BODIES maps a path to the answer's text.
const bodies = new Map(Object.entries(JSON.parse(process.env.BODIES ?? '{}')));
const parsed = new Map([...bodies].map(([path, text]) => [path, JSON.parse(text)]));

const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const body = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    const serialise = request.url.endsWith('/flags');
    const text = serialise ? JSON.stringify(parsed.get(request.url)) : bodies.get(request.url);
    if (text === undefined || body.context === undefined) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, {
      'content-type': 'application/json; charset=utf-8',
      'content-length': Buffer.byteLength(text),
    });
    response.end(text);
  });
});
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
