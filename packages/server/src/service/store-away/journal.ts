/**
 * What was answered without the store, on disk before it is answered. One stream of a process, taken over by another one when the process
 * has ended. Lines are opaque here.
 */
export interface ConsumptionJournal {
  /** Durable when it resolves. Rejects where it could not be kept (a full disk, too much waiting): then nothing may be answered. */
  append(text: string): Promise<JournalPlace>;
  /** Stands in the store now: once nothing of a file is waited for any more, the file goes. */
  forget(place: JournalPlace): void;
  /** Lines of processes that have ended; from now on they are this process's own. */
  takeOver(): Promise<readonly JournalLine[]>;
  report(): { readonly bytes: number };
  /** What is not in the store yet stays on disk, for whoever takes it over. */
  close(): Promise<void>;
}

export type JournalPlace = string;

export interface JournalLine {
  readonly text: string;
  readonly place: JournalPlace;
}
