/** C as text: literals and comments that nothing in a stranger's trace can break out of. */

/** Columns that a line is to have at most, tabs counted as eight. */
const WIDTH = 100;
/** what the inside of a block is indented by */
const INNER = 16;

/** A string literal. What is not plain ASCII is octal, three digits, so that no digit behind it is taken for one of its own. */
export function stringLiteral(bytes: Uint8Array): string {
  let text = '"';
  for (const b of bytes) {
    if (b === 0x22 || b === 0x5c) text += `\\${String.fromCharCode(b)}`;
    // `?`: trigraphs
    else if (b >= 0x20 && b < 0x7f && b !== 0x3f) text += String.fromCharCode(b);
    else text += `\\${b.toString(8).padStart(3, '0')}`;
  }
  return `${text}"`;
}

/** Text for the inside of a comment, on one line. */
export function commentText(text: string): string {
  return text
    .replace(/[^ -~]/gu, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`)
    .replace(/\*\//g, '* /')
    .replace(/\/\*/g, '/ *')
    .replace(/\?(?=\?)/g, '? ')
    .replace(/\\$/, '\\ ');
}

/** A comment of as many lines as it takes, without indentation. */
export function comment(paragraphs: readonly string[]): string[] {
  const lines: string[] = [];
  for (const p of paragraphs) {
    let line = '';
    for (const word of commentText(p).split(' ')) {
      if (line !== '' && line.length + word.length > WIDTH - 4) {
        lines.push(line);
        line = word;
      } else line = line === '' ? word : `${line} ${word}`;
    }
    lines.push(line);
  }
  if (lines.length === 1) return [`/* ${lines[0]} */`];
  return ['/*', ...lines.map((l) => (l === '' ? ' *' : ` * ${l}`)), ' */'];
}

const columns = (line: string): number => line.replace(/^\t+/, (tabs) => ' '.repeat(8 * tabs.length)).length;

/** `head { a, b };` on one line where it fits, else an item a line. `last`: what is behind the brace. */
export function initialiser(head: string, items: readonly string[], last = ';', indent = ''): string[] {
  if (items.length === 0) return [`${indent}${head} {}${last}`];
  const one = `${indent}${head} { ${items.join(', ')} }${last}`;
  if (columns(one) <= WIDTH - INNER && items.length <= 4 && !items.some((i) => i.includes('\n'))) return [one];
  return [`${indent}${head} {`, ...items.map((i) => `${indent}\t${i},`), `${indent}}${last}`];
}

/** Bytes as items of an initialiser, so many a line. */
export function byteItems(bytes: Uint8Array, each = 12): string[] {
  const lines: string[] = [];
  for (let i = 0; i < bytes.length; i += each)
    lines.push(Array.from(bytes.subarray(i, i + each), (b) => `0x${b.toString(16).padStart(2, '0')}`).join(', '));
  return lines;
}

/** A call: broken behind a comma where it is too long for its indentation. */
export function wrapped(line: string, indent: string): string[] {
  if (columns(indent + line) <= WIDTH) return [indent + line];
  let at = -1;
  let inString = false;
  for (let i = 0; i < line.length; i++) {
    if (line[i] === '\\') i++;
    else if (line[i] === '"') inString = !inString;
    else if (!inString && line[i] === ',' && line[i + 1] === ' ' && columns(indent) + i < WIDTH) at = i;
  }
  return at < 0
    ? [indent + line]
    : [indent + line.slice(0, at + 1), ...wrapped(line.slice(at + 2), indent.endsWith('\t\t\t\t\t') ? indent : `${indent}\t\t`)];
}
