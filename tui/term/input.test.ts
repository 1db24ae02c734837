import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { keysOf } from '../testing.ts';
import { ESC_DELAY, InputParser, PASTE_DELAY } from './input.ts';

const names = (...reads: string[]): string[] => {
  const parser = new InputParser();
  const keys = reads.flatMap((r) => parser.push(r));
  return [...keys, ...parser.flush()].map((k) => k.name);
};

describe('input', () => {
  test('a burst is as many keys as it has characters', () => {
    expect(names('jjj')).toEqual(['j', 'j', 'j']);
    expect(names('ggG')).toEqual(['g', 'g', 'G']);
    expect(names('1204G')).toEqual(['1', '2', '0', '4', 'G']);
    expect(names(']e[e')).toEqual([']', 'e', '[', 'e']);
  });

  test('escape sequences of the usual terminals', () => {
    expect(names('\x1b[A\x1bOB\x1b[C\x1b[D')).toEqual(['up', 'down', 'right', 'left']);
    expect(names('\x1b[H\x1b[F\x1b[1~\x1b[4~\x1b[7~\x1bOF')).toEqual(['home', 'end', 'home', 'end', 'home', 'end']);
    expect(names('\x1b[5~\x1b[6~\x1b[3~')).toEqual(['pageup', 'pagedown', 'delete']);
    expect(names('\x1bOP\x1b[11~\x1b[24~\x1b[Z')).toEqual(['f1', 'f1', 'f12', 'shift-tab']);
    expect(names('\x1b[1;5A\x1b[1;2B\x1b[5;3~\x1b[97;5u')).toEqual(['ctrl-up', 'shift-down', 'alt-pageup', 'ctrl-a']);
  });

  test('control characters', () => {
    expect(names('\r\t\x7f\x08\x04\x15\x03\x1a\x0c \x00')).toEqual(
      'enter tab backspace backspace ctrl-d ctrl-u ctrl-c ctrl-z ctrl-l space ctrl-space'.split(' '),
    );
  });

  test('a sequence may be spread over reads', () => {
    expect(names('\x1b', '[', '5', '~', 'j')).toEqual(['pageup', 'j']);
    expect(names('\x1b', 'O', 'A')).toEqual(['up']);
  });

  test('a lone Esc waits for the timer, then is the Esc key', () => {
    const parser = new InputParser();
    expect(parser.push('\x1b')).toEqual([]);
    expect(parser.pending).toBe(ESC_DELAY);
    expect(parser.flush()).toEqual([{ name: 'esc' }]);
    expect(parser.pending).toBe(undefined);
    expect(names('\x1b\x1b')).toEqual(['esc', 'esc']);
    expect(names('\x1b\x1b[A')).toEqual(['esc', 'up']);
    expect(names('\x1bj')).toEqual(['alt-j']);
    expect(names('\x1b]e')).toEqual(['alt-]', 'e']);
  });

  test('characters of several bytes may be cut by a read', () => {
    const bytes = Buffer.from('é漢j');
    const parser = new InputParser();
    const keys = [...bytes].flatMap((b) => parser.push(Uint8Array.of(b)));
    expect(keys.map((k) => k.name)).toEqual(['é', '漢', 'j']);
  });

  test('a paste whose end does not come ends with the timer, and keys are keys again', () => {
    const parser = new InputParser();
    expect(parser.push('j\x1b[200~lost\x1b[2')).toEqual([{ name: 'j', text: 'j' }]);
    expect(parser.pending).toBe(PASTE_DELAY);
    expect(parser.push('jj')).toEqual([]);
    expect(parser.flush()).toEqual([{ name: 'paste', text: 'lost\x1b[2jj' }]);
    expect(parser.pending).toBe(undefined);
    expect(parser.push('\x03').map((k) => k.name)).toEqual(['ctrl-c']);
    // Ctrl-C ends it at once
    parser.push('\x1b[200~lost');
    expect(parser.push('\x03').map((k) => k.name)).toEqual(['paste', 'ctrl-c']);
    // with nothing in it
    parser.push('\x1b[200~');
    expect(parser.flush()).toEqual([{ name: 'paste', text: '' }]);
    expect(parser.push('k').map((k) => k.name)).toEqual(['k']);
  });

  test('a bracketed paste is one key, however it is cut', () => {
    const text = 'G qq\x1b[31m';
    const input = `j\x1b[200~${text}\x1b[201~k`;
    for (let cut = 0; cut <= input.length; cut++) {
      const parser = new InputParser();
      const keys = [...parser.push(input.slice(0, cut)), ...parser.push(input.slice(cut))];
      expect(keys).toEqual([
        { name: 'j', text: 'j' },
        { name: 'paste', text },
        { name: 'k', text: 'k' },
      ]);
    }
  });

  test('reports that nobody asked for are no keys', () => {
    expect(names('\x1b[I\x1b[O\x1b[?62;4c\x1b[12;40Rj').filter((n) => n !== 'unknown')).toEqual(['j']);
    expect(names('\x1b[M !!j')).toEqual(['unknown', 'j']);
  });

  test('the mouse: a press of the left button, the wheel, with whatever else is held; letting go is no key', () => {
    expect(keysOf('\x1b[<0;10;3M\x1b[<0;10;3m\x1b[<64;1;1M\x1b[<69;200;50Mj')).toEqual([
      { name: 'click', at: { x: 9, y: 2 } },
      { name: 'wheelup', at: { x: 0, y: 0 } },
      { name: 'wheeldown', at: { x: 199, y: 49 } },
      { name: 'j', text: 'j' },
    ]);
    expect(keysOf('\x1b[<2;10;3M\x1b[<35;1;1M\x1b[<0;0;0M')).toEqual([]);
    expect(names('\x1b[<0;1M\x1b[<1;2;3;4M')).toEqual(['unknown', 'unknown']);
  });

  test('any bytes, cut anywhere, give the same keys and never throw', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constantFrom('\x1b', '[', 'O', '1', ';', '5', '~', 'A', 'j', '\x1b[200~', '\x1b[201~', 'é'), fc.string()), {
          maxLength: 20,
        }),
        fc.nat(40),
        (parts, cut) => {
          const input = parts.join('');
          const whole = new InputParser();
          const split = new InputParser();
          const a = [...whole.push(input), ...whole.flush()];
          const b = [...split.push(input.slice(0, cut)), ...split.push(input.slice(cut)), ...split.flush()];
          expect(b).toEqual(a);
        },
      ),
      { numRuns: 500 },
    );
  });
});
