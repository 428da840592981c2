/*
 * Whether an answer is as a case expects it: objects are compared member by member, and members that are not named are not looked at;
 * lists are compared whole; an object whose members begin with `$` asks in another way (README.md lists them).
 */

const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})$/;

const TYPES = {
  array: Array.isArray,
  boolean: (value) => typeof value === 'boolean',
  integer: Number.isSafeInteger,
  null: (value) => value === null,
  object: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  string: (value) => typeof value === 'string',
};

/** Each answers the texts of what is wrong; `whole` is the object in which the question stands. */
const QUESTIONS = {
  $type: (value, type, path) => unless(TYPES[type]?.(value) === true, value, path, `to be of type ${type}`),
  $gte: (value, least, path) => unless(value >= least, value, path, `to be at least ${least}`),
  $lte: (value, most, path) => unless(value <= most, value, path, `to be at most ${most}`),
  $in: (value, list, path) => unless(list.includes(value), value, path, `to be one of ${show(list)}`),
  $pattern: (value, pattern, path) =>
    unless(
      typeof value === 'string' && new RegExp(pattern).test(value),
      value,
      path,
      `to match /${pattern}/`,
    ),
  $instant: (value, _yes, path) =>
    unless(
      typeof value === 'string' && INSTANT.test(value) && !Number.isNaN(Date.parse(value)),
      value,
      path,
      'to be a time of RFC 3339',
    ),
  $absent: (value, _yes, path) => unless(value === undefined || value === null, value, path, 'to be absent'),
  $nullOr: (value, expected, path) => (value === null ? [] : differences(value, expected, path)),
  $sortedBy: (value, member, path) =>
    unless(
      Array.isArray(value) && value.every((one, at) => at === 0 || value[at - 1][member] < one[member]),
      Array.isArray(value) ? value.map((one) => one?.[member]) : value,
      path,
      `to be sorted by \`${member}\`, each once`,
    ),
  $has: (value, list, path) =>
    list.flatMap((expected) =>
      unless(
        Array.isArray(value) && value.some((one) => differences(one, expected, path).length === 0),
        value,
        path,
        `to hold ${show(expected)}`,
      ),
    ),
  $every: (value, expected, path) =>
    Array.isArray(value)
      ? value.flatMap((one, index) => differences(one, expected, `${path}/${index}`))
      : unless(false, value, path, 'to be a list'),
  $atLeast: (value, count, path) => unless(value?.length >= count, value, path, `to have ${count} or more`),
  $equals: (value, expected, path, whole) =>
    unless(same(value, expected, new Set(whole.$except)), value, path, `to be the same as ${show(expected)}`),
  $except: () => [],
};

/** @returns {string[]} what is wrong, in sentences; empty where nothing is. */
export function differences(value, expected, path = '') {
  if (isObject(expected)) {
    const questions = Object.keys(expected).filter((name) => name.startsWith('$'));
    if (questions.length > 0) {
      return questions.flatMap((name) => {
        const question = QUESTIONS[name];
        if (question === undefined) throw new Error(`No such question: ${name}`);
        return question(value, expected[name], path, expected);
      });
    }
    if (!isObject(value)) return unless(false, value, path, 'to be an object');
    return Object.entries(expected).flatMap(([name, one]) =>
      differences(value[name], one, `${path}/${name}`),
    );
  }
  if (Array.isArray(expected)) {
    if (!Array.isArray(value) || value.length !== expected.length) {
      return unless(false, value, path, `to be a list of ${expected.length}`);
    }
    return expected.flatMap((one, index) => differences(value[index], one, `${path}/${index}`));
  }
  return unless(value === expected, value, path, `to be ${show(expected)}`);
}

function isObject(value) {
  return TYPES.object(value);
}

function unless(holds, value, path, what) {
  return holds ? [] : [`expected ${path === '' ? 'it' : path} ${what}, got ${show(value)}`];
}

function same(one, other, except) {
  if (Array.isArray(one) && Array.isArray(other)) {
    return one.length === other.length && one.every((member, index) => same(member, other[index], except));
  }
  if (isObject(one) && isObject(other)) {
    const names = new Set([...Object.keys(one), ...Object.keys(other)]);
    return [...names].every((name) => except.has(name) || same(one[name], other[name], except));
  }
  return one === other;
}

/** What a JSON pointer names, or undefined. */
export function at(value, pointer) {
  return pointer
    .split('/')
    .slice(1)
    .reduce((place, name) => place?.[name], value);
}

function show(value) {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}
