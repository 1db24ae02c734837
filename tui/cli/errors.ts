/** Wrong use of a command: said in one line, with a hint, and exit status 2. */
import { IrrError } from '../../store/errors.ts';

export class UsageError extends IrrError {
  constructor(message: string, hint?: string) {
    super('usage', message, { hint });
    this.name = 'UsageError';
  }
}
