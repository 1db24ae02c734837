/** What a reproducer names: constants, structs and commands of the headers, symbols of the program, helpers of its own. */
import type { UapiTable } from '../../hw/uapi/table.ts';
import type { Command, Header, Struct } from '../../hw/uapi/types.ts';

export interface Constant {
  readonly value: number;
  readonly header: Header;
  /** first Linux release that has it, '' of all */
  readonly since: string;
}

export class Used {
  readonly table: UapiTable;
  readonly commands = new Map<string, Command>();
  readonly structs = new Map<string, Struct>();
  /** bytes of each struct that calls give, at most: fields beyond are not needed */
  readonly reach = new Map<string, number>();
  /** arms of unions that calls give */
  readonly arms = new Set<string>();
  readonly constants = new Map<string, Constant>();
  readonly symbols = new Set<number>();
  readonly helpers = new Set<string>();
  /** errors that are expected, by name */
  readonly errors = new Set<string>();
  readonly #selftest: ReadonlyMap<string, number>;

  constructor(table: UapiTable) {
    this.table = table;
    this.#selftest = table.enum('selftest_constants')?.members ?? new Map();
  }

  /** → its name */
  command(command: Command): string {
    this.commands.set(command.name, command);
    return command.name;
  }

  /** → `struct name` */
  struct(struct: Struct, bytes = struct.size): string {
    this.structs.set(struct.name, struct);
    this.reach.set(struct.name, Math.max(this.reach.get(struct.name) ?? 0, Math.min(bytes, struct.size)));
    return `struct ${struct.name}`;
  }

  /** A member of an enum by its value; undefined: none has it. */
  constant(enumName: string, name: string): string {
    const e = this.table.enum(enumName);
    const value = e?.members.get(name);
    if (e === undefined || value === undefined) return name;
    // an enum of the public header has members that only the private one knows
    const header = this.#selftest.has(name) ? 'iommufd_test.h' : e.header;
    this.constants.set(name, { value, header, since: e.since[name] ?? e.since[''] ?? '' });
    return name;
  }

  helper(name: string): string {
    this.helpers.add(name);
    return name;
  }
}
