type Members = Readonly<Record<string, unknown>>;

/** Reads the own member of one name. INVARIANT: never an inherited one, also where prototypes were tampered with. */
export type MemberReader = (object: Members) => unknown;

/** Holds nothing of its own: what is found in it by a name is what every object and list inherits under that name. */
const PROBE = Object.freeze([]) as unknown as Members;

function ownMember(object: Members, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

/*
 * A JavaScript engine remembers at each place of the source text which member was read there and where it lay. A place that reads
 * many names forgets, and looks for each anew, at ten times the cost. Without writing source text at run time, which many
 * installations forbid, every name needs a place that stands here: as many as the conditions of a product usually read.
 */
const PLACES: readonly ((name: string) => MemberReader)[] = [
  (name) => (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name)),
  (name) => (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name)),
  (name) => (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name)),
  (name) => (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name)),
  (name) => (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name)),
  (name) => (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name)),
  (name) => (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name)),
  (name) => (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name)),
  (name) => (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name)),
  (name) => (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name)),
  (name) => (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name)),
  (name) => (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name)),
  (name) => (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name)),
  (name) => (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name)),
  (name) => (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name)),
  (name) => (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name)),
  (name) => (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name)),
  (name) => (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name)),
  (name) => (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name)),
  (name) => (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name)),
  (name) => (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name)),
  (name) => (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name)),
  (name) => (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name)),
  (name) => (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name)),
];

const sharedPlace = (name: string): MemberReader => {
  return (object) => (PROBE[name] === undefined ? object[name] : ownMember(object, name));
};

/** Longer ones are compared rarely, and kept by the engine at a cost. */
const LONGEST_INTERNED = 1024;

/**
 * The very text that the JavaScript engine keeps for a name and knows by its identity: the key of an object. One without a prototype is
 * a table, so that no name leaves a trace in how other objects are laid out.
 */
export function interned(text: string): string {
  if (text.length > LONGEST_INTERNED) return text;
  const table: Record<string, null> = Object.create(null);
  table[text] = null;
  return Object.keys(table)[0] ?? text;
}

/** By name, for the life of the process: no more than there are places. */
const placed = new Map<string, MemberReader>();

/** First come, first served; whoever comes later shares one place, and gets the same answers. */
export function memberReader(name: string): MemberReader {
  const known = placed.get(name);
  if (known !== undefined) return known;
  const key = interned(name);
  const place = PLACES[placed.size];
  if (place === undefined) return sharedPlace(key);
  const reader = place(key);
  placed.set(key, reader);
  return reader;
}
