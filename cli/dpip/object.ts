import type { DpvsdClient, OperationInput } from '../../dpvsd/client.js';
import type { Verb } from '../../dpvsd/generated/control.js';
import { Verb as Verbs } from '../../dpvsd/generated/control.js';
import type { Output } from '../output.js';
import { UsageError } from '../usage.js';
import type { Globals } from './words.js';

export type CommandWord =
  | 'show'
  | 'add'
  | 'del'
  | 'set'
  | 'replace'
  | 'flush'
  | 'create'
  | 'destroy'
  | 'test'
  | 'enable'
  | 'disable';

/** What an object's command has to work with. */
export interface Context {
  client: DpvsdClient;
  output: Output;
  globals: Globals;
  /** Waits, for repeated statistics; tests let it pass at once. Resolves to false when the operator interrupted. */
  sleep(seconds: number): Promise<boolean>;
}

/** A command that was understood, ready to be carried out. */
export type Action = (context: Context) => Promise<void>;

/** One of dpip's objects: link, addr, route ... */
export interface DpipObject {
  name: string;
  usage: string;
  /** Reads the words after the command. @throws UsageError */
  parse(command: CommandWord, words: readonly string[], globals: Globals): Action;
}

const verbs: Partial<Record<CommandWord, Verb>> = {
  add: Verbs.VERB_ADD,
  del: Verbs.VERB_DELETE,
  set: Verbs.VERB_EDIT,
  replace: Verbs.VERB_PUT,
};

/** The verb of add, del, set and replace. @throws UsageError for another command */
export function verbOf(object: string, command: CommandWord): Verb {
  const verb = verbs[command];
  if (verb === undefined) throw new UsageError(`${object} cannot be told to '${command}'`);
  return verb;
}

/** Applies operations as one batch. */
export function apply(operations: OperationInput[]): Action {
  return async ({ client, output, globals }) => {
    const applied = await client.apply(operations);
    if (globals.json) output.json(applied);
  };
}
