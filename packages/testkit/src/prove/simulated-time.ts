/*
 * Time that passes only by events. Whatever happens in a simulated history happens in an event; those of one instant keep the order in
 * which they were made. So a history has no race but those that its seed draws.
 */

interface Event {
  readonly at: number;
  readonly order: number;
  readonly act: () => void;
  /** Whether code with promises runs in it: all of them are followed to their end before the next event. */
  readonly turns: boolean;
  cancelled: boolean;
}

export class SimulatedTime {
  now = 0;
  #order = 0;
  /** A binary heap, the earliest first. */
  readonly #events: Event[] = [];

  /** The answer takes it back. */
  after(milliseconds: number, act: () => void, turns = true): () => void {
    this.#order += 1;
    const event: Event = {
      at: this.now + Math.max(0, milliseconds),
      order: this.#order,
      act,
      turns,
      cancelled: false,
    };
    this.#push(event);
    return () => {
      event.cancelled = true;
    };
  }

  /** Until nothing is left to happen, `enough` says so, or the time is over. */
  async run(enough: () => boolean = () => false, until = Number.POSITIVE_INFINITY): Promise<void> {
    while (!enough()) {
      const event = this.#events[0];
      if (event === undefined || event.at > until) {
        return;
      }
      this.#pop();
      if (event.cancelled) {
        continue;
      }
      this.now = event.at;
      event.act();
      if (event.turns) {
        // Everything that was promised in this event is settled when the event loop comes round.
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
  }

  #push(event: Event): void {
    const heap = this.#events;
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const above = (index - 1) >> 1;
      const parent = heap[above];
      if (parent === undefined || isBefore(parent, event)) break;
      heap[index] = parent;
      index = above;
    }
    heap[index] = event;
  }

  #pop(): void {
    const heap = this.#events;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      const left = heap[2 * index + 1];
      const right = heap[2 * index + 2];
      const child = left !== undefined && right !== undefined && isBefore(right, left) ? right : left;
      if (child === undefined || isBefore(last, child)) break;
      heap[index] = child;
      index = child === left ? 2 * index + 1 : 2 * index + 2;
    }
    heap[index] = last;
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
