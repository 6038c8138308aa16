/** The version of upstream keepalived whose language and behaviour this front door has. */
export const UPSTREAM_VERSION = '2.4.3';
/** Our own. */
export const VERSION = '0.1.0';
