/**
 * Rounds in turn, so that a slow minute of the machine meets every subject alike. What is counted is the time of the processor that the
 * process used, its collector's threads included: on a machine shared with other work the time on the wall says who else was busy. A
 * subject answers one call; its answers are added up so that no call can be optimised away.
 */
export async function measureRounds(
  subjects,
  { rounds = 15, callsPerRound = 20_000, warmUpRounds = 3 } = {},
) {
  const nanoseconds = new Map(subjects.map((subject) => [subject.name, []]));
  for (let round = 0; round < warmUpRounds + rounds; round += 1) {
    for (const subject of subjects) {
      const calls = subject.callsPerRound ?? callsPerRound;
      const startedAt = processorTime();
      let answers = 0;
      if (subject.asynchronous) {
        for (let call = 0; call < calls; call += 1) answers += (await subject.call(call)) ? 1 : 0;
      } else {
        for (let call = 0; call < calls; call += 1) answers += subject.call(call) ? 1 : 0;
      }
      const elapsed = (processorTime() - startedAt) / calls;
      if (round >= warmUpRounds) nanoseconds.get(subject.name).push(elapsed);
      subject.answers = answers / calls;
    }
  }
  return subjects.map((subject) => ({
    name: subject.name,
    rounds: nanoseconds.get(subject.name),
    nanoseconds: median(nanoseconds.get(subject.name)),
    spread: spread(nanoseconds.get(subject.name)),
    share: subject.answers,
  }));
}

/** Nanoseconds, in steps of a microsecond: a round takes thousands of those. */
function processorTime() {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

function spread(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return [sorted[Math.floor(sorted.length * 0.1)], sorted[Math.floor(sorted.length * 0.9)]];
}

/** Prints a table. A ratio is the median of the ratios of the rounds: those of one round met the same machine. */
export function printRounds(results, ours) {
  const base = results.find((result) => result.name === ours).rounds;
  console.log(`| subject | ns per call (median) | 10–90 % | × ${ours} | answered true |`);
  console.log('| --- | ---: | ---: | ---: | ---: |');
  for (const { name, rounds, nanoseconds, spread, share } of results) {
    const ratio = median(rounds.map((time, round) => time / base[round])).toFixed(2);
    const [low, high] = spread.map((time) => time.toFixed(0));
    console.log(
      `| ${name} | ${nanoseconds.toFixed(0)} | ${low}–${high} | ${ratio} | ${(share * 100).toFixed(1)} % |`,
    );
  }
}

export function machine() {
  return `node ${process.version}, ${process.platform} ${process.arch}, ${new Date().toISOString().slice(0, 10)}`;
}

/** The same contexts for everybody: parsed from JSON, as they arrive in a server. */
export function makeContexts(amount = 2000) {
  let state = 12345;
  const random = () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return state / 0x7fffffff;
  };
  const contexts = Array.from({ length: amount }, (_, index) => ({
    targetingKey: `customer-${index}`,
    user: {
      key: `user-${index}`,
      country: random() < 0.8 ? 'DE' : 'FR',
      age: 16 + Math.floor(random() * 40),
      email: random() < 0.8 ? `person${index}@acme.example` : `person${index}@other.example`,
    },
    team: { key: `team-${index % 500}` },
    plan: { tier: ['free', 'pro', 'enterprise', 'pro'][index % 4] },
  }));
  return JSON.parse(JSON.stringify(contexts));
}
