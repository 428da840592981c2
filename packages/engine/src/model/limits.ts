/**
 * Everything has a limit (law 10). The validator, the API, the documentation and the screens read it here, with its reason.
 */
export interface NamedLimit {
  readonly value: number;
  readonly unit: string;
  readonly reason: string;
}

function limit(value: number, unit: string, reason: string): NamedLimit {
  return { value, unit, reason };
}

export const LIMITS = {
  keyLength: limit(128, 'characters', 'Keys stand in URLs of every client, in bucket inputs and in indexes.'),
  textLength: limit(2000, 'characters', 'Names, purposes and reasons are read by people on one screen.'),
  documentBytes: limit(
    8 * 1024 * 1024,
    'bytes',
    'A catalog of 10,000 flags fits; a parser must not be fed more at once.',
  ),
  documentDepth: limit(
    32,
    'levels',
    'Deeper documents are not written by people, and recursion must be bounded.',
  ),
  features: limit(2000, 'features', 'A bulk read answers all of them at once.'),
  flags: limit(10_000, 'flags', 'Publishing one of so many is measured to hold the event loop under 10 ms.'),
  plans: limit(
    500,
    'plan versions',
    'Grandfathered versions are kept for ever; this is decades of price changes.',
  ),
  addons: limit(500, 'add-on versions', 'As for plans.'),
  groups: limit(1000, 'groups', 'Groups apply in catalog order, one after the other.'),
  segments: limit(1000, 'segments', 'A condition is evaluated where a rule or an entitlement asks.'),
  assertions: limit(1000, 'assertions', 'They run before every publish.'),
  rulesPerFlag: limit(200, 'rules', 'Rules are tried in order; a person must be able to read them.'),
  variantsPerFlag: limit(100, 'variants', 'A rollout walks them.'),
  variantBytes: limit(64 * 1024, 'bytes', 'A flag value travels in every bulk answer.'),
  prerequisitesPerFlag: limit(20, 'prerequisites', 'Each is an evaluation of its own.'),
  requiresPerFlag: limit(20, 'features', 'Each is an entitlement of its own.'),
  dependencyDepth: limit(
    50,
    'levels',
    'Flags that ask for flags, and segments for segments, are decided one inside the other.',
  ),
  rampSteps: limit(200, 'steps', 'A ramp is a step function that people read.'),
  rolloutTotal: limit(1_000_000, 'shares', 'A bucket is one of at most so many (DESIGN: a bucket).'),
  expressionBytes: limit(4096, 'bytes', 'Longer conditions belong in a segment.'),
  quantity: limit(Number.MAX_SAFE_INTEGER, 'units', 'Quantities are integers that JSON carries exactly.'),
  contextBytes: limit(64 * 1024, 'bytes', 'The context of one evaluation travels with every request.'),
  contextDepth: limit(20, 'levels', 'Hostile nesting is refused at the parser.'),
  contextKeys: limit(1000, 'members', 'Bounds the work of one evaluation.'),
  managementBodyBytes: limit(8 * 1024 * 1024, 'bytes', 'A whole catalog document.'),
  streamedBodyBytes: limit(
    1024 * 1024 * 1024,
    'bytes',
    'A million customers, or several million members, in one call; they are never held at once.',
  ),
  managementBodyMembers: limit(20_000, 'members', 'Bounds the work of one management call.'),
  headerBytes: limit(16 * 1024, 'bytes', 'Tokens fit; header floods do not.'),
  itemsPerConsume: limit(20, 'items', 'All-or-nothing over more accounts than this holds too many locks.'),
  consumeQueue: limit(
    2000,
    'requests',
    'More waiting for one customer are told 503 at once instead of late.',
  ),
  consumeBatch: limit(256, 'requests', 'One transaction decides at most so many.'),
  consumeTogether: limit(
    128,
    'customers',
    'One transaction decides for at most so many: all of them are locked until it ends.',
  ),
  transactionsTogether: limit(
    2,
    'transactions',
    'While one of several customers is at the store, another is decided; more would only be smaller.',
  ),
  noticeAgainSeconds: limit(
    3600,
    'seconds',
    'A level of usage that was told is told again at the earliest so long after the last notice of the account, unless the limit was raised.',
  ),
  reservationSeconds: limit(
    86_400,
    'seconds',
    'What is held keeps others out; work that takes longer than a day is reserved again.',
  ),
  holdsEndedAtOnce: limit(
    1000,
    'reservations',
    'Of one customer, taken off the accounts in one transaction; more are taken off in the next before anything is decided.',
  ),
  holdsKnown: limit(
    50,
    'reservations',
    'Of one account, those that end first, which an evaluation counts down by the clock until the balance is read again.',
  ),
  holderLength: limit(200, 'characters', 'It is part of a primary key.'),
  usageEventsPerBatch: limit(
    1000,
    'events',
    'One call of recorded usage; a process that has more sends several calls at once.',
  ),
  usageBatchBytes: limit(
    2 * 1024 * 1024,
    'bytes',
    'Of one call of recorded usage: so many events of two kilobytes each.',
  ),
  usageBatchMembers: limit(
    60_000,
    'members',
    'Of one call of recorded usage: sixty for each event, read before anything is known of them.',
  ),
  usageEventTextLength: limit(
    255,
    'characters',
    'The `id`, `source` and `type` of an event: what it is found again by.',
  ),
  usageAttributesBytes: limit(4096, 'bytes', 'The attributes of an event are kept with it.'),
  usageQueue: limit(20_000, 'events', 'More waiting in one process are told 503 at once instead of late.'),
  usageChunk: limit(
    500,
    'events',
    'One transaction records at most so many: whoever consumes of the same accounts waits for it.',
  ),
  usageFutureMinutes: limit(5, 'minutes', 'Clocks that send events may be ahead by so much.'),
  lateEventDays: limit(
    35,
    'days',
    'An event that is told twice is known for so long, and a period that is over must be final some day.',
  ),
  dimensionsPerFeature: limit(
    4,
    'attributes',
    'Every combination of their values is a row of each hour, written by whoever consumes.',
  ),
  dimensionValueLength: limit(128, 'characters', 'It is part of a primary key; what is longer is cut there.'),
  historyWindows: limit(
    1000,
    'windows',
    'Of one answer: six weeks by the hour, almost three years by the day, and as many months as are kept.',
  ),
  historyGroups: limit(
    10_000,
    'amounts',
    'Windows times values of the attributes that an answer is taken apart by: it is made in memory.',
  ),
  historyFilters: limit(4, 'filters', 'One for each attribute that a feature can keep apart.'),
  nearPage: limit(
    100,
    'accounts',
    'Of each, the limit is resolved anew by the engine; a page is to be there in 50 ms.',
  ),
  journalBytes: limit(
    256 * 1024 * 1024,
    'bytes',
    'What one process answers without the store, about 200,000 consumes: each waits in memory, too.',
  ),
  usageMonthsLeast: limit(2, 'months', 'Idempotency looks back 35 days; two whole months always hold them.'),
  usageMonthsMost: limit(
    120,
    'months',
    'Each month is a partition of a table, and every statement plans over all.',
  ),
  idempotencyKeyLength: limit(255, 'characters', 'It is part of a primary key.'),
  idempotencyDays: limit(35, 'days', 'Longer than a month, so that a job which runs monthly may ask again.'),
  customersInMemoryLeast: limit(
    1000,
    'customers',
    'Fewer than are asked about at once would be read again and again.',
  ),
  customersInMemoryMost: limit(
    5_000_000,
    'customers',
    'Some 10 KB each, with their licenses and grants: more belong into more processes.',
  ),
  customersInMemory: limit(50_000, 'customers', 'Bounded memory; a cold customer costs one statement.'),
  coldLookups: limit(
    1000,
    'look-ups',
    'More that wait for the store at once are told 503 at once instead of late; these fill memory even so.',
  ),
  coldStatements: limit(
    2,
    'statements',
    'While one is read by the store, the answer of the other is taken apart; more would only be smaller.',
  ),
  coldTogether: limit(
    64,
    'look-ups',
    'One statement asks for at most so many: all of them wait for the last.',
  ),
  licensesPerCustomer: limit(
    100,
    'licenses',
    'Of one product, in force or to come: each is resolved in every answer.',
  ),
  grantsPerTarget: limit(
    1000,
    'grants',
    'Of one product, in force or to come: each is read by every answer.',
  ),
  effectsPerBundle: limit(50, 'effects', 'Each is a grant of every target that it is applied to.'),
  bundles: limit(1000, 'bundles', 'Of one product and environment: people choose from them.'),
  earlierPlansPerLicense: limit(
    10,
    'plans',
    'What a license was to before; a lowered limit looks back no further than a grace or a period.',
  ),
  customersPerMove: limit(
    10_000,
    'customers',
    'Named one by one in a plan move; who means more selects them by a condition.',
  ),
  rolloverPeriods: limit(
    36,
    'periods',
    'Each is looked back to where nothing was used meanwhile; what lasts longer is a balance of its own.',
  ),
  topUpPacks: limit(20, 'packs', 'Of one feature: each may be tried when a denial asks what would help.'),
  topUpDays: limit(3660, 'days', 'What lasts longer than ten years lasts without an end.'),
  lotsPerAccount: limit(
    200,
    'lots',
    'Top-ups and what was rolled over, of one quota, not used up: each is read under the lock of every consume.',
  ),
  lotPriority: limit(100, 'rank', 'Enough to put every kind of credit before or behind every other.'),
  graceDays: limit(366, 'days', 'A grace that lasts longer is another plan.'),
  membersPerCall: limit(
    2000,
    'members',
    'One transaction changes them all, or none; a file may hold any number.',
  ),
  instancesPerCustomer: limit(10_000, 'instances', 'Each is a deployment that someone runs.'),
  customersPerUser: limit(100, 'customers', 'Whoever belongs to more must be named with the customer.'),
  attributesBytes: limit(16 * 1024, 'bytes', 'Attributes are kept in memory with every customer.'),
  importLines: limit(
    200_000,
    'lines',
    'Of one call: what a caller is told waits in memory until it is taken. Send more in several calls.',
  ),
  importLineCharacters: limit(
    8 * 1024 * 1024,
    'characters',
    'One customer with what belongs to it, as large as any other body.',
  ),
  importMembers: limit(500, 'users or instances', 'Of one line; who has more goes on in the next.'),
  importBatch: limit(500, 'lines', 'One transaction: longer ones would keep others waiting for their locks.'),
  searchWords: limit(40, 'words', 'A customer, user or instance is found by the first so many of its words.'),
  searchWordLength: limit(64, 'characters', 'Nobody types more of one word, and each stands in an index.'),
  searchTerms: limit(8, 'words', 'Each is one more look into the index for every candidate.'),
  searchCandidates: limit(
    1000,
    'words',
    'One page of a search looks at no more, so that it takes the same time whatever is asked.',
  ),
  page: limit(500, 'items', 'One page of a list.'),
  remedyOptions: limit(5, 'options', 'An upgrade prompt that offers more is not read.'),
  remedyCombinations: limit(
    12,
    'combinations',
    'Plans with an add-on are tried together, the cheapest first, only where neither alone is as cheap; an answer waits for each.',
  ),
  remedyTrials: limit(
    2000,
    'trials',
    'Each resolves an entitlement with another plan or add-on; a bulk answer of many denials tries at most so many.',
  ),
  voucherEffects: limit(20, 'effects', 'One code gives at most so much at once, all or nothing.'),
  voucherDays: limit(3660, 'days', 'What is to last longer is a contract, and says so.'),
  voucherPlans: limit(100, 'plans', 'A list that a person reads.'),
  voucherCodesAtOnce: limit(10_000, 'codes', 'They are made, stored and answered in one transaction.'),
  typedCodeCharacters: limit(
    6,
    'characters',
    'The least that a code which a person chose has; it is guessable all the same, so that it has a limit and an end.',
  ),
  voucherMisses: limit(
    10,
    'wrong codes',
    'Of one person within the window: a typist errs a few times, a guesser always.',
  ),
  voucherMissesOfCustomer: limit(50, 'wrong codes', 'Of all users of one customer within the window.'),
  voucherMissesOfAddress: limit(
    100,
    'wrong codes',
    'From one network address within the window; many honest people may stand behind it.',
  ),
  voucherMissesOfCredential: limit(
    1000,
    'wrong codes',
    'By one key within the window; a shop brings all of its customers with one key.',
  ),
  voucherMissMinutes: limit(
    10,
    'minutes',
    'The window in which wrong codes are counted, and the longest that anyone waits.',
  ),
  redemptionsRevokedAtOnce: limit(
    200,
    'redemptions',
    'One call that revokes a voucher takes back so many, each in a transaction of its own; the call is repeated for the rest.',
  ),
  spentAccounts: limit(
    1000,
    'accounts',
    'Of users or instances of one customer, whose spent part of a revoked voucher is worked out in one transaction.',
  ),
  webhooksPerEnvironment: limit(100, 'webhooks', 'Everything that is told is put by for each of them.'),
  webhookLogDays: limit(30, 'days', 'Deliveries that ended are kept with their log for so long.'),
  webhookOverlapSeconds: limit(
    7 * 86_400,
    'seconds',
    'A secret that was replaced because somebody else may have it must not sign for longer.',
  ),
  webhookReplay: limit(1000, 'deliveries', 'Of one call that replays; it is called again for more.'),
  billingMappings: limit(100, 'mappings', 'One for each account at a provider.'),
  billingItems: limit(
    5000,
    'items',
    'Every price of a provider that means something here, also those sold no more.',
  ),
  billingReference: limit(255, 'characters', 'Ids and look-up keys of providers, as long as they give them.'),
  billingQuantity: limit(1_000_000, 'pieces', 'Quantities beyond it are mistakes of a unit.'),
  billingSightings: limit(
    100,
    'states',
    'Of one subscription are remembered, to know since when it has had its status whatever the order in which that was told.',
  ),
  billingLateMinutes: limit(
    60,
    'minutes',
    'A trial goes on for so long while the event that says it was paid is on its way.',
  ),
  signatureToleranceSeconds: limit(
    300,
    'seconds',
    'A signed message is good for so long, and clocks differ by no more: older ones may have been taken from a log.',
  ),
  webhookBodyBytes: limit(1024 * 1024, 'bytes', 'Events of billing providers are far smaller.'),
  billingReconcileMinutes: limit(
    60,
    'minutes',
    'So often a provider is asked for everything: an event that never came is made good for by then.',
  ),
  inboxDays: limit(
    40,
    'days',
    'Deliveries are known again for so long; no provider repeats one for longer than 30.',
  ),
  inboxAttempts: limit(
    15,
    'attempts',
    'Later and later, over some hours; then it is a dead letter that somebody replays.',
  ),
  demoDays: limit(366, 'days', 'A demo or a beta that lasts longer is a contract, or a plan.'),
} as const satisfies Record<string, NamedLimit>;

export type LimitName = keyof typeof LIMITS;

/** Of a lot that names none, and of what a period allows. */
export const DEFAULT_LOT_PRIORITY = 50;

/** A grace after a downgrade that names no days. */
export const DEFAULT_GRACE_DAYS = 14;
/** How long a license whose payment is due keeps its rights where neither it nor its product says so. */
export const DEFAULT_PAST_DUE_DAYS = 7;

/** How long a reservation holds that says nothing of it. */
export const DEFAULT_RESERVATION_SECONDS = 60;
/** How long after its end a period accepts events where the feature does not say. */
export const DEFAULT_LATE_DAYS = 3;

/** How unlimited reads in CEL and in capabilities. */
export const UNLIMITED_AS_INTEGER = Number.MAX_SAFE_INTEGER;
/** How unlimited reads over OFREP, whose Java and Go clients read 32-bit integers. */
export const UNLIMITED_AS_OFREP_INTEGER = 2_147_483_647;

export const KEY_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$/;
