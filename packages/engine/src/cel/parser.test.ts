import { describe, expect, it } from 'vitest';
import { parseExpression } from './parser.js';

describe('a tree for every text', () => {
  it('keeps both sides of a fault, and says where each fault is', () => {
    const { root, issues } = parseExpression('user.age >= && plan.tier ==');
    expect(root).toMatchObject({ kind: 'logic' });
    expect(issues.map((issue) => [issue.line, issue.column])).toEqual([
      [1, 13],
      [1, 28],
    ]);
  });

  it('counts lines, and names what was expected', () => {
    const { issues } = parseExpression('user.country == "DE"\n  && (team.key == "a"');
    expect(issues).toHaveLength(1);
    expect(issues[0]).toMatchObject({ line: 2 });
    expect(issues[0]?.message).toContain(')');
  });

  it('gives a tree for nothing at all', () => {
    const { root, issues } = parseExpression('');
    expect(root.kind).toBe('error');
    expect(issues).toHaveLength(1);
  });
});
