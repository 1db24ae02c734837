import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DIALECTS, uapiTable } from '../../hw/uapi/table.ts';
import { dialectSession } from '../dialect-sessions.ts';
import { drained } from '../diff/align/align.ts';
import { programOf } from '../program/program-of.ts';
import { framesSource } from '../script.ts';
import { plots, session } from '../testing.ts';
import { syzProgram } from './syz.ts';
import { KNOWN } from './syz-known.ts';
import { recorded } from './testing.ts';

/** The grammar of docs/program_syntax.md; says where a text leaves it, and which calls and variables it has. */
class Grammar {
  readonly calls: string[] = [];
  readonly #made = new Set<string>();
  #text = '';
  #at = 0;

  program(text: string): void {
    for (const line of text.split('\n')) {
      if (line === '' || line.startsWith('#')) continue;
      this.#text = line;
      this.#at = 0;
      const variable = this.#match(/(r\d+) = /y);
      const name = this.#match(/([a-z_0-9]+(?:\$\w+(?:\$\w+)*)?)\(/y) ?? this.#fail();
      this.calls.push(name);
      this.#list(')');
      if (this.#at !== line.length) this.#fail();
      if (variable !== undefined) this.#made.add(variable);
    }
  }
  #fail(): never {
    throw new Error(`${this.#text.slice(0, this.#at)} >>> ${this.#text.slice(this.#at)}`);
  }
  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found === null) return undefined;
    this.#at += found[0].length;
    return found[1] ?? found[0];
  }
  #list(end: string): void {
    const close = end === ')' ? /\)/y : end === '}' ? /\}/y : /\]/y;
    if (this.#match(close) !== undefined) return;
    do this.#arg();
    while (this.#match(/, /y) !== undefined);
    if (this.#match(close) === undefined) this.#fail();
  }
  #arg(): void {
    if (this.#match(/nil\b/y) !== undefined || this.#match(/0x[0-9a-f]{1,16}/y) !== undefined) return;
    if (this.#match(/"(?:[0-9a-f]{2})*"(?:\/\d+)?/y) !== undefined || this.#match(/'(?:[ -&(-[\]-~]|\\x[0-9a-f]{2})*'/y) !== undefined)
      return;
    const made = this.#match(/<(r\d+)=>/y);
    if (made !== undefined) {
      this.#arg();
      if (this.#match(/>/y) !== undefined) this.#fail();
      this.#made.add(made);
      return;
    }
    const variable = this.#match(/(r\d+)(?:\/0x[0-9a-f]+)?(?:\+0x[0-9a-f]+)?/y);
    if (variable !== undefined) {
      if (!this.#made.has(variable)) this.#fail();
    } else if (this.#match(/\{/y) !== undefined) this.#list('}');
    else if (this.#match(/\[/y) !== undefined) this.#list(']');
    else if (this.#match(/@\w+=/y) !== undefined) this.#arg();
    else if (this.#match(/&\(0x7f[0-9a-f]{10}(?:\/0x[0-9a-f]+)?\)(?:=ANY)?=/y) !== undefined) this.#arg();
    else this.#fail();
  }
}

function held({ text, descriptions }: { readonly text: string; readonly descriptions: string }): string[] {
  expect(text + descriptions).not.toMatch(/[^\n\t -~]/);
  const grammar = new Grammar();
  grammar.program(text);
  const described = new Set([...descriptions.matchAll(/^((?:ioctl|openat)\$rr_\w+)\(/gm)].map((m) => m[1]!));
  const plain = [
    'openat',
    'openat$iommufd',
    'close',
    'dup',
    'mmap',
    'munmap',
    'read',
    'write',
    'pread64',
    'pwrite64',
    'ioctl',
    'memfd_create',
    'ftruncate',
    'eventfd2',
  ];
  const known = new Set([...KNOWN.map((k) => k.name), ...plain]);
  for (const call of grammar.calls) expect(known.has(call) || described.has(call), call).toBe(true);
  // what a description names is there: structs, sets of flags, resources
  const names = new Set([...descriptions.matchAll(/^(?:resource )?(\w+)(?: = |\[| [{[])/gm)].map((m) => m[1]!));
  for (const [, name = ''] of descriptions.matchAll(/\b(rr_[a-z]\w*)(?=[\],\t])/g))
    if (!name.startsWith('rr_IOMMU')) expect(names, name).toContain(name);
  return grammar.calls;
}

test.each(['vmm-7.2', 'vfio-7.2'])('%s', async (name) => {
  const source = syzProgram(recorded(name), `${name}.irr`);
  held(source);
  await expect(source.text).toMatchFileSnapshot(`../../fixtures/golden/export/${name}.syz`);
  await expect(source.descriptions).toMatchFileSnapshot(`../../fixtures/golden/export/${name}.syz.txt`);
});

describe('the grammar holds', () => {
  test.each(['selftest-basic-7.2', 'selftest-viommu-7.2', 'selftest-pasid-7.2', 'smmu-7.2-arm64', 'pci-6.12'])('%s', (name) => {
    expect(held(syzProgram(recorded(name), '')).length).toBeGreaterThan(20);
  });
  test.each(DIALECTS)('the session of %s', (dialect) => {
    const program = drained(programOf(dialectSession(dialect).script.source(), uapiTable(dialect)));
    expect(held(syzProgram(program, '')).length).toBeGreaterThan(10);
  });
  test('calls that no kernel would have let pass', () => {
    fc.assert(
      fc.property(plots, (plot) => {
        held(syzProgram(drained(programOf(framesSource(session(plot).frames, 'linux-7.2'), uapiTable('linux-7.2'))), '*/\n\u202e'));
      }),
      { numRuns: 60 },
    );
  });
  test('a text that leaves it is found', () => {
    for (const bad of ['ioctl(r0, 0x3b80)', 'close(0x1', 'close(0xZ)', 'write(0x3, &(0x20000000)="0")', "r0 = openat(0x0, 'a\\')"])
      expect(() => new Grammar().program(bad)).toThrow();
  });
});
