/**
 * A command of the configuration (`notify_master`, `script`, `misc_path`, ...), already split into words.
 * Names of users stay names: they are looked up when the command runs.
 */
export interface Script {
  /** Program and arguments, at least the program. */
  argv: string[];
  /** User to run as; absent: the default script user (global `script_user`, else `keepalived_script`, else root). */
  user?: string;
  /** Group to run as; absent: the user's primary group. */
  group?: string;
}
