export interface PlantedFault {
  readonly name: string;
  /** Below `packages/`. */
  readonly file: string;
  /** Words that stand there once, and what stands there instead. */
  readonly edits: readonly (readonly [find: string, replace: string])[];
  /** Which part of the proof has to notice. */
  readonly caughtBy: 'histories' | 'stream' | 'reservations' | 'credits' | 'interleavings' | 'servers';
  /** Where the search begins, for those that show in few cases only. */
  readonly firstSeed?: number;
}
