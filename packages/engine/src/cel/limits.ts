/** The bounds that keep every expression harmless (law 7). All are parameters of `compileExpression`; these are the defaults. */
export interface CelLimits {
  /** UTF-16 code units of the text. */
  readonly sourceLength: number;
  readonly nodes: number;
  /** Constructs inside each other: parentheses, brackets, braces, calls, branches of `? :`. */
  readonly depth: number;
  /** `all`, `exists`, `map` … inside each other. */
  readonly comprehensionDepth: number;
  /** Worst-case cost in units of about one operation, computed before anything runs. */
  readonly cost: number;
  /** How long a list or map of undeclared length is taken to be when the worst case is computed. */
  readonly assumedListLength: number;
  /** Units that one evaluation may spend in loops, in growing values and in scanning long ones. */
  readonly steps: number;
  /** UTF-16 code units of a string (octets of bytes) that an expression makes. */
  readonly stringLength: number;
  /** Elements of a list or map that an expression makes. */
  readonly listLength: number;
  readonly patternLength: number;
  /** Instructions of a compiled pattern; a match spends this times the length of its subject, over four, in steps. */
  readonly patternInstructions: number;
  /** UTF-16 code units of a text given to `matches`. */
  readonly subjectLength: number;
  /** Issues reported from one text. */
  readonly issues: number;
}

interface LimitEntry {
  readonly value: number;
  readonly reason: string;
}

export const CEL_LIMITS: Readonly<Record<keyof CelLimits, LimitEntry>> = {
  sourceLength: {
    value: 4096,
    reason: 'A rule that a person can review fits; parsing stays far below a millisecond.',
  },
  nodes: { value: 500, reason: 'Bounds checking, compiling and one pass of evaluation without loops.' },
  depth: {
    value: 32,
    reason: 'The official suite asks for up to 32; deeper nesting is a mistake or an attack on the stack.',
  },
  comprehensionDepth: { value: 2, reason: 'Each level multiplies the work by the length of a list.' },
  cost: {
    value: 50_000,
    reason: 'About 2 ms in the worst case: two nested loops over 100 elements with a small condition.',
  },
  assumedListLength: {
    value: 100,
    reason: 'Longer lists declare `maxItems`, or are cut at run time by the step budget.',
  },
  steps: {
    value: 50_000,
    reason: 'The same work as the static bound, for lists that are longer than was assumed.',
  },
  stringLength: { value: 65_536, reason: 'Stops doubling; no attribute of a context needs more.' },
  listLength: {
    value: 1_000,
    reason: 'Stops doubling; long lists belong into a segment, which is looked up.',
  },
  patternLength: { value: 256, reason: 'Longer patterns are lists in disguise.' },
  patternInstructions: {
    value: 1_000,
    reason: 'Repetition counts multiply: `(a{99}){99}` is short and huge.',
  },
  subjectLength: {
    value: 4_096,
    reason: 'RE2 is linear in the subject; with the bound on patterns it stays in milliseconds.',
  },
  issues: { value: 20, reason: 'Beyond these, faults are echoes of the first ones.' },
};

const read = (name: keyof CelLimits): number => CEL_LIMITS[name].value;

export const DEFAULT_CEL_LIMITS: CelLimits = {
  sourceLength: read('sourceLength'),
  nodes: read('nodes'),
  depth: read('depth'),
  comprehensionDepth: read('comprehensionDepth'),
  cost: read('cost'),
  assumedListLength: read('assumedListLength'),
  steps: read('steps'),
  stringLength: read('stringLength'),
  listLength: read('listLength'),
  patternLength: read('patternLength'),
  patternInstructions: read('patternInstructions'),
  subjectLength: read('subjectLength'),
  issues: read('issues'),
};
