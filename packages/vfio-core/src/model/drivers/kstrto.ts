/**
 * Numbers and truth values as the kernel reads them from attribute files: the whole text, one newline allowed at its
 * end, nothing around it. Source: lib/kstrtox.c (kstrtou16, kstrtobool); text ends at the first NUL.
 */

/** The text up to its first NUL. */
export function cString(text: string): string {
  const end = text.indexOf("\0");
  return end < 0 ? text : text.slice(0, end);
}

/** As names are compared (sysfs_streq): a newline at the end does not count. */
export function nameIn(text: string): string {
  return cString(text).replace(/\n$/, "");
}

/** Decimal, 0x hexadecimal or 0 octal, with an optional sign that must be plus; null for anything else or above 65535. */
export function kstrtou16(text: string): number | null {
  const digits = cString(text).replace(/\n$/, "").replace(/^\+/, "");
  let value = Number.NaN;
  if (/^0[xX][0-9a-fA-F]+$/.test(digits)) value = Number.parseInt(digits.slice(2), 16);
  else if (/^0[0-7]*$/.test(digits)) value = Number.parseInt(digits, 8);
  else if (/^[1-9][0-9]*$/.test(digits)) value = Number.parseInt(digits, 10);
  return value <= 0xffff ? value : null;
}

/** y, Y, t, T, 1, on and their opposites, judged by the first or first two characters. */
export function kstrtobool(text: string): boolean | null {
  if (/^(?:[yYtT1]|[oO][nN])/.test(text)) return true;
  return /^(?:[nNfF0]|[oO][fF])/.test(text) ? false : null;
}
