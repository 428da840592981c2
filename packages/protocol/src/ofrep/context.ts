/*
 * From the body of an OFREP request to the raw context. Reading is lenient where published clients need it (no body, `{}`,
 * a null context) and exact where something was meant: a context that is not an object is refused.
 */

export type RawContext = Readonly<Record<string, unknown>>;

export type FromOfrepRequest =
  | { readonly ok: true; readonly context: RawContext }
  | { readonly ok: false; readonly message: string };

const NO_CONTEXT: RawContext = Object.freeze({});

/** @param body what the body parser gave: `undefined` and `null` for an empty body. */
export function fromOfrepRequest(body: unknown): FromOfrepRequest {
  if (body === undefined || body === null) {
    return { ok: true, context: NO_CONTEXT };
  }
  if (!isPlainObject(body)) {
    return { ok: false, message: 'The body must be a JSON object such as `{"context": {…}}`.' };
  }
  const context = body.context;
  if (context === undefined || context === null) {
    return { ok: true, context: NO_CONTEXT };
  }
  if (!isPlainObject(context)) {
    return { ok: false, message: 'The member `context` must be a JSON object, or absent.' };
  }
  return { ok: true, context };
}

function isPlainObject(value: unknown): value is RawContext {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
