import { RE2JS } from '@bufbuild/re2';
import { DEFAULT_CEL_LIMITS } from '../cel/limits.js';
import { compilePattern as compileBounded } from '../cel/regex.js';

/** A pattern of a user's schema, by RE2 and its bounds: no pattern can hold the process. `null` when it is none. */
export function compilePattern(pattern: string): ((subject: string) => boolean) | null {
  if (!compileBounded(pattern, DEFAULT_CEL_LIMITS).ok) return null;
  const compiled = RE2JS.compile(pattern);
  return (subject) => compiled.test(subject.slice(0, DEFAULT_CEL_LIMITS.subjectLength));
}
