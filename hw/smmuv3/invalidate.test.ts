import { describe, expect, test } from 'vitest';
import { COMMANDS, commandText, decodeWords, encodeCommand, parseCommand } from './commands.ts';
import { BATCH_COMMANDS, convertCommand, convertCommands, type Host } from './invalidate.ts';

const HOST: Host = { vmid: 7, stream: (vsid) => (vsid === 8 ? 0x100 : 'none') };
const converted = (text: string, host = HOST): string => {
  const c = convertCommand(parseCommand(text)!, host);
  return 'refused' in c ? c.refused : c.sent === undefined ? '?' : commandText(decodeWords(...c.sent));
};

describe('what the host sends', () => {
  test.each([
    ['TLBI_NSNH_ALL ?word1 0x77', 'TLBI_NH_ALL vmid 7'],
    ['TLBI_NH_ALL vmid 99', 'TLBI_NH_ALL vmid 7'],
    ['TLBI_NH_ASID vmid 99 asid 3', 'TLBI_NH_ASID vmid 7 asid 3'],
    ['TLBI_NH_VA asid 3 va 0x7f0000000000 leaf', 'TLBI_NH_VA vmid 7 asid 3 va 0x7f0000000000 leaf'],
    ['TLBI_NH_VAA va 0x1000', 'TLBI_NH_VAA vmid 7 va 0x1000'],
    ['CFGI_CD sid 0x8 ssid 0x2 leaf', 'CFGI_CD sid 0x100 ssid 0x2 leaf'],
    ['CFGI_CD_ALL sid 0x8', 'CFGI_CD_ALL sid 0x100'],
    ['ATC_INV ssv sid 0x8 ssid 0x2 size 52', 'ATC_INV ssv sid 0x100 ssid 0x2 size 52'],
    ['ATC_INV sid 0x9', 'there is no vDEVICE of stream 0x9'],
    ['CMD_SYNC', "CMD_SYNC is not a guest's to send"],
    ['?0x77 0x77 0', 'opcode 0x77 is not known'],
  ])('%s: %s', (text, sent) => expect(converted(text)).toBe(sent));
  test('what is not known is not made up', () => {
    const host: Host = { vmid: undefined, stream: () => undefined };
    expect(['TLBI_NSNH_ALL', 'TLBI_NH_ALL', 'ATC_INV sid 0x8'].map((t) => converted(t, host))).toEqual(['?', '?', '?']);
  });
  test('all others are refused', () => {
    const refused = COMMANDS.filter((c) => 'refused' in convertCommand(encodeCommand(c.name), { ...HOST, stream: () => 1 })).map(
      (c) => c.opcode,
    );
    expect(refused).toEqual([0x01, 0x03, 0x04, 0x20, 0x21, 0x22, 0x28, 0x2a, 0x41, 0x44, 0x46]);
  });
});

describe('what one call sends', () => {
  const flush = encodeCommand('TLBI_NH_ALL');
  const many = (count: number, bad?: number) => Array.from({ length: count }, (_, i) => (i === bad ? encodeCommand('CMD_SYNC') : flush));
  const sizes = (count: number, bad?: number) => {
    const { sent, done, dropped, refused } = convertCommands(many(count, bad), HOST);
    return [sent.map((batch) => batch.length), done, dropped, refused !== undefined];
  };
  test.each([
    [0, undefined, [[], 0, 0, false]],
    [1, undefined, [[1], 1, 0, false]],
    [BATCH_COMMANDS, undefined, [[63], 63, 0, false]],
    [70, undefined, [[63, 7], 70, 0, false]],
    [10, 3, [[], 3, 3, true]],
    [70, 0, [[], 0, 0, true]],
    [70, 63, [[63], 63, 0, true]],
    [70, 67, [[63], 67, 4, true]],
  ])('%d commands, number %s of them refused', (count, bad, wanted) => expect(sizes(count, bad)).toEqual(wanted));
});
