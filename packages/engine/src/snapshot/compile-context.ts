import type { ExpressionLayer } from '../catalog/expression-environment.js';
import type { Catalog } from '../model/catalog.js';
import type { Condition } from './condition.js';

/** What the compilers of items share: the document, the environment, and the door to expressions. */
export interface CompileContext {
  readonly catalog: Catalog;
  readonly environment: string;
  /** Throws `BrokenItem` where the text is no expression of the layer. */
  condition(text: string, layer: ExpressionLayer): Condition;
}
