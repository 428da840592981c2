/** What sameness is decided by. */
export interface Call {
  readonly operation: string;
  readonly idempotencyKey: string;
}

/** Values by operation and idempotency key, without a text of both that would have to be made and hashed for every call. */
export class ByCall<Value> {
  readonly #operations = new Map<string, Map<string, Value>>();

  get({ operation, idempotencyKey }: Call): Value | undefined {
    return this.#operations.get(operation)?.get(idempotencyKey);
  }

  set({ operation, idempotencyKey }: Call, value: Value): void {
    let keys = this.#operations.get(operation);
    if (keys === undefined) {
      keys = new Map();
      this.#operations.set(operation, keys);
    }
    keys.set(idempotencyKey, value);
  }
}

/** Those that tell of one of the calls: an idempotency key is looked for whatever it was used for. */
export function ofCalls<Row extends Call>(rows: readonly Row[], calls: readonly Call[]): readonly Row[] {
  if (rows.length === 0) {
    return rows;
  }
  const asked = new ByCall<true>();
  for (const call of calls) asked.set(call, true);
  return rows.filter((row) => asked.get(row) === true);
}
