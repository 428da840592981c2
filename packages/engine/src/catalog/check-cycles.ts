import { LIMITS } from '../model/limits.js';
import { type ExpressionChecks, rulesOf } from './check-expressions.js';
import type { CheckScope } from './check-scope.js';
import { quoted } from './issue-sink.js';
import type { SourceNode } from './source-node.js';

interface Edge {
  readonly to: string;
  /** Where the dependency is written; absent when it stands in what is known already. */
  readonly node: SourceNode | undefined;
}

type Edges = (key: string) => readonly Edge[];

/**
 * Prerequisites and `flag()` calls are one graph; segments that ask for segments are another. Neither may turn in circles, nor go deeper
 * than one decision may stand inside another.
 */
export function checkCycles(checks: ExpressionChecks, scope: CheckScope): void {
  const segments = new Map(scope.catalog.segments.map((segment) => [segment.key, segment]));
  const segmentEdges: Edges = (key) => {
    const segment = segments.get(key);
    if (segment?.condition === undefined) return [];
    const node = scope.nodeOf(segment, 'condition');
    return calls(checks, segment.condition, 'segment', 'segment').map((to) => ({ to, node }));
  };
  const flagEdges: Edges = (key) => {
    const flag = scope.flags.get(key);
    if (flag === undefined) return [];
    const prerequisites = (flag.prerequisites ?? []).map((prerequisite) => ({
      to: prerequisite.flag,
      node: scope.nodeOf(prerequisite, 'flag'),
    }));
    const asked = rulesOf(flag).flatMap((rule) =>
      calls(checks, rule.if ?? '', 'flag', 'flag').map((to) => ({ to, node: scope.nodeOf(rule, 'if') })),
    );
    return [...prerequisites, ...asked];
  };
  reportCycles('flag', [...scope.flags.keys()], flagEdges, scope);
  reportCycles('segment', [...segments.keys()], segmentEdges, scope);
}

function calls(checks: ExpressionChecks, text: string, layer: 'flag' | 'segment', name: string): string[] {
  // Only texts that name the function are compiled: most conditions ask for nothing of the kind.
  if (!text.includes(name)) return [];
  const reads = checks.readsOf(text, layer);
  return (reads?.calls ?? []).flatMap((call) =>
    call.function === name && call.argument !== undefined ? [call.argument] : [],
  );
}

interface Visit {
  readonly key: string;
  readonly edges: readonly Edge[];
  next: number;
}

/** Walks without recursion: a chain of ten thousand flags must not exhaust the stack. */
function reportCycles(
  kind: 'flag' | 'segment',
  keys: readonly string[],
  edgesOf: Edges,
  scope: CheckScope,
): void {
  const done = new Map<string, Chain>();
  for (const start of keys) {
    if (done.has(start)) continue;
    const path: Visit[] = [{ key: start, edges: edgesOf(start), next: 0 }];
    const onPath = new Set([start]);
    for (let visit = path[0]; visit; visit = path[path.length - 1]) {
      const edge = visit.edges[visit.next];
      visit.next += 1;
      if (edge === undefined) {
        done.set(visit.key, endedChain(kind, visit, done, scope));
        onPath.delete(visit.key);
        path.pop();
      } else if (onPath.has(edge.to)) {
        report(kind, path, edge, scope);
      } else if (!done.has(edge.to)) {
        onPath.add(edge.to);
        path.push({ key: edge.to, edges: edgesOf(edge.to), next: 0 });
      }
    }
  }
}

/** How deep the longest chain below a key goes, and by which edge. */
interface Chain {
  readonly depth: number;
  readonly by: Edge | undefined;
}

const ENDS: Chain = { depth: 1, by: undefined };

function endedChain(
  kind: 'flag' | 'segment',
  { key, edges }: Visit,
  done: ReadonlyMap<string, Chain>,
  scope: CheckScope,
): Chain {
  let chain = ENDS;
  for (const edge of edges) {
    const depth = (done.get(edge.to)?.depth ?? 0) + 1;
    if (depth > chain.depth) chain = { depth, by: edge };
  }
  if (chain.depth <= LIMITS.dependencyDepth.value) return chain;
  // The place is the highest one on the chain that is written here: the rest stands in what is known already.
  let place = chain.by;
  while (place !== undefined && place.node === undefined) place = done.get(place.to)?.by;
  const node = place?.node;
  if (node !== undefined) {
    const { value, unit } = LIMITS.dependencyDepth;
    const message = `What ${quoted(key)} asks for asks for other ${kind}s in turn, more than ${value} ${unit} deep; shorten the chain.`;
    scope.issues.within({ kind, key }, () => scope.issues.at(node, 'DEPENDENCY_DEPTH', message));
  }
  // Said once: the chain above is measured anew.
  return ENDS;
}

function report(kind: 'flag' | 'segment', path: readonly Visit[], closing: Edge, scope: CheckScope): void {
  const cycle = path.slice(path.findIndex(({ key }) => key === closing.to));
  const names = [...cycle.map(({ key }) => key), closing.to];
  const shown = names.length > 12 ? [...names.slice(0, 6), '…', ...names.slice(-5)] : names;
  const written =
    closing.node ?? cycle.map((visit) => visit.edges[visit.next - 1]?.node).find((node) => node);
  if (written === undefined) return;
  const message = `These ${kind}s depend on each other in a circle: ${shown.map(quoted).join(' → ')}; take one of them out.`;
  scope.issues.within({ kind, key: cycle[cycle.length - 1]?.key ?? closing.to }, () =>
    scope.issues.at(written, 'CYCLE', message),
  );
}
