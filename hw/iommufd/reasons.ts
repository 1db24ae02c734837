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
