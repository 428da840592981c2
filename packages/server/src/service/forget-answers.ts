import type { RememberedAnswers } from './remembered-answers.js';

/** Old answers are forgotten a few hundred at a time, so that no statement is long and no start waits. */
const BETWEEN_MILLISECONDS = 10 * 60_000;
const MORE_MILLISECONDS = 1000;

export interface AnswerForgetting {
  start(): void;
  stop(): void;
}

export function createAnswerForgetting(
  answers: RememberedAnswers,
  onProblem: (problem: string, error: unknown) => void,
): AnswerForgetting {
  let timer: NodeJS.Timeout | null = null;
  let running = false;

  async function run(): Promise<void> {
    let next = BETWEEN_MILLISECONDS;
    try {
      if ((await answers.forgetOld()) > 0) next = MORE_MILLISECONDS;
    } catch (error) {
      onProblem('old answers could not be forgotten', error);
    }
    if (running) wait(next);
  }

  function wait(milliseconds: number): void {
    timer = setTimeout(run, milliseconds);
    timer.unref();
  }

  return {
    start() {
      running = true;
      wait(MORE_MILLISECONDS);
    },
    stop() {
      running = false;
      if (timer !== null) clearTimeout(timer);
    },
  };
}
