import { afterAll, expect, test } from 'vitest';
import { makePart, PartKind } from '../../store/frame.ts';
import { styledText, testModel, textOf } from '../testing.ts';
import { hexLines } from './hex.ts';

const { model, dispose } = testModel();
afterAll(dispose);

test('parts one below the other; bytes that the kernel wrote are marked', () => {
  expect(textOf(hexLines(model.event(3)!))).toMatchInlineSnapshot(`
    " in: 12 bytes
      0000   0c 00 00 00 00 00 00 00  00 00 00 00              |............|
     out: 12 bytes
      0000   0c 00 00 00 00 00 00 00 *01 00 00 00              |............|"
  `);
  expect(styledText(hexLines(model.event(3)!)[3]!)).toBe(
    '  0000   0c 00 00 00 00 00 00 00 changed(*01) 00 00 00              |............|',
  );
});

test('bytes of a string never reach the terminal as they are', () => {
  expect(textOf(hexLines(model.event(22)!))).toContain('|/bin/.[2Jevil...|');
});

test('long parts are shown from their beginning, and an event without any says so', () => {
  const event = model.event(3)!;
  const long = { ...event, parts: [makePart(PartKind.IN, Buffer.alloc(1 << 20))] };
  expect(hexLines(long)).toHaveLength(1 + 16_384 / 16);
  expect(textOf(hexLines({ ...event, parts: [] }))).toBe(' the event has no bytes but its header');
});
