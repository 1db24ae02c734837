/** What a trace says about itself: one JSON row per key in table `meta`. */
import * as z from 'zod/mini';
import en from 'zod/v4/locales/en.js';

const U64_MAX = (1n << 64n) - 1n;

// the small form of zod, for every command begins with reading a meta; it has no words of its own for what is wrong
z.config(en());

const u64 = z.codec(z.string().check(z.regex(/^0x[0-9a-f]{1,16}$/)), z.bigint().check(z.minimum(0n), z.maximum(U64_MAX)), {
  decode: (text) => BigInt(text),
  encode: (value) => `0x${value.toString(16)}`,
});

const text = z.string().check(z.maxLength(65_536));

/** Keys that a later version added are kept and not looked at. */
const schema = z.looseObject({
  v: z.literal(1),
  tool: text,
  source: z.optional(text),
  modelMachine: z.optional(text),
  kernel: text,
  machine: text,
  cpu: text,
  config: z.optional(z.record(text, text)),
  command: z.array(text),
  cwd: text,
  dialect: text,
  clock: z.object({ realtimeNs: u64, monotonicNs: u64 }),
  complete: z.boolean(),
  dropped: z.int().check(z.minimum(0)),
  exit: z.optional(z.object({ status: z.optional(z.int()), signal: z.optional(text) })),
});

/**
 * About a recording. `t` of an event is its `t_enter` minus `clock.monotonicNs`, in nanoseconds.
 */
export interface TraceMeta {
  readonly v: 1;
  /** program and version that wrote the trace */
  readonly tool: string;
  /** how the events came in: 'preload', 'ptrace', 'import strace', 'model' … */
  readonly source?: string | undefined;
  /** with source 'model': which machine it was, 'plain' where nothing is said */
  readonly modelMachine?: string | undefined;
  /** release of the kernel, as `uname -r` prints it; '' where nobody knows */
  readonly kernel: string;
  /** as `uname -m` */
  readonly machine: string;
  readonly cpu: string;
  /** what is known of the kernel's configuration: `{ CONFIG_IOMMUFD: 'y', … }` */
  readonly config?: Readonly<Record<string, string>> | undefined;
  readonly command: readonly string[];
  readonly cwd: string;
  /** name of the uAPI dialect that the calls speak */
  readonly dialect: string;
  /** both clocks, read together at the start of the recording */
  readonly clock: { readonly realtimeNs: bigint; readonly monotonicNs: bigint };
  /** false while the recording runs and after it was killed */
  readonly complete: boolean;
  /** events that were seen and not stored */
  readonly dropped: number;
  /** how the recorded program ended */
  readonly exit?: { readonly status?: number | undefined; readonly signal?: string | undefined } | undefined;
  /** what later versions and importers add; JSON values */
  readonly [key: string]: unknown;
}

/** Rows of table `meta` that are not part of {@link TraceMeta}. */
export const POSITION_KEY = 'position';

/** Longest JSON text of one row that is read, in bytes. */
export const META_LIMIT = 1 << 20;
/** Most rows that are read. */
export const META_ROWS = 256;

/** The rows for (a part of) a meta. An undefined value has no row. */
export function metaRows(meta: Partial<TraceMeta>): (readonly [key: string, json: string])[] {
  const rows: (readonly [string, string])[] = [];
  for (const [key, value] of Object.entries(z.encode(z.partial(schema), meta as z.output<typeof schema>))) {
    if (value !== undefined) rows.push([key, JSON.stringify(value)]);
  }
  return rows;
}

/** The meta from its rows. Throws a plain Error that says what is wrong. */
export function parseMeta(rows: Iterable<readonly [key: string, json: string]>): TraceMeta {
  const object: Record<string, unknown> = Object.create(null);
  for (const [key, json] of rows) {
    if (key !== POSITION_KEY) object[key] = JSON.parse(json);
  }
  const result = z.safeDecode(schema, { ...object } as z.input<typeof schema>);
  if (result.success) return result.data as TraceMeta;
  const issue = result.error.issues[0];
  throw new Error(`${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not valid'}`);
}
