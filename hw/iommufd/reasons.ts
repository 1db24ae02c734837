/** Why an answer is not determined by what the log shows. Few, and fixed: they are counted by name. */
export const MEMORY = 'program memory';
export const PHYSICAL = 'physical memory';
export const PRESSURE = 'memory pressure';
export const DRIVER = 'driver-private';
export const RIGHTS = 'capabilities of the program';
export const UNSEEN = 'not in the log';
/** of a recorded answer that the rules do not give */
export const UNFORESEEN = 'not foreseen';
/** releases of one stable kernel differ */
export const RELEASE = 'stable release';
/** what else the machine has, such as a real IOMMU beside the mock driver's */
export const MACHINE = 'machine';
/** what a kernel does with memory that it has given back */
export const ENDED = 'memory of an ended object';
/** what the facts about a kernel or a posted series leave open */
export const OPEN = 'unsettled rule';

const TEXTS: Readonly<Record<string, string>> = {
  [MEMORY]: 'it depends on memory of the program',
  [PHYSICAL]: 'it depends on where memory lies in the machine',
  [PRESSURE]: 'it depends on how much memory is free',
  [DRIVER]: 'it depends on what only the driver knows',
  [RIGHTS]: 'it depends on the capabilities of the program',
  [UNSEEN]: 'it depends on what was not recorded',
  [UNFORESEEN]: 'the rules do not foresee it',
  [RELEASE]: 'it depends on the stable release',
  [MACHINE]: 'it depends on what else the machine has, such as an IOMMU',
  [ENDED]: 'it depends on memory of an ended object',
  [OPEN]: 'what is known of this kernel leaves it open',
};

/** A reason in a clause; any other text is one already. */
export const reasonText = (reason: string): string => TEXTS[reason] ?? reason;
