/** The database was written by a newer release, or a migration failed; nothing of the failed one remains. */
export class MigrationError extends Error {
  constructor(message: string, cause: unknown) {
    super(message, { cause });
    this.name = 'MigrationError';
  }
}
