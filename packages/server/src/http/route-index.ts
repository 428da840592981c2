import type { RouteOptions } from 'fastify';

interface IndexedRoute {
  readonly pattern: RegExp;
  readonly methods: readonly string[];
}

/** Which methods a path answers, to tell 405 from 404. Asked only where no route matched. */
export class RouteIndex {
  private readonly routes: IndexedRoute[] = [];

  add(route: RouteOptions): void {
    const methods = (Array.isArray(route.method) ? route.method : [route.method]).filter(
      (method) => method !== 'OPTIONS',
    );
    if (methods.length > 0) {
      const source = route.url
        .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
        .replace(/:[A-Za-z]+/g, '[^/]+')
        .replace('*', '.*');
      this.routes.push({ pattern: new RegExp(`^${source}$`), methods });
    }
  }

  methodsOf(path: string): readonly string[] {
    const found = new Set(
      this.routes.filter((route) => route.pattern.test(path)).flatMap((route) => route.methods),
    );
    return [...found].sort();
  }
}
