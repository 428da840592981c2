import { createApplication } from './application.mjs';

const application = await createApplication({
  pennonUrl: process.env.PENNON_URL ?? 'http://127.0.0.1:8080',
  serverKey: process.env.PENNON_SERVER_KEY ?? '',
});
const address = await application.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 3000) });
console.log(`the application runs on ${address}; try ${address}/?customer=acme`);

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => application.close());
