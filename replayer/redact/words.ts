/** Texts and bytes as tokens: the same for the same, and without the key nobody can try out what they stand for. */
import { createHash, createHmac } from 'node:crypto';

/** Parts of paths that every machine has; they say nothing of anybody. */
const KNOWN = new Set(
  'dev proc sys usr bin sbin lib lib64 libexec local home root tmp var opt etc run mnt srv share self fd task maps mem exe cwd bus pci devices drivers class kernel iommu iommu_groups vfio kvm null zero full random urandom shm hugepages noiommu'.split(
    ' ',
  ),
);
/** Names of files of the kernel. */
const OWN = /^(vfio\d+|pts|\d+)$/;
/** Folders that they are in. */
const BEFORE_OWN = new Set(['vfio', 'devices', 'proc', 'fd', 'task']);
const ANON = /^(anon_inode:\[[\w:. -]+\]|(socket|pipe):\[\d+\]|\/memfd:.*|\/dmabuf:.*)$/;
const BDF = /\b([0-9a-f]{4}):([0-9a-f]{2}):([01][0-9a-f])\.([0-7])\b/gi;

/** A path with something in the place of each name that may say whose it is. */
export function pathWith(text: string, instead: (name: string) => string): string {
  if (ANON.test(text) && !text.startsWith('/')) return text;
  const names = text.split('/');
  // of somebody's own folders only the name of the first is everybody's
  const known = ['dev', 'proc', 'sys'].includes(names[1] ?? '') ? names.length : 2;
  return names
    .map((name, i) =>
      isEverybodys(name, names[i - 1] ?? '', i < known && (i > 1 || names.length > 2 || known > 2)) ? name : instead(name),
    )
    .join('/');
}

function isEverybodys(name: string, before: string, known: boolean): boolean {
  if (name === '' || name === '.' || name === '..') return true;
  return known && (KNOWN.has(name) || (OWN.test(name) && BEFORE_OWN.has(before)));
}

export class Words {
  readonly #key: Buffer;
  readonly #count: (sort: 'paths' | 'bdfs') => void;

  constructor(key: Buffer, count: (sort: 'paths' | 'bdfs') => void) {
    this.#key = key;
    this.#count = count;
  }

  #hash(sort: string, text: string | Uint8Array): Buffer {
    return createHmac('sha256', this.#key).update(`${sort}\0`).update(text).digest();
  }

  /** A token for a text of a sort. */
  token(sort: string, text: string): string {
    return text === '' ? '' : `${sort}-${this.#hash(sort, text).toString('hex', 0, 5)}`;
  }

  /** A path, name by name: what lies in one folder still does. */
  path(text: string): string {
    return pathWith(text, (name) => {
      const plain = this.bdfs(name);
      if (plain !== name && plain.length === 12) return plain;
      this.#count('paths');
      return this.token('name', name);
    });
  }

  /** A text that may name devices of the PCI bus. */
  bdfs(text: string): string {
    return text.replace(BDF, (_, domain: string, bus: string, device: string, fn: string) => {
      const [d, b, s, f] = this.bdf(Number.parseInt(domain, 16), Number.parseInt(bus, 16), Number.parseInt(device, 16), Number(fn));
      const hex = (n: number, width: number): string => n.toString(16).padStart(width, '0');
      return `${hex(d, 4)}:${hex(b, 2)}:${hex(s, 2)}.${f}`;
    });
  }

  /** Domain, bus, device and function of a device that stands for another one. */
  bdf(domain: number, bus: number, device: number, fn: number): readonly [number, number, number, number] {
    this.#count('bdfs');
    const h = this.#hash('bdf', `${domain}:${bus}:${device}.${fn}`);
    return [h.readUInt16LE(0), h[2]!, h[3]! & 31, h[4]! & 7];
  }

  /** Bytes, eight by eight: zeros stay, so what a kernel takes for empty is empty; the same eight are always the same. */
  scrambled(bytes: Uint8Array): Uint8Array {
    const out = new Uint8Array(bytes.length);
    for (let at = 0; at < bytes.length; at += 8) {
      const word = bytes.subarray(at, at + 8);
      if (word.every((b) => b === 0)) continue;
      const h = createHash('sha256').update(this.#key).update(word).digest();
      word.forEach((b, i) => {
        // never the byte that was there
        out[at + i] = b === 0 ? 0 : 1 + ((b - 1 + 1 + (h[i]! % 254)) % 255);
      });
    }
    return out;
  }
}
