import swagger, { type StaticDocumentSpec } from '@fastify/swagger';
import Fastify, { type FastifyInstance } from 'fastify';
import type { App } from './app.js';

/** OpenAPI of whichever version, as an object. */
type Description = Exclude<ReturnType<App['swagger']>, string>;

/** The page speaks of Pennon, not of the tools that it is made with. */
const STYLE = '.swagger-ui .topbar { display: none } .swagger-ui .info { margin: 32px 0 }';

/**
 * `/docs`, which needs nothing from outside. Most processes are never asked for it, so what shows it is loaded at the first request,
 * onto a router of its own.
 * @param describe what `/openapi.json` answers.
 */
export function registerDocumentationPages(app: App, describe: () => Description): void {
  let pages: Promise<FastifyInstance> | null = null;
  for (const url of ['/docs', '/docs/*']) {
    app.get(
      url,
      { config: { access: 'public' }, schema: { hide: true } },
      async ({ url: asked, headers }, reply) => {
        pages ??= loadPages(describe());
        const page = await (await pages).inject({ method: 'GET', url: asked, headers });
        if (page.statusCode === 404) return reply.callNotFound();
        return reply.code(page.statusCode).headers(page.headers).send(page.rawPayload);
      },
    );
  }
  app.addHook('onClose', async () => {
    await (await pages)?.close();
  });
}

async function loadPages(document: Description): Promise<FastifyInstance> {
  const { default: swaggerUi } = await import('@fastify/swagger-ui');
  const pages = Fastify();
  await pages.register(swagger, {
    mode: 'static',
    specification: { document: document as StaticDocumentSpec['document'] },
  });
  await pages.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: true,
    uiConfig: { docExpansion: 'list', deepLinking: true, persistAuthorization: false },
    theme: { title: 'Pennon API', css: [{ filename: 'pennon.css', content: STYLE }] },
  });
  return pages;
}
