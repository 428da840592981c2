import pg from 'pg';

/*
 * Several prepared statements sent together and answered together, under one Sync: one write and one read for each side, where the driver's
 * pipeline has one of each for every statement. After a failure PostgreSQL passes over what is left of the group.
 */

export interface GroupStatement {
  /** Of the prepared statement; with one text for ever. */
  readonly name: string;
  readonly text: string;
  readonly values: readonly (string | null)[];
  /** Of a `COPY … FROM STDIN`: what follows it at once, as whole CopyData and CopyDone messages. */
  readonly copy?: Buffer;
}

export interface GroupResult {
  /** Columns as text; `null` where they are. */
  readonly rows: readonly (readonly (string | null)[])[];
  /** `COMMIT`, `UPDATE 1` … */
  readonly tag: string;
}

/** Which statements a connection has prepared. A connection on which a group failed must not be used again. */
const prepared = new WeakMap<pg.Connection, Set<string>>();

/** One result for each statement. Rejects with the first error; the connection is then to be closed. */
export function sendGroup(
  client: pg.ClientBase,
  statements: readonly GroupStatement[],
): Promise<readonly GroupResult[]> {
  return new Promise((resolve, reject) => {
    const group: StatementGroup = new StatementGroup(statements, (error) => {
      if (error) {
        reject(error);
      } else if (group.results.length < statements.length) {
        reject(new Error('The store gave fewer results than it was asked for.'));
      } else {
        resolve(group.results);
      }
    });
    client.query(group);
  });
}

class StatementGroup extends pg.Query {
  readonly results: GroupResult[] = [];
  override readonly submit: pg.Query['submit'];
  #rows: (string | null)[][] = [];

  constructor(statements: readonly GroupStatement[], callback: (error: Error | undefined) => void) {
    super('', callback);
    this.submit = (connection) => submitAll(connection, statements);
  }

  /* What the driver calls while the group is answered. */

  handleDataRow(message: { readonly fields: (string | null)[] }): void {
    this.#rows.push(message.fields);
  }

  handleCommandComplete(message: { readonly text: string }): void {
    this.results.push({ rows: this.#rows, tag: message.text });
    this.#rows = [];
  }

  handleCopyInResponse(): void {
    // The rows are on their way already.
  }
}

function submitAll(connection: pg.Connection, statements: readonly GroupStatement[]): void {
  const { stream } = connection;
  let names = prepared.get(connection);
  if (names === undefined) {
    names = new Set();
    prepared.set(connection, names);
  }
  stream.cork();
  try {
    for (const { name, text, values, copy } of statements) {
      if (!names.has(name)) {
        connection.parse({ name, text, types: [] }, true);
        names.add(name);
      }
      connection.bind({ statement: name, values: [...values], portal: '', binary: '' }, true);
      connection.execute({ portal: '', rows: '' }, true);
      if (copy !== undefined) {
        stream.write(copy);
      }
    }
    connection.sync();
  } finally {
    stream.uncork();
  }
}
