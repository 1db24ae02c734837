import { expect, test } from 'vitest';
import { FILE_NAMES, FRAME_NUMBERS, KIND_NAMES } from '../../hw/event-words.ts';
import { FileKind, FrameFlag, Kind, PartFlag, PartKind, State } from '../../store/frame.ts';

test('the words for frames are those of the frame layout', () => {
  expect(KIND_NAMES.map((name) => name.toUpperCase())).toEqual(Object.keys(Kind));
  expect(Object.values(Kind)).toEqual(KIND_NAMES.map((_, i) => i));
  expect(FILE_NAMES).toHaveLength(Object.keys(FileKind).length);
  const names = Object.entries(FileKind).map(([name, n]) => [n, name.toLowerCase().replace('_', '-')]);
  expect(FILE_NAMES.map((name, n) => [n, name])).toEqual(
    names.map(([n, name]) => [n, name === 'unknown' ? '' : name === 'vfio-container' ? 'vfio' : name]),
  );
  expect(FRAME_NUMBERS.state).toEqual(State);
  expect(FRAME_NUMBERS.flag).toEqual(FrameFlag);
  expect(FRAME_NUMBERS.part).toEqual(PartKind);
  expect(FRAME_NUMBERS.partFlag).toEqual(PartFlag);
});
