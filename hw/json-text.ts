/** JSON as this program writes it. */

function stringified(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch (error) {
    // a bigint; to look at each value is slow, and most values have none
    if (!(error instanceof TypeError)) throw error;
    return JSON.stringify(value, (_, v: unknown) => (typeof v === 'bigint' ? `0x${BigInt.asUintN(64, v).toString(16)}` : v));
  }
}

/** A number where JSON has it exactly, else itself. */
export const jsonNumber = (n: bigint): number | bigint => (Number.isSafeInteger(Number(n)) ? Number(n) : n);

/** JSON on one line: u64 as `"0x…"`, and characters that a terminal obeys as `\u` escapes. */
export function jsonText(value: unknown): string {
  const text = stringified(value);
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu, (c) => {
    let escaped = '';
    for (let i = 0; i < c.length; i++) escaped += `\\u${c.charCodeAt(i).toString(16).padStart(4, '0')}`;
    return escaped;
  });
}
