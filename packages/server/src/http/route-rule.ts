import type { RouteOptions } from 'fastify';
import type { Access, BodyReading, ErrorShape } from './app.js';

/** What the router enforces on one route, worked out once when it is registered. */
export interface RouteRule {
  readonly url: string;
  readonly access: Access;
  readonly errorShape: ErrorShape;
  readonly body: BodyReading;
  /** The path names an environment, a product: the credential must reach it before the handler runs. */
  readonly namesEnvironment: boolean;
  readonly namesProduct: boolean;
  /** A change over the management API: it may carry an `Idempotency-Key`. */
  readonly changes: boolean;
  /** A change of a whole product or of the installation, for which a key bound to one environment does not do. */
  readonly changesBeyondEnvironment: boolean;
  /** A change of an environment itself, which every product lives in. */
  readonly changesBeyondProduct: boolean;
}

/** INVARIANT: a route without `access` cannot be registered; authentication is a property of the route, never of a prefix. */
export function toRouteRule(route: RouteOptions): RouteRule {
  const { config = {}, url } = route;
  if (config.access === undefined) {
    throw new Error(`The route \`${url}\` declares no \`config.access\`: say who may call it, or 'public'.`);
  }
  const methods = Array.isArray(route.method) ? route.method : [route.method];
  const changes = config.changes ?? methods.some((method) => method !== 'GET' && method !== 'HEAD');
  const namesEnvironment = /\/:environment(\/|$)/.test(url);
  const namesProduct = /\/:product(\/|$)/.test(url);
  const errorShape = config.errorShape ?? errorShapeOf(url);
  const changesHere = errorShape === 'problem' && changes;
  return {
    url,
    access: config.access,
    errorShape,
    body: config.body ?? (errorShape === 'problem' ? 'strict' : 'fast'),
    namesEnvironment,
    namesProduct,
    changes: changesHere && config.access !== 'public',
    changesBeyondEnvironment: changesHere && !namesEnvironment && config.reachCheckedByService !== true,
    changesBeyondProduct:
      changesHere && url.endsWith('/:environment') && !namesProduct && config.reachCheckedByService !== true,
  };
}

export function errorShapeOf(url: string): ErrorShape {
  if (/^\/ofrep(\/|$)/.test(url)) {
    return 'ofrep';
  }
  return /^\/oep(\/|$)/.test(url) ? 'oep' : 'problem';
}
